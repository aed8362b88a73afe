"""Ranking a pool of entities against faiss: how many times as fast, in how much memory.

Mewsli-X has 14,624 queries and a pool of 1,003,893; here the pool comes in the parts in which an
evaluation encodes it. Neighbours may differ where products are equal to the last bits.

    python -m tests.benchmarks.entities [--rounds N] [--queries N] [--candidates N] [--width N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.rounds import interleaved, spread
from xstilts.kinds.neighbours import Search
from xstilts.run.pooled import PART
from xstilts.training.matmul import choose_matmul

try:
    import faiss
except ImportError:
    faiss = None

NEAREST = 20


def unit_vectors(count: int, width: int, seed: int) -> np.ndarray:
    """(count, width), float32."""
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def peak_mb(run: Callable[[], Any]) -> float:
    """The most memory that a run has beside what was there before it."""

    def status_kb(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    before = status_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run()
    return (status_kb("VmHWM") - before) / 1024


def main() -> None:
    """Print the ratio, how many neighbours agree, and the memory beside the vectors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=14_000)
    parser.add_argument("--candidates", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=256)
    arguments = parser.parse_args()
    choose_matmul("cpu")  # as an evaluation does
    queries = unit_vectors(arguments.queries, arguments.width, 0)
    candidates = unit_vectors(arguments.candidates, arguments.width, 1)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        search = Search(torch.from_numpy(queries), NEAREST)
        for start in range(0, len(candidates), PART):
            search.add(torch.from_numpy(candidates[start : start + PART]))
        return search.neighbours()

    print(f"ours: {peak_mb(ours):.0f} MB beside the vectors")
    if faiss is None:
        print("faiss is not installed: nothing to compare with")
        return
    faiss.omp_set_num_threads(torch.get_num_threads())

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        flat = faiss.IndexFlatIP(arguments.width)
        flat.add(candidates)
        found: tuple[np.ndarray, np.ndarray] = flat.search(queries, NEAREST)
        return found

    times, results = interleaved({"ours": ours, "faiss": theirs}, arguments.rounds)
    print(f"faiss: {peak_mb(theirs):.0f} MB, with its copy of the candidates")
    products, places = results["ours"]
    expected, theirs_at = results["faiss"]
    differ = places != theirs_at
    size = f"{arguments.queries} x {arguments.candidates} x {arguments.width}"
    print(f"{size}, {torch.get_num_threads()} threads, faiss {faiss.__version__}")
    print(f"neighbours that differ: {differ.sum()} of {differ.size}, where products differ by at")
    print(f"  most {np.abs(products - expected)[differ].max(initial=0):.1e}; elsewhere by at most")
    print(f"  {np.abs(products - expected)[~differ].max(initial=0):.1e}")
    print("seconds:", {name: round(float(np.median(own)), 1) for name, own in times.items()})
    print("faiss / ours:", spread(times["faiss"], times["ours"]))


if __name__ == "__main__":
    main()
