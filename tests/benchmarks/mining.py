"""Bitext mining against faiss as XTREME uses it: how many times as fast, and the same pairs.

XTREME's `utils_retrieve.py`: an `IndexFlatIP` for each direction, then the ratio margin of every
candidate in a loop, then the best of both directions. The loop is timed apart, so that the ratio
of the searches alone is seen as well.

    python -m tests.benchmarks.mining [--rounds N] [--vectors N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.benchmarks.rounds import interleaved, spread
from xstilts.kinds.mining import NEIGHBOURS, mine
from xstilts.training.matmul import choose_matmul

try:
    import faiss
except ImportError:
    faiss = None

WIDTH = 384
NOISE = 0.05


def pools(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, and translations of half of them among as many others, in another order."""
    random = np.random.default_rng(0)
    sources = random.normal(size=(count, WIDTH)).astype(np.float32)
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    targets = random.normal(size=(count, WIDTH)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    half = count // 2
    targets[:half] = sources[:half] + NOISE * random.normal(size=(half, WIDTH))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return sources, targets[random.permutation(count)]


def search(queries: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """XTREME's `knnCPU`."""
    flat = faiss.IndexFlatIP(index.shape[1])
    flat.add(index)
    found: tuple[np.ndarray, np.ndarray] = flat.search(queries, min(NEIGHBOURS, len(index)))
    return found


def candidate_margins(
    queries: np.ndarray, index: np.ndarray, near: np.ndarray, own: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """XTREME's `score_candidates`: each candidate's product once more, one by one."""
    margins = np.zeros(near.shape)
    for i in range(len(near)):
        for j, k in enumerate(near[i]):
            margins[i, j] = queries[i].dot(index[k]) / ((own[i] + other[k]) / 2)
    return margins


def xtreme(sources: np.ndarray, targets: np.ndarray) -> tuple[float, list[tuple[int, int, float]]]:
    """How long the two searches took, in seconds, and the pairs."""
    begun = time.perf_counter()
    cosines, near = search(sources, targets)
    back_cosines, back_near = search(targets, sources)
    searched = time.perf_counter() - begun
    mean, back_mean = cosines.mean(1), back_cosines.mean(1)
    margins = candidate_margins(sources, targets, near, mean, back_mean)
    back_margins = candidate_margins(targets, sources, back_near, back_mean, mean)
    best = near[np.arange(len(sources)), margins.argmax(1)]
    back_best = back_near[np.arange(len(targets)), back_margins.argmax(1)]
    firsts = np.concatenate([np.arange(len(sources)), back_best])
    seconds = np.concatenate([best, np.arange(len(targets))])
    values = np.concatenate([margins.max(1), back_margins.max(1)])
    seen_sources, seen_targets = set(), set()
    pairs = []
    for i in np.argsort(-values):
        first, second = int(firsts[i]), int(seconds[i])
        if first not in seen_sources and second not in seen_targets:
            seen_sources.add(first)
            seen_targets.add(second)
            if values[i] > 0:
                pairs.append((first, second, float(values[i])))
    return searched, pairs


def main() -> None:
    """Print the ratios and how many pairs agree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vectors", type=int, default=20_000)
    arguments = parser.parse_args()
    if faiss is None:
        print("faiss is not installed: nothing to compare with")
        return
    count = arguments.vectors
    choose_matmul("cpu")  # as an evaluation does
    faiss.omp_set_num_threads(torch.get_num_threads())
    sources, targets = pools(count)
    tensors = torch.from_numpy(sources), torch.from_numpy(targets)
    searches: list[float] = []

    def theirs() -> list[tuple[int, int, float]]:
        searched, pairs = xtreme(sources, targets)
        searches.append(searched)
        return pairs

    runs: dict[str, Callable[[], Any]] = {"ours": lambda: mine(*tensors), "xtreme": theirs}
    times, results = interleaved(runs, arguments.rounds)
    ours, expected = results["ours"], results["xtreme"]
    same = {pair[:2] for pair in ours} & {pair[:2] for pair in expected}
    margins = {pair[:2]: pair[2] for pair in expected}
    largest = max(abs(value / margins[a, b] - 1) for a, b, value in ours if (a, b) in margins)
    print(
        f"{count} x {count} x {WIDTH}, {torch.get_num_threads()} threads, faiss {faiss.__version__}"
    )
    print(f"pairs: {len(ours)} ours, {len(expected)} XTREME's, {len(same)} in both")
    print(f"largest relative difference of a margin: {largest:.1e}")
    print("XTREME, searches only / ours:", spread(searches[-arguments.rounds :], times["ours"]))
    print("XTREME / ours:", spread(times["xtreme"], times["ours"]))


if __name__ == "__main__":
    main()
