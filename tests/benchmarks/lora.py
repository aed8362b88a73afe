"""A stage of adapters beside one that trains every weight: step, peak memory, stage on disk.

Both are whole stages of a classifier on MNLI-like rows, from the same random weights of a named
shape, by turns in processes of their own: memory that was given back is no peak of the next. The
peak is what training takes above the process without a model.

    python -m tests.benchmarks.lora [--model xlmr-base] [--vocabulary N] [--rank N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.gradient_caching import status_kb
from tests.benchmarks.rounds import spread
from xstilts.bench.workloads import WORKLOADS, encoder_of, rows_of, stage_of, vocabulary_of
from xstilts.config.adapt import Adapt, Lora
from xstilts.plan.stage import Pretrained
from xstilts.training.feed import PartData
from xstilts.training.loop import train
from xstilts.training.matmul import choose_matmul
from xstilts.training.model import build_model, save

WAYS = ("full", "lora")
"""Every weight, or adapters on queries and values."""

BATCH = 32


def child(way: str, encoder: Path, steps: int, rank: int, threads: int) -> dict[str, Any]:
    """Seconds of every step but the first, on the clock and of the CPU; the peak of training and
    what the stage has on disk, in MB."""
    torch.set_num_threads(threads)
    choose_matmul("cpu")
    resting = status_kb("VmRSS")
    work, examples = WORKLOADS["mnli"], (steps + 1) * BATCH
    stage = stage_of(work, examples, BATCH, 0, "fp32")
    lora = Lora(rank, 2.0 * rank, ("query", "value")) if way == "lora" else None
    recipe = replace(stage.recipe, adapt=Adapt(lora=lora))
    parent = Pretrained("random", str(encoder), "0" * 64, "0" * 64)
    stage = replace(stage, recipe=recipe, parent=parent)
    model = build_model(stage, encoder, torch.device("cpu"))
    vocabulary = vocabulary_of(model.encoder.config)
    data = PartData([rows_of(work, examples, vocabulary.size, 0)], None)
    ends = [(time.perf_counter(), time.process_time())]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew

    def note(share: float) -> None:
        ends.append((time.perf_counter(), time.process_time()))

    train(model, stage, [data], vocabulary, note)
    peak = status_kb("VmHWM") - resting
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    clock, cpu = (np.diff([end[i] for end in ends[1:]]).tolist() for i in (0, 1))
    return {"seconds": clock, "cpu_seconds": cpu, "peak_mb": peak / 1024, "disk_mb": size / 1e6}


def main() -> None:
    """Print the three ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="xlmr-base")
    parser.add_argument("--vocabulary", type=int, help="Rows of the token table, if another.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child is not None:
        way, folder = arguments.child
        given = arguments.steps, arguments.rank, arguments.threads
        print(json.dumps(child(way, Path(folder), *given)))
        return
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        encoder = encoder_of(arguments.model)
        if arguments.vocabulary:
            encoder.resize_token_embeddings(arguments.vocabulary, mean_resizing=False)
        encoder.save_pretrained(folder)
        del encoder
        for _ in range(arguments.rounds):
            for way in WAYS:
                command = [sys.executable, "-m", "tests.benchmarks.lora", "--child", way, folder]
                for name in ("steps", "rank", "threads"):
                    command += [f"--{name}", str(getattr(arguments, name))]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{arguments.model}, rank {arguments.rank} on queries and values; load {load}")
    for name, unit in (
        ("seconds", "s"),
        ("cpu_seconds", "s"),
        ("peak_mb", "MB"),
        ("disk_mb", "MB"),
    ):
        full, lora = ([float(np.median(one[name])) for one in found[way]] for way in WAYS)
        ratio = spread(lora, full)
        print(f"{name}: full {np.median(full):.3g} {unit}, lora {np.median(lora):.3g}; {ratio}")


if __name__ == "__main__":
    main()
