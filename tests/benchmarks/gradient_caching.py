"""A dual encoder's batch of 64 in the memory of 8: peak, gradients, seconds of a step.

Each of three ways - the whole batch at once, its gradients cached, a batch of 8 - computes in a
process of its own, in turns: memory that was given back is no peak of the next. What of the
difference of gradients is rounding is told by those of the first two in float64.

    python -m tests.benchmarks.gradient_caching [--rounds N] [--steps N] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tests.benchmarks.rounds import spread
from xstilts.bench.workloads import encoder_of, vocabulary_of
from xstilts.config.recipe import StageRecipe
from xstilts.kinds.kind import Encoded
from xstilts.plan.stage import Part, Pretrained, Rows, Train
from xstilts.tasks import lookup
from xstilts.training.accumulation import Accumulation
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.collectives import ALONE
from xstilts.training.feed import Feed, PartData
from xstilts.training.heads import build_heads
from xstilts.training.matmul import choose_matmul
from xstilts.training.micro_batches import MicroBatcher
from xstilts.training.model import Model, settings
from xstilts.training.optimizer import build_optimizer
from xstilts.training.token_embeddings import EmbeddingGradient

BATCH, FEW = 64, 8
WAYS = ("plain", "cached", "few")
EXACT = ("plain-float64", "cached-float64")
"""Ways whose gradients alone are computed, in float64."""

ROWS = 256


def rows_of(count: int, vocab_size: int) -> Encoded:
    """Random questions and sentences with paragraphs, as long as LAReQA's mostly are."""
    random = np.random.default_rng(0)
    queries, candidates = random.integers(8, 32, count), random.integers(96, 257, count)
    ids = [
        [random.integers(5, vocab_size, length) for length in pair]
        for pair in zip(queries, candidates, strict=True)
    ]
    features = {"example": list(range(count)), "input_ids": ids, "key": list(range(count))}
    return Encoded(pa.table(features), pa.table({"id": [str(i) for i in range(count)]}))


def status_kb(name: str) -> int:
    """A line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def child(way: str, model_name: str, steps: int, threads: int, folder: Path) -> dict[str, Any]:
    """Seconds of every step but the first, on the clock and of the CPU, the peak above what stands
    between steps, in MB, and the first gradient, as a file."""
    torch.set_num_threads(threads)
    choose_matmul("cpu")
    task = lookup("lareqa")
    batch_size = FEW if way == "few" else BATCH
    rows = Rows(task.name, "train", "0" * 64, (("en", ROWS),), 1, 1, (), 256)
    recipe = StageRecipe(learning_rate=2e-5, batch_size=batch_size, epochs=9, max_length=256)
    part = Part(rows, None, 9 * ROWS, batch_size, (1.0,))
    stage = Train(Pretrained("m", "", "0" * 64, "0" * 64), "target", "b", (part,), recipe, 0)
    encoder = encoder_of(model_name)
    heads = build_heads({task.name: task}, *settings(encoder), 0, "target")
    model = Model(encoder, heads).train()
    if way in EXACT:
        model.double()
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]  # heads' states
    optimizer = build_optimizer(model, recipe)
    gradient = EmbeddingGradient(encoder, True, False)
    vocabulary = vocabulary_of(encoder.config)
    feed = Feed(part, PartData([rows_of(ROWS, vocabulary.size)], None), stage, vocabulary)
    micro_batcher = replace(MicroBatcher.of(encoder, torch.device("cpu")), max_tokens=10**9)
    if way.startswith("cached"):  # the tokens of as many rows
        tokens = int(feed.batch(0).inputs["attention_mask"].sum())
        micro_batcher = replace(micro_batcher, max_tokens=tokens * FEW // BATCH)
    accumulation = Accumulation(model, BF16Weights(encoder, False), ALONE, "fp32", 0, True)
    seconds, cpu_seconds, peaks = [], [], []
    for step in range(steps + 1):
        resting = status_kb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        begun, cpu_begun = time.perf_counter(), time.process_time()
        accumulation.add(feed, accumulation.prepare(feed, step, micro_batcher), micro_batcher, step)
        gradient.fill()
        if step == 0:
            found = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
            np.savez(folder / f"{way}.npz", **found)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        gradient.clear()
        seconds.append(time.perf_counter() - begun)
        cpu_seconds.append(time.process_time() - cpu_begun)
        peaks.append((status_kb("VmHWM") - resting) / 1024)
    return {"seconds": seconds[1:], "cpu_seconds": cpu_seconds[1:], "peak_mb": max(peaks)}


def call(way: str, arguments: argparse.Namespace, folder: str) -> dict[str, Any]:
    """What a way took, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.gradient_caching"]
    steps = 0 if way in EXACT else arguments.steps
    command += ["--model", arguments.model, "--steps", str(steps)]
    command += ["--threads", str(arguments.threads), "--child", way, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def farthest(found: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> float:
    """The largest difference of two gradients."""
    assert set(found) == set(exact)
    return max(float(np.abs(found[name] - exact[name]).max()) for name in exact)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--model", default="xlmr-mini")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child is not None:
        way, folder = arguments.child
        given = arguments.model, arguments.steps, arguments.threads
        print(json.dumps(child(way, *given, Path(folder))))
        return
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for way in WAYS:
                found[way].append(call(way, arguments, folder))
        for way in EXACT:
            call(way, arguments, folder)
        plain, cached, exact, again = (
            dict(np.load(Path(folder) / f"{way}.npz")) for way in (*WAYS[:2], *EXACT)
        )
    peaks = {way: [own["peak_mb"] for own in found[way]] for way in WAYS}
    clock, cpu = (
        {way: [float(np.median(own[name])) for own in found[way]] for way in WAYS}
        for name in ("seconds", "cpu_seconds")
    )
    print(f"{arguments.model}, a batch of {BATCH}, in parts of {FEW}, against the whole at once")
    print("peak MB above what stands:", {w: round(float(np.median(p))) for w, p in peaks.items()})
    print("peak, cached / plain:", spread(peaks["cached"], peaks["plain"]))
    print("peak, cached / a batch of 8:", spread(peaks["cached"], peaks["few"]))
    print("step, cached / plain:", spread(clock["cached"], clock["plain"]))
    print("step, cached / plain, CPU seconds:", spread(cpu["cached"], cpu["plain"]))
    largest = max(float(np.abs(own).max()) for own in exact.values())
    print(f"gradients, of which the largest is {largest:.1e}, differ by at most")
    print(f"  {farthest(cached, plain):.1e}, in float64 {farthest(again, exact):.1e}")
    print(f"  from those in float64: cached {farthest(cached, exact):.1e}, ", end="")
    print(f"the whole at once {farthest(plain, exact):.1e}")


if __name__ == "__main__":
    main()
