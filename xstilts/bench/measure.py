"""Measure: the matmul peak, training and evaluation by kind, the peer beside it in turn."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
import transformers
from torch import nn

from xstilts.bench.peer import train_with_trainer
from xstilts.bench.workloads import (
    WORKLOADS,
    encoder_of,
    rows_of,
    stage_of,
    vocabulary_of,
)
from xstilts.data.batches import example_order
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.stage import Train
from xstilts.training.feed import Feed, PartData
from xstilts.training.loop import train
from xstilts.training.matmul import choose_matmul
from xstilts.training.model import Model, build_heads, settings
from xstilts.training.outcome import Options, Outcome
from xstilts.training.passes import Divider
from xstilts.training.predict import outputs, replicas

Tell = Callable[[str], None]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEAK_SIZE = {"cpu": 2048, "cuda": 8192}


def measure(
    model: str,
    *,
    works: Sequence[str] = tuple(WORKLOADS),
    precisions: Sequence[str] = ("fp32",),
    batch_size: int = 32,
    steps: int = 10,
    rounds: int = 3,
    threads: int = 1,
    with_peer: bool = False,
    compiled: bool = False,
    seed: int = 0,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """All figures as a JSON-able dict.

    Training is measured in `rounds` turns of `steps` updates, ours and the peer's one after the
    other; rates are medians, ratios medians of the turns' ratios, `spread` their least and most.
    `compiled` is ours as `resources.compile` has it, the compiling itself left out.

    Raises:
        ConfigError: the model is unknown, or the peer cannot be run.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    choose_matmul(device)
    encoder = encoder_of(model)
    peaks = {name: peak_gflops(device, DTYPES[name]) for name in precisions}
    tell(f"matmul: {', '.join(f'{name} {rate:,.0f} GFLOP/s' for name, rate in peaks.items())}")
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "peak_gflops": peaks,
        "train": [],
        "evaluate": [],
    }
    flops = 6 * _computing_weights(encoder)
    for name in works:
        work = WORKLOADS[name]
        rows = rows_of(work, batch_size * steps, encoder.config.vocab_size, seed)
        for precision in precisions:
            stage = stage_of(work, batch_size * steps, batch_size, seed, precision)
            # One model in all turns: what was compiled for it in the first stays.
            ours = _model(encoder, stage, device)[0], Options(compiled=compiled)
            _turn(*ours, encoder, stage, rows, device, with_peer)  # warms up
            turns = [_turn(*ours, encoder, stage, rows, device, with_peer) for _ in range(rounds)]
            entry = {
                "model": model,
                "work": name,
                "kind": work.kind,
                "dtype": precision,
                "compiled": compiled,
                "batch": batch_size,
                "threads": threads,
                "seed": seed,
                **_train_figures(turns, stage, flops, peaks[precision]),
                "padded_share": padded_share(encoder, stage, rows),
            }
            if with_peer:
                entry |= _peer_figures(turns, stage)
            if device == "cuda":
                entry["peak_memory_gb"] = max(turn["memory_gb"] for turn in turns)
            found["train"].append(entry)
            tell(f"{name} {precision}: {entry['examples_per_s']:,.1f} examples a second")
            found["evaluate"].append(
                {
                    "model": model,
                    "work": name,
                    "kind": work.kind,
                    "dtype": precision,
                    "threads": threads,
                    **_evaluation_figures(encoder, stage, rows, device),
                }
            )
    return found


def peak_gflops(device: str, dtype: torch.dtype) -> float:
    """The best of several products of two square matrices, in 10^9 operations a second."""
    size = PEAK_SIZE[device]
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        begun = _now(device)
        one @ other
        best = min(best, _now(device) - begun)
    return 2 * size**3 / best / 1e9


def padded_share(encoder: nn.Module, stage: Train, rows: Encoded) -> float:
    """The share of the positions that the encoder computes for nothing, over all batches."""
    config: Any = encoder.config
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    feed = Feed(stage.parts[0], PartData([rows], None), stage, vocabulary_of(config))
    divider = Divider.of(encoder, device)
    real = computed = 0
    for number in range(stage.num_steps):
        for work in divider.divide(feed.batch(number)):
            real += int(work.batch.inputs["attention_mask"].sum())
            computed += work.inputs["input_ids"].numel()
    return 1 - real / computed


