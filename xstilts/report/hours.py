"""Hours before the launch: what is planned, at the rates that `bench` measured, or assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from xstilts.config.derive import NONE
from xstilts.data.token_cache import CacheEntry
from xstilts.errors import ConfigError, Problem
from xstilts.files import read_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, Part, Rows, Train
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.stage_recipes import final_stages
from xstilts.tasks import kind_spec

ASSUMED_TFLOPS = 100.0
"""What a GPU is assumed to sustain in bf16 where nothing was measured: about a third of an A100's
peak, a tenth of an H200's, more than an A10G reaches."""


class Rates(Protocol):
    """Seconds that stages take; `source` says how that is known."""

    source: str

    def train_s(self, stage: Train) -> float:
        """Seconds of a training stage, its checks left out."""

    def evaluate_s(self, stage: Evaluate) -> float:
        """Seconds of an evaluation."""


class Lengths:
    """Tokens of rows, as the tokenizer counted them, or as many as they may have at most."""

    def __init__(self, storage: Path, inventory: Inventory):
        self._storage = storage
        self._inventory = inventory

    def tokens(self, rows: Rows, model: str) -> tuple[float, bool]:
        """Tokens that a pass over the rows reads, and whether they were counted: `prepare` does."""
        total, is_counted = 0.0, True
        for language, count in rows.rows:
            files = CacheEntry(
                self._storage, rows, language, self._inventory.models[model].tokenizer
            )
            figures = files.figures()
            is_counted &= figures is not None
            sequences = rows.entry.kind_spec.sequences
            total += _tokens(rows, figures) if figures else count * sequences * rows.max_length
        return total, is_counted

    def drawn(self, part: Part, model: str) -> tuple[float, bool]:
        """Tokens of the examples that a stage draws from a part's rows."""
        tokens, is_counted = self.tokens(part.train, model)
        return tokens * part.epochs, is_counted


def _tokens(rows: Rows, figures: Mapping[str, float]) -> float:
    """The tokens that one draw of each row reads: of MLM's windows one, of others all."""
    draws_windows = rows.entry.kind_spec.is_self_supervised
    share = figures["rows"] / max(figures["sequences"], 1) if draws_windows else 1.0
    return figures["tokens"] * share


class Assumed:
    """Rates of a GPU that sustains `ASSUMED_TFLOPS`: six operations a weight and token to train,
    two to evaluate (Kaplan et al. 2020), the embeddings left out."""

    def __init__(self, lengths: Lengths, inventory: Inventory, model: str):
        self._lengths = lengths
        self._model = model
        self._weights = inventory.models[model].computing_weights()
        self.source = f"if a GPU sustains {ASSUMED_TFLOPS:g} TFLOP/s, an assumption (see --bench)"

    def train_s(self, stage: Train) -> float:
        """See `Rates`."""
        tokens = sum(self._lengths.drawn(part, self._model)[0] for part in stage.parts)
        return 6 * self._weights * tokens / (ASSUMED_TFLOPS * 1e12)

    def evaluate_s(self, stage: Evaluate) -> float:
        """See `Rates`."""
        read = [rows for rows in (stage.rows, stage.pool) if rows is not None]
        tokens = sum(self._lengths.tokens(rows, self._model)[0] for rows in read)
        return 2 * self._weights * tokens / (ASSUMED_TFLOPS * 1e12)


class Measured:
    """Examples a second by kind, of one model on one sort of machine.

    Raises:
        ConfigError: the file is none that `bench` wrote, or has no rates of a precision.
    """

    def __init__(self, path: Path, training: str, scoring: str):
        precisions = {"train": training, "evaluate": scoring}
        try:
            found = read_json(path)
            rows = {phase: _by_kind(found[phase], own) for phase, own in precisions.items()}
            model, device = str(found["train"][0]["model"]), str(found["device"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            rule = "is a file that `xstilts bench --out` wrote"
            raise ConfigError([Problem("--bench", rule, f'"{path}"')]) from error
        if lacking := [own for phase, own in precisions.items() if "pair" not in rows[phase]]:
            rule = f"has rates of mnli in {lacking[0]}"
            wanted = ",".join(sorted({training, scoring}))
            repair = f"xstilts bench --work mnli,udpos,squad --precision {wanted} --out {path}"
            raise ConfigError([Problem("--bench", rule, f'"{path}"', repair)])
        self._train, self._evaluate = rows["train"], rows["evaluate"]
        self.source = f"as measured with {model} on {device}, checks left out"

    def train_s(self, stage: Train) -> float:
        """See `Rates`."""
        return sum(
            part.examples / _rate(self._train, part.train.entry.kind) for part in stage.parts
        )

    def evaluate_s(self, stage: Evaluate) -> float:
        """See `Rates`."""
        count = stage.rows.num_rows + (stage.pool.num_rows if stage.pool is not None else 0)
        return count / _rate(self._evaluate, stage.rows.entry.kind)


def _rate(rates: Mapping[str, float], kind: str) -> float:
    """A kind that was not measured goes at the rate of pairs, a sequence for a pair."""
    return rates.get(kind, rates["pair"] / kind_spec(kind).sequences)


def _by_kind(rows: list[dict[str, Any]], precision: str) -> dict[str, float]:
    return {row["kind"]: row["examples_per_s"] for row in rows if row["dtype"] == precision}


def hours(
    rates: Rates,
    planner: Planner,
    example: Mapping[str, TrialPlan],
    stages: Mapping[str, Mapping[str, int]],
    short: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Hours of one trial after the other, or of their GPUs, from the least to the most stages.

    Every intermediate counts as their mean: which of them a sampler will propose is not known. What
    is trained after selection counts as if the last check was chosen. `short` are the stages of
    lower rungs, each of which takes its share.
    """
    encoders = [plan.encoder for plan in example.values() if isinstance(plan.encoder, Train)]
    intermediate_s = sum(map(rates.train_s, encoders)) / max(1, len(encoders))
    baseline = example[NONE]
    trained = baseline.target_stages
    target_s = sum(map(rates.train_s, trained)) / max(1, len(trained))
    evaluations = []
    for group in baseline.target_sets:
        cell = group.cells[0] if group.cells else None
        evaluations += [planner.evaluation(baseline, name, cell) for name in group.targets]
    evaluate_s = sum(map(rates.evaluate_s, evaluations)) / max(1, len(evaluations))
    gpus = planner.sweep.resources.gpus_per_trial
    seconds = {"intermediate": intermediate_s, "target": target_s, "evaluation": evaluate_s}
    if finals := final_stages(planner, example):
        seconds["final"] = sum(rates.train_s(stage) for _, stage in finals) / len(finals)
    return {
        "source": rates.source,
        "unit": "GPU-hours" if gpus else "hours of one trial after the other",
        **{
            bound: (
                sum(stages[name][bound] * value for name, value in seconds.items())
                + sum(
                    x["rung"] * x[n][bound] * seconds[n]
                    for x in short
                    for n in ("intermediate", "target")
                )
            )
            * (gpus or 1)
            / 3600
            for bound in ("least", "most")
        },
    }
