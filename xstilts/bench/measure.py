"""Measure: the matmul peak, training and evaluation by kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from xstilts.bench.stopwatch import AFTER, BEFORE, Stopwatch, now
from xstilts.bench.workloads import (
    WORKLOADS,
    encoder_of,
    rows_of,
    stage_of,
    vocabulary_of,
)
from xstilts.kinds.kind import Encoded
from xstilts.plan.stage import Train
from xstilts.training.feed import Feed, PartData
from xstilts.training.heads import build_heads
from xstilts.training.loop import train
from xstilts.training.matmul import choose_matmul
from xstilts.training.micro_batches import MicroBatcher
from xstilts.training.model import Model, settings
from xstilts.training.outcome import Options
from xstilts.training.packed.last_layer import weights_of_read
from xstilts.training.predict import Predictor, replicas

Tell = Callable[[str], None]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEAK_SIZE = {"cpu": 2048, "cuda": 8192}
STEPS = {"cpu": 10, "cuda": 100}
"""Those of a turn that are timed, unless said: a second or more of them."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, and how.

    Every work of `works` in every precision, in `rounds` turns of `steps` updates and a few around
    them that are not timed; rates are medians. `compiled` is as `resources.compile` has it, the
    compiling itself left out; `seed` draws the rows.
    """

    model: str
    works: Sequence[str] = tuple(WORKLOADS)
    precisions: Sequence[str] = ("fp32",)
    batch_size: int = 32
    steps: int | None = None
    rounds: int = 3
    threads: int = 1
    compiled: bool = False
    seed: int = 0


def measure(
    benchmark: Benchmark, tell: Tell = lambda line: None, case_of: type[Case] | None = None
) -> dict[str, Any]:
    """All figures as a JSON-able dict.

    Args:
        case_of: what is timed, where something else is timed beside it in every turn.

    Raises:
        ConfigError: the model is unknown.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(benchmark.threads)
    choose_matmul(device)
    encoder = encoder_of(benchmark.model)
    peaks = {name: peak_gflops(device, DTYPES[name]) for name in benchmark.precisions}
    tell(f"matmul: {', '.join(f'{name} {rate:,.0f} GFLOP/s' for name, rate in peaks.items())}")
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "peak_gflops": peaks,
        "train": [],
        "evaluate": [],
    }
    examples = benchmark.batch_size * (BEFORE + (benchmark.steps or STEPS[device]) + AFTER)
    for name in benchmark.works:
        work = WORKLOADS[name]
        rows = rows_of(work, examples, encoder.config.vocab_size, benchmark.seed)
        for precision in benchmark.precisions:
            stage = stage_of(work, examples, benchmark.batch_size, benchmark.seed, precision)
            own = model_of(encoder, stage, device)
            options = Options(compiled=benchmark.compiled)
            case = (case_of or Case)(encoder, stage, rows, device, own, options)
            same = {"model": benchmark.model, "work": name, "kind": work.kind, "dtype": precision}
            trained = same | _training_of(case, benchmark, peaks[precision])
            found["train"].append(trained)
            tell(f"{name} {precision}: {trained['examples_per_s']:,.1f} examples a second")
            evaluated = _evaluation_figures(case, benchmark.rounds)
            found["evaluate"].append(same | {"threads": benchmark.threads} | evaluated)
    return found


def _training_of(case: Case, benchmark: Benchmark, peak: float) -> dict[str, Any]:
    """The figures of training a case, and what they were measured with."""
    counted = count_work(case.encoder, case.stage, case.rows)
    case.train()  # warms up
    turns = [case.train() for _ in range(benchmark.rounds)]
    entry = {
        "compiled": benchmark.compiled,
        "batch": benchmark.batch_size,
        "threads": benchmark.threads,
        "seed": benchmark.seed,
        **_train_figures(turns, benchmark.batch_size, counted, peak),
        "padded_share": counted.padded_share,
        **case.figures_beside(turns, counted.steps * benchmark.batch_size),
    }
    if case.device == "cuda":
        entry["peak_memory_gb"] = max(turn["memory_gb"] for turn in turns)
    return entry


def peak_gflops(device: str, dtype: torch.dtype) -> float:
    """The best of several products of two square matrices, in 10^9 operations a second."""
    size = PEAK_SIZE[device]
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        begun = now(device)
        one @ other
        best = min(best, now(device) - begun)
    return 2 * size**3 / best / 1e9


