"""Target stages whose every check is scored by all that could choose among them.

A run is a target stage after one candidate with one seed. At each check it keeps the zero-shot test
scores, which only judge, and what protocols go by: the stage's English dev sample, the dev scores
of all languages, how far predictions agree between translations of its dev rows, and retrieval on
parallel text. All runs of a target begin with one head, so that weights of several seeds can be
averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.mini_grid import CANDIDATES
from tests.benchmarks.mini_worlds import Built
from xstilts import kinds
from xstilts.config.derive import NONE
from xstilts.config.load import parse_sweep
from xstilts.driver import inputs_of
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, Train, retrieval_layer
from xstilts.plan.trial_plan import TrialPlan
from xstilts.run.reopen import workshop_of
from xstilts.run.single import point_of
from xstilts.run.store import encoder_files
from xstilts.run.workshop import Workshop
from xstilts.scores.table import task_score
from xstilts.tasks import Task, lookup
from xstilts.training.feed import PartData
from xstilts.training.loop import train
from xstilts.training.model import Model, build_model
from xstilts.training.optimizer import check_steps
from xstilts.training.predict import Predictor, replicas
from xstilts.training.token_embeddings import EmbeddingRows

TARGETS = ("mini_xnli", "mini_udpos", "mini_xquad")
"""Those that are trained; the fourth has no checkpoint to select."""

CHECKS = 10
PARALLEL = "mini_udpos"
"""Whose dev sentences are the parallel text of retrieval: no test set has them."""

RETRIEVAL = "mini_tatoeba"
ENGLISH = "en"
Weights = dict[str, Tensor]


@dataclass(slots=True)
class Check:
    """What is known after a check; scores 0-100, `test` and `dev` by language."""

    step: int
    sample: float
    dev: dict[str, float]
    test: dict[str, float]
    consistency: float
    retrieval: float

    @property
    def zero_shot(self) -> float:
        """The mean test score over the languages that the target is not trained in."""
        return zero_shot(self.test)


@dataclass(slots=True)
class Run:
    """A target stage; `average` are the test scores of the mean of its last checks' weights."""

    target: str
    candidate: str
    seed: int
    checks: list[Check] = field(default_factory=list)
    average: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The run as a file has it."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Run:
        """A run from its file."""
        return cls(**{**value, "checks": [Check(**check) for check in value["checks"]]})


def zero_shot(scores: Mapping[str, float]) -> float:
    """The mean over all languages but English."""
    return fmean(value for language, value in scores.items() if language != ENGLISH)