def _turn(
    model: Model,
    options: Options,
    encoder: nn.Module,
    stage: Train,
    rows: Encoded,
    device: str,
    with_peer: bool,
) -> dict[str, Any]:
    """Ours, then the peer as it comes, then the peer with the other matmul."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    turn: dict[str, Any] = {"ours": _train(model, options, stage, rows, device)}
    if device == "cuda":
        turn["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if with_peer:
        order = example_order(stage.parts[0], stage.seed, stage.phase).tolist()
        was = torch.get_float32_matmul_precision()
        for name, precision in (("peer", "highest"), ("tuned", "medium")):
            torch.set_float32_matmul_precision(precision)
            copied = copy.deepcopy(encoder)
            _, turn[name] = train_with_trainer(copied, stage, rows, order, device)
            torch.set_float32_matmul_precision(was)
    return turn


def _train(model: Model, options: Options, stage: Train, rows: Encoded, device: str) -> Outcome:
    config: Any = model.encoder.config
    begun = _now(device)
    data = [PartData([rows], None)]
    outcome = train(model, stage, data, vocabulary_of(config), options=options)
    outcome.total_s = _now(device) - begun
    return outcome


def _model(encoder: nn.Module, stage: Train, device: str) -> tuple[Model, Vocabulary]:
    """A copy of the encoder with the stage's fresh head."""
    task = stage.parts[0].train.entry
    copied = copy.deepcopy(encoder)
    heads = build_heads({task.name: task}, *settings(copied), stage.seed, stage.phase)
    return Model(copied, heads).to(device), vocabulary_of(copied.config)


def _train_figures(
    turns: Sequence[dict[str, Any]], stage: Train, flops: float, peak: float
) -> dict[str, float]:
    seconds = median(turn["ours"].total_s for turn in turns)
    tokens = turns[0]["ours"].tokens
    return {
        "examples_per_s": stage.parts[0].examples / seconds,
        "tokens_per_s": tokens / seconds,
        "step_s": seconds / stage.num_steps,
        "share_of_peak": flops * tokens / seconds / (peak * 1e9),
        "loader_share": median(turn["ours"].wait_s / turn["ours"].total_s for turn in turns),
    }


def _peer_figures(turns: Sequence[dict[str, Any]], stage: Train) -> dict[str, Any]:
    ratios = sorted(turn["peer"] / turn["ours"].total_s for turn in turns)
    tuned = sorted(turn["tuned"] / turn["ours"].total_s for turn in turns)
    seconds = median(turn["peer"] for turn in turns)
    return {
        "peer_version": f"transformers {transformers.__version__}",
        "peer_examples_per_s": stage.parts[0].examples / seconds,
        "ratio": median(ratios),
        "ratio_spread": [ratios[0], ratios[-1]],
        "ratio_tuned": median(tuned),
    }


def _evaluation_figures(
    encoder: nn.Module, stage: Train, rows: Encoded, device: str
) -> dict[str, float]:
    """One pass over the rows, decoding left out: it needs texts."""
    task = stage.parts[0].train.entry
    model, vocabulary = _model(encoder, stage, device)
    seconds = []
    for _ in range(3):
        begun = _now(device)
        outputs(replicas(model), rows.features, task, vocabulary, stage.precision)
        seconds.append(_now(device) - begun)
    count = rows.features.num_rows
    tokens = sum(map(len, rows.features["input_ids"].to_pylist()))
    best = median(seconds)
    return {"examples_per_s": count / best, "tokens_per_s": tokens / best}


def _computing_weights(encoder: nn.Module) -> int:
    """Weights that every token is multiplied with: all but the embeddings."""
    tables = (module for module in encoder.modules() if isinstance(module, nn.Embedding))
    embeddings = {id(table.weight) for table in tables}
    return sum(p.numel() for p in encoder.parameters() if id(p) not in embeddings)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