@dataclass(frozen=True, slots=True)
class Work:
    """What the timed steps of a turn compute.

    `steps`: how many they are. `tokens`: those of their rows. `operations`: the products with
    weights, forward and backward, padding left out. `padded_share`: of the positions that the
    encoder computes, those that are padding.
    """

    steps: int
    tokens: int
    operations: float
    padded_share: float


def count_work(encoder: PreTrainedModel, stage: Train, rows: Encoded) -> Work:
    """Count what the timed steps of an epoch over the rows take."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    feed = Feed(stage.parts[0], PartData([rows], None), stage, vocabulary_of(encoder.config))
    micro_batcher = MicroBatcher.of(encoder, device)
    real = computed = unread = 0
    timed = range(BEFORE, stage.num_steps - AFTER)
    for number in timed:
        for work in micro_batcher.divide(feed.batch(number)):
            tokens = int(work.batch.inputs["attention_mask"].sum())
            real += tokens
            computed += work.inputs["input_ids"].numel()
            if work.layout is not None:
                unread += tokens - int(work.layout.num_read.sum())
    products = real * _computing_weights(encoder)
    if unread:
        products -= unread * weights_of_read(encoder)
    return Work(len(timed), real, 6.0 * products, 1 - real / computed)


@dataclass(frozen=True)
class Case:
    """An encoder, a stage over rows, and the model of it: one in all turns, so that what was
    compiled for it in the first stays."""

    encoder: PreTrainedModel
    stage: Train
    rows: Encoded
    device: str
    model: Model
    options: Options

    def train(self) -> dict[str, Any]:
        """The seconds of a turn, under `ours`, and what training reports."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        data, vocabulary = [PartData([self.rows], None)], vocabulary_of(self.encoder.config)
        count = self.stage.num_steps
        watch = Stopwatch(self.device, count)

        def progress(share: float) -> None:
            watch.after(round(share * count))

        outcome = train(self.model, self.stage, data, vocabulary, progress, options=self.options)
        turn: dict[str, Any] = {"ours": watch.seconds, "outcome": outcome}
        if self.device == "cuda":
            turn["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return turn

    def evaluate(self) -> dict[str, float]:
        """The seconds of one pass over the rows, under `ours`; decoding is left out: it needs
        texts."""
        task = self.stage.parts[0].train.entry
        models, vocabulary = replicas(self.model), vocabulary_of(self.encoder.config)
        predictor = Predictor(models, vocabulary, self.stage.precision)
        begun = now(self.device)
        predictor.outputs(self.rows.features, task)
        return {"ours": now(self.device) - begun}

    def figures_beside(self, turns: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
        """What the turns, of `count` examples each, say besides."""
        return {}


def model_of(encoder: PreTrainedModel, stage: Train, device: str) -> Model:
    """A copy of the encoder with the stage's fresh head."""
    task = stage.parts[0].train.entry
    copied = copy.deepcopy(encoder)
    heads = build_heads({task.name: task}, *settings(copied), stage.seed, stage.phase)
    return Model(copied, heads).to(device)


def _train_figures(
    turns: Sequence[dict[str, Any]], batch_size: int, counted: Work, peak: float
) -> dict[str, float]:
    seconds = median(turn["ours"] for turn in turns)
    outcomes = [turn["outcome"] for turn in turns]
    return {
        "examples_per_s": counted.steps * batch_size / seconds,
        "tokens_per_s": counted.tokens / seconds,
        "step_s": seconds / counted.steps,
        "share_of_peak": counted.operations / seconds / (peak * 1e9),
        "loader_share": median(own.wait_s / (own.wait_s + own.model_s) for own in outcomes),
    }


def _evaluation_figures(case: Case, rounds: int) -> dict[str, Any]:
    case.evaluate()  # warms up
    turns = [case.evaluate() for _ in range(rounds)]
    features = case.rows.features
    tokens = sum(map(len, features["input_ids"].to_pylist()))
    seconds = median(turn["ours"] for turn in turns)
    figures = {"examples_per_s": features.num_rows / seconds, "tokens_per_s": tokens / seconds}
    return figures | case.figures_beside(turns, features.num_rows)


def _computing_weights(encoder: PreTrainedModel) -> int:
    """Weights that every token is multiplied with: all but the embeddings."""
    tables = (module for module in encoder.modules() if isinstance(module, nn.Embedding))
    embeddings = {id(table.weight) for table in tables}
    return sum(p.numel() for p in encoder.parameters() if id(p) not in embeddings)