class Bench:
    """Trains and scores the target stages of one world.

    Args:
        storage: where the intermediate stages go.
    """

    def __init__(self, world: Built, storage: Path, candidates: Sequence[str], seeds: int):
        config: dict[str, Any] = {
            "name": "protocols", "benchmark": "custom",
            "recipe": {"name": "mini", "target": {"checks": CHECKS, "keep": "average"}},
            "models": {"mini": {"path": world.model}}, "data": {"root": world.data},
            "intermediates": {
                name: {"tasks": CANDIDATES[name][0], "budget": {"examples": CANDIDATES[name][1]}}
                for name in candidates if name != NONE
            },
            "targets": [*TARGETS, RETRIEVAL], "languages": "all", "seeds": list(range(seeds)),
            "search": {
                "encoder": {"trials": len(candidates), "sampler": {"name": "grid"}, "space": {}},
                "target": {"trials": 1, "space": {}},
            },
            "resources": {"gpus_per_trial": 0, "cpus_per_trial": 1}, "storage": str(storage),
        }  # fmt: skip
        self._planners: dict[str, Planner] = {}
        for split in ("test", "validation"):
            sweep = parse_sweep({**config, "evaluation": {"split": split}}, "protocols")
            places, inventory = inputs_of(sweep, print)
            self._planners[split] = Planner(sweep, inventory, {name: [{}] for name in TARGETS})
        self._workshop: Workshop = workshop_of(self._planners["test"], places)

    def run(self, target: str, candidate: str, seed: int) -> tuple[Run, Weights]:
        """Train one run; with its weights at the last check."""
        plan = self._plan(candidate, seed)
        stage = next(one.cells[0].stage for one in plan.target_sets if one.name == target)
        if isinstance(stage.parent, Train):
            self._workshop.run(stage.parent, "protocols", lambda share: None)
        model, data = self.fresh(stage), self._data(plan, stage)
        run, last = Run(target, candidate, seed), Weights()
        checks = check_steps(stage.num_steps, stage.recipe)

        def after_step(share: float) -> None:
            step = round(share * stage.num_steps)
            if step in checks:
                run.checks.append(self._check(plan, stage, model, step))
                last.update({key: value.clone() for key, value in model.state_dict().items()})
                model.train()

        outcome = train(model, stage, [data], self.vocabulary(stage), after_step)
        for check, point in zip(run.checks, outcome.curve, strict=True):
            check.sample = point[f"dev/{target}"]
        run.average = self._scores(plan, stage, model, "test")
        return run, last

    def scores_of(self, run: Run, weights: Weights) -> dict[str, float]:
        """Test scores by language of weights as they were at a run's check."""
        plan = self._plan(run.candidate, run.seed)
        stage = next(one.cells[0].stage for one in plan.target_sets if one.name == run.target)
        model = self.fresh(stage)
        EmbeddingRows.of(model, [self._data(plan, stage)], self.vocabulary(stage))
        model.load_state_dict(weights)
        return self._scores(plan, stage, model, "test")

    def fresh(self, stage: Train) -> Model:
        """The stage's model before its first step, with the head of seed 0."""
        folder, adapters = encoder_files(self._workshop.store, stage.parent)
        return build_model(replace(stage, seed=0), folder, torch.device("cpu"), adapters)

    def vocabulary(self, stage: Train) -> Vocabulary:
        """The vocabulary of the one model."""
        return self._workshop.token_cache_of(self._workshop._model_of(stage))[1]

    def _plan(self, candidate: str, seed: int) -> TrialPlan:
        planner = self._planners["test"]
        return planner.plan(point_of(planner.sweep, {"intermediate": candidate}), seed)

    def _rows(self, plan: TrialPlan, target: str, split: str) -> Evaluate:
        cells = [one.cells for one in plan.target_sets if target in one.targets]
        cell = cells[0][0] if cells[0] else None
        return self._planners[split].evaluation(plan, target, cell)

    def _encoded(
        self, plan: TrialPlan, stage: Train, target: str, split: str
    ) -> Iterator[tuple[str, Encoded]]:
        cache, _ = self._workshop.token_cache_of(self._workshop._model_of(stage))
        rows = self._rows(plan, target, split).rows
        for language, _ in rows.rows:
            yield language, cache.encoded(rows, language)

    def _data(self, plan: TrialPlan, stage: Train) -> PartData:
        """The stage's rows, and all that its checks are scored on: tokens that only those have
        keep their vectors."""
        (part,) = stage.parts
        own = self._workshop._part_data(
            part, self._workshop.token_cache_of(self._workshop._model_of(stage))[0]
        )
        read = [
            (part.train.task, "test"),
            (part.train.task, "validation"),
            (PARALLEL, "validation"),
        ]
        others = {
            f"{target}/{split}/{language}": rows
            for target, split in read
            for language, rows in self._encoded(plan, stage, target, split)
        }
        return replace(own, pivots=others)

    def _check(self, plan: TrialPlan, stage: Train, model: Model, step: int) -> Check:
        (part,) = stage.parts
        task = part.train.entry
        dev: dict[str, float] = {}
        said: dict[str, list[Any]] = {}
        for language, rows in self._encoded(plan, stage, task.name, "validation"):
            found, _ = self._predictor(stage, model).predict(rows, task)
            said[language] = comparable(task, found, rows)
            own = kinds.get(task.kind).score(found, rows.examples, task, language)
            dev[language] = task_score(task.metrics, own)
        consistency = fmean(
            100 * agreement(said[ENGLISH], other)
            for language, other in said.items() if language != ENGLISH
        )  # fmt: skip
        test = self._scores(plan, stage, model, "test")
        return Check(step, 0.0, dev, test, consistency, self._retrieval(plan, stage, model))

    def _scores(self, plan: TrialPlan, stage: Train, model: Model, split: str) -> dict[str, float]:
        (part,) = stage.parts
        task, scores = part.train.entry, {}
        for language, rows in self._encoded(plan, stage, task.name, split):
            found, _ = self._predictor(stage, model).predict(rows, task)
            own = kinds.get(task.kind).score(found, rows.examples, task, language)
            scores[language] = task_score(task.metrics, own)
        return scores

    def _retrieval(self, plan: TrialPlan, stage: Train, model: Model) -> float:
        """Accuracy of the nearest English sentence by cosine, the mean over languages."""
        layer = retrieval_layer(self._workshop._model_of(stage).num_layers)
        vectors = {}
        for language, rows in self._encoded(plan, stage, PARALLEL, "validation"):
            found = self._predictor(stage, model).outputs(rows.features, lookup(RETRIEVAL), layer)
            stacked = np.stack(found)
            vectors[language] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        english = vectors.pop(ENGLISH)
        right = np.arange(len(english))
        return 100 * fmean(
            float(((own @ english.T).argmax(1) == right).mean()) for own in vectors.values()
        )

    def _predictor(self, stage: Train, model: Model) -> Predictor:
        return Predictor(replicas(model), self.vocabulary(stage))


def comparable(task: Task, predictions: Sequence[Any], rows: Encoded) -> list[Any]:
    """Predictions in a form that translations share: a label; the tags of a sentence, in whatever
    order its words stand; the number of the sentence that an answer begins in."""
    if task.kind == "tagging":
        return [Counter(tags) for tags in predictions]
    if task.kind == "span":
        contexts = rows.examples["context"].to_pylist()
        return [
            context[: context.find(answer)].count(".")
            for context, answer in zip(contexts, predictions, strict=True)
        ]
    return list(predictions)


def agreement(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The mean agreement of predictions for translations, 0-1; of tags twice those that both have
    by those that there are."""
    return fmean(
        2 * (a & b).total() / (a.total() + b.total()) if isinstance(a, Counter) else float(a == b)
        for a, b in zip(one, other, strict=True)
    )


def mean_of_runs(weights: Mapping[int, Weights], heads: Mapping[int, int]) -> Weights:
    """The mean of runs' weights over seeds.

    Args:
        weights: by the run's seed.
        heads: the seed of the head that each began with.

    Raises:
        ValueError: they began with different heads, which are no points of one valley.
    """
    if len(set(heads.values())) > 1:
        raise ValueError(
            f"weights are averaged over runs that began with one head; got heads of seeds "
            f"{sorted(set(heads.values()))}"
        )
    first = next(iter(weights.values()))
    return {name: torch.stack([own[name] for own in weights.values()]).mean(0) for name in first}
