"""What a recipe is: the defaults of every stage. The entries are in `recipes.py`.

A sweep file names a recipe and may override single values of it; what it searches overrides both.
Nothing else has defaults for training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from xstilts.config.adapt import Adapt, Adaptations, is_of_an_arm
from xstilts.identity import ELSEWHERE, later


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """How one stage trains.

    `learning_rate` is the peak after `warmup_ratio` of all steps, or `warmup_steps` where they are
    not 0, then linear to 0. `batch_size` is in examples per optimiser step, `max_length` in
    sub-tokens, `epochs` in passes over a task's training data, `clip_norm` bounds the global
    gradient norm.

    The stage is checked `checks` times at equal distances, or every `check_every` steps where that
    is not 0, on `dev_examples` examples of each dev set: a `stratified` sample, or the `first` (of
    a set that is joined from several, examples at equal distances). It stops after `patience`
    checks without improvement, where that is not 0. What is kept is the `best` check, the
    `last`, or the `average` of those of its second half (`xstilts.training.kept`).

    `pooler` stands between the first token and a classifier, as transformers' BertPooler: `none`;
    `fresh`, drawn for every stage; `pretrained`, the checkpoint's, trained on from stage to stage;
    `carried`, the same where the checkpoint has one, else drawn for the first stage that has a
    classifier. `span_dropout`: whether states are dropped before the head of span QA.

    Of dual encoders: `pooling` makes a vector of states, by tanh of a dense layer on the first
    token (`pooler`: the checkpoint's where it has one, else drawn), the `mean` over all, or the
    `first` as it is. A row is compared with `negatives` others, in groups of a batch, or with all
    where that is 0; `false_negatives`: with those too whose candidate is its own.

    `adapt` is what is changed of the encoder, and how (`xstilts.config.adapt`).
    """

    learning_rate: float
    # A stage has these of each of its parts.
    batch_size: int = field(metadata=ELSEWHERE)
    epochs: float = field(metadata=ELSEWHERE)
    max_length: int = field(metadata=ELSEWHERE)
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    clip_norm: float = 1.0
    checks: int = 10
    dev_examples: int = 500
    warmup_steps: int = 0
    check_every: int = 0
    patience: int = 0
    dev_sample: Literal["stratified", "first"] = "stratified"
    keep: Literal["best", "last", "average"] = "best"
    pooler: Literal["none", "fresh", "pretrained", "carried"] = field(
        default="none", metadata=later("none")
    )
    span_dropout: bool = field(default=True, metadata=later(True))
    pooling: Literal["pooler", "mean", "first"] = field(default="pooler", metadata=later("pooler"))
    negatives: int = field(default=0, metadata=later(0))
    false_negatives: bool = field(default=True, metadata=later(True))
    adapt: Adapt = field(default=Adapt(), metadata=later(Adapt()))

    @property
    def values(self) -> dict[str, Any]:
        """All values as numbers and words: the arm in words, and what it says by name."""
        plain = {name: getattr(self, name) for name in FIELDS}
        said = {f"adapt.{name}": value for name, value in self.adapt.said.items()}
        return plain | {"adapt": str(self.adapt)} | said

    def __post_init__(self) -> None:
        bounds = {
            "learning_rate": 0 < self.learning_rate < math.inf,
            "batch_size": self.batch_size >= 1,
            "epochs": 0 < self.epochs < math.inf,
            "max_length": self.max_length >= 8,
            "warmup_ratio": 0 <= self.warmup_ratio < 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "adam_epsilon": self.adam_epsilon > 0,
            "clip_norm": self.clip_norm > 0,
            "checks": self.checks >= 1,
            "dev_examples": self.dev_examples >= 1,
            "warmup_steps": self.warmup_steps >= 0,
            "check_every": self.check_every >= 0,
            "patience": self.patience >= 0,
            **{name: getattr(self, name) in words for name, words in WORDS.items()},
            "negatives": self.negatives >= 0,
            **{name: isinstance(getattr(self, name), bool) for name in FLAG_FIELDS},
        }
        for name, is_valid in bounds.items():
            if not is_valid:
                raise ValueError(f"{name} cannot be {getattr(self, name)}")


WORDS = {
    "dev_sample": ("stratified", "first"),
    "keep": ("best", "last", "average"),
    "pooler": ("none", "fresh", "pretrained", "carried"),
    "pooling": ("pooler", "mean", "first"),
}
"""Fields whose values are words."""

FIELDS = tuple(field.name for field in fields(StageRecipe) if field.name != "adapt")
"""All fields of a stage recipe with one value; what an arm says has its own names."""

SHOWN = (*FIELDS, "adapt")
"""What tables show of a stage recipe: the arm in words."""

SEARCHABLE = (
    "learning_rate",
    "batch_size",
    "epochs",
    "warmup_ratio",
    "weight_decay",
    "max_length",
    "pooler",
    "pooling",
    "negatives",
)
"""Fields of a stage recipe that a search space may name."""

INTEGER_FIELDS = frozenset(field.name for field in fields(StageRecipe) if field.type == "int")
"""Fields that take whole numbers only."""

FLAG_FIELDS = frozenset(field.name for field in fields(StageRecipe) if field.type == "bool")
"""Fields that are true or false."""


Values = Mapping[str, Any]
"""Values of a stage recipe's fields, by their names."""

PHASES = ("intermediate", "target")
"""The phases whose stages a recipe describes."""


def check_value(name: str, value: Any) -> None:
    """Refuse what a field of a stage recipe cannot be.

    Raises:
        ValueError: with the rule.
    """
    if name in WORDS:
        fits, rule = value in WORDS[name], f"one of {', '.join(WORDS[name])}"
    elif name in FLAG_FIELDS:
        fits, rule = isinstance(value, bool), "true or false"
    elif name in INTEGER_FIELDS:
        fits, rule = type(value) is int, "a whole number"
    else:
        fits, rule = type(value) in (int, float), "a number"
    if not fits:
        raise ValueError(f"{name} is {rule}")
    changes: dict[str, Any] = {name: value}
    replace(_ANY, **changes)


_ANY = StageRecipe(learning_rate=1e-5, batch_size=32, epochs=1, max_length=128)


@dataclass(frozen=True, slots=True)
class Override:
    """What a sweep file says instead of a recipe's values: `everywhere` in each phase, and in the
    stages of single tasks, by phase and task; `adapt` are the arms of phases."""

    everywhere: Mapping[str, Values] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    adapt: Adaptations = field(default_factory=Adaptations)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Defaults of both phases; `per_task` overrides single fields for a task's own stage, and
    `intermediate_per_task` those of the intermediate phase alone. `about` says in a line what it
    is, `evidence` where its values are from; `override` is what a sweep file says."""

    name: str
    about: str
    evidence: str
    intermediate: StageRecipe
    target: StageRecipe
    per_task: Mapping[str, Values]
    intermediate_per_task: Mapping[str, Values] = field(default_factory=dict)
    override: Override = Override()

    def for_task(self, phase: str, task: str, overrides: Values) -> StageRecipe:
        """The recipe of a task in a phase (`intermediate` or `target`).

        `overrides` are values of a trial's parameters; they win over the sweep file's, those over
        the recipe's. In both the values of the task win over those of the phase.
        """
        base = self.intermediate if phase == "intermediate" else self.target
        values = {
            **self.task_values(phase, task),
            **self.override.everywhere.get(phase, {}),
            **self.override.tasks.get(phase, {}).get(task, {}),
            **overrides,
        }
        return self._made(phase, base, values)

    def for_link(self, target: str, link: str, overrides: Values) -> StageRecipe:
        """The recipe of one link of the chain that a target is trained in, or of the target itself
        where it is not.

        Each link has the values that the target would have, under its own: the recipe's, and those
        that the file says of the link, which win over a trial's parameters too, so that trials that
        differ in these may share it. It keeps its last weights, unless the file says otherwise.
        """
        if link == target:
            return self.for_task("target", target, overrides)
        said = self.override.tasks.get("target", {})
        values = {
            **self.task_values("target", target),
            **self.task_values("target", link),
            "keep": "last",
            **self.override.everywhere.get("target", {}),
            **said.get(target, {}),
            **overrides,
            **said.get(link, {}),
        }
        return self._made("target", self.target, values)

    def _made(self, phase: str, base: StageRecipe, values: Values) -> StageRecipe:
        """The recipe under some values, those of arms among them."""
        drawn = {name: value for name, value in values.items() if is_of_an_arm(name)}
        own = {name: value for name, value in values.items() if name not in drawn}
        adapt = self.override.adapt.of(phase, drawn)
        if adapt.average:
            own["keep"] = "average"
        return replace(base, **own, adapt=adapt)

    def task_values(self, phase: str, task: str) -> dict[str, Any]:
        """The recipe's own values of a task in a phase, where they differ from the phase's."""
        values = dict(self.per_task.get(task, {}))
        if phase == "intermediate":
            values |= self.intermediate_per_task.get(task, {})
        return values
