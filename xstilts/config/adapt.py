"""What a stage changes of the encoder, and how: the arms that a sweep file may take in a phase.

Without a word every weight is fine-tuned (`full`). An arm is said by its values, in the file under
`recipe.adapt`, in a search space as `adapt.PHASE.VALUE` with the same names. What training does
with them is in `xstilts.training`; which families and kinds can take them in `adapt_checks.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xstilts.identity import later

FULL = "full"
"""Every weight is trained, by the recipe alone."""

Schedule = Literal["linear", "cosine", "constant_then_decay"]
SCHEDULES: tuple[Schedule, ...] = ("linear", "cosine", "constant_then_decay")

Values = Mapping[str, Any]
"""Values of arms by their names, such as `lora.rank`."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters (Hu et al. 2022, arXiv 2106.09685) instead of the encoder's own weights:
    W + alpha/rank B A at the linear layers whose names end in one of `modules`; where none is
    named, at those of the queries and the values."""

    rank: int = 8
    alpha: float = 16.0
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adapt:
    """What a stage changes of the encoder, and how.

    `frozen` is the number of lowest layers that stay as they are, with the embeddings; 0: the
    embeddings alone, None: nothing. `layer_decay` is by what each layer's learning rate is that of
    the layer above it. `l2_sp` weighs the squared distance to the pretrained weights. `dropout`
    takes the place of the encoder's. Of the schedule `constant_then_decay` the last `decay_share`
    of the steps decays. `label_smoothing` is the share of a label that all labels have evenly.
    `average` is the number of last checks whose mean weights are kept; 0: the recipe's `keep`
    holds.
    """

    lora: Lora | None = field(default=None, metadata=later(None))
    frozen: int | None = field(default=None, metadata=later(None))
    layer_decay: float = field(default=1.0, metadata=later(1.0))
    l2_sp: float = field(default=0.0, metadata=later(0.0))
    dropout: float | None = field(default=None, metadata=later(None))
    schedule: Schedule = field(default="linear", metadata=later("linear"))
    decay_share: float = field(default=0.2, metadata=later(0.2))
    label_smoothing: float = field(default=0.0, metadata=later(0.0))
    average: int = field(default=0, metadata=later(0))

    def __post_init__(self) -> None:
        if self.lora is not None:
            for name in ("frozen", "layer_decay", "l2_sp"):
                if getattr(self, name) != getattr(_DEFAULTS, name):
                    raise ValueError(
                        f"{name} says what becomes of the encoder's own weights, which stay as "
                        "they are beside lora"
                    )

    @property
    def said(self) -> dict[str, Any]:
        """The values that are not those of `full`, by name, as numbers and words."""
        values: dict[str, Any] = {}
        if self.lora is not None:
            modules = ", ".join(self.lora.modules) or "queries and values"
            values = {"lora.rank": self.lora.rank, "lora.alpha": self.lora.alpha}
            values["lora.modules"] = modules
        if self.frozen is not None:
            values["frozen"] = f"layers {self.frozen}" if self.frozen else "embeddings"
        for name in ("layer_decay", "l2_sp", "dropout", "schedule", "label_smoothing", "average"):
            if (own := getattr(self, name)) != getattr(_DEFAULTS, name):
                values[name] = own
        if self.schedule == "constant_then_decay":
            values["decay_share"] = self.decay_share
        return values

    def __str__(self) -> str:
        words = (
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.said.items()
        )
        return ", ".join(words) or FULL


# What `Adapt` itself compares with; made without looking at itself.
_DEFAULTS = Adapt()


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a value must be, in words and as a test; `made` is what it becomes."""

    words: str
    holds: Callable[[Any], bool]
    made: Callable[[Any], Any] = lambda value: value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


_LAST = re.compile(r"last [1-9]\d*")


def _frozen(value: Any) -> int | None:
    if isinstance(value, str):
        return {"none": None, "embeddings": 0}[value]
    return int(value)


def _average(value: Any) -> int:
    return value if type(value) is int else int(value.removeprefix("last "))


_RULES: Mapping[str, _Rule] = {
    "lora.rank": _Rule("a whole number, 0 for none", _is_count),
    "lora.alpha": _Rule("a number above 0", lambda x: _is_number(x) and x > 0, float),
    "lora.modules": _Rule(
        "a list of names of linear layers, or one",
        lambda x: (
            isinstance(x, str)
            or (isinstance(x, (list, tuple)) and bool(x) and all(isinstance(own, str) for own in x))
        ),
        lambda x: (x,) if isinstance(x, str) else tuple(x),
    ),
    "frozen": _Rule(
        "embeddings, none, or {layers: N}",
        lambda x: x in ("none", "embeddings") if isinstance(x, str) else _is_count(x),
        _frozen,
    ),
    "layer_decay": _Rule(
        "a number above 0, 1 at most", lambda x: _is_number(x) and 0 < x <= 1, float
    ),
    "l2_sp": _Rule("a number, 0 or above", lambda x: _is_number(x) and x >= 0, float),
    "dropout": _Rule("a rate in [0, 1)", lambda x: _is_number(x) and 0 <= x < 1, float),
    "schedule": _Rule(f"one of {', '.join(SCHEDULES)}", lambda x: x in SCHEDULES),
    "decay_share": _Rule(
        "a share above 0, 1 at most", lambda x: _is_number(x) and 0 < x <= 1, float
    ),
    "label_smoothing": _Rule("a share in [0, 1)", lambda x: _is_number(x) and 0 <= x < 1, float),
    "average": _Rule(
        "`last N`, of the checks of one run: the heads of other runs start differently",
        lambda x: _is_count(x) or (isinstance(x, str) and bool(_LAST.fullmatch(x))),
        _average,
    ),
}

NAMES = tuple(_RULES)
"""The values of arms that a file may say and a search space may name."""

_IN_A_SECTION = {"frozen.layers": "frozen"}
"""Names that stand for another: those that a mapping of a file gives."""

SEARCHED = (*NAMES, *_IN_A_SECTION)


def made(name: str, value: Any) -> tuple[str, Any]:
    """A value by its name as `Adapt` has it.

    Raises:
        ValueError: no value of an arm has that name, or it is none that this one takes.
    """
    if name == "frozen.layers" and not _is_count(value):
        raise ValueError("frozen.layers is a whole number")
    own = _IN_A_SECTION.get(name, name)
    if own not in _RULES:
        raise ValueError(f"{name} is no value of an arm")
    rule = _RULES[own]
    if not rule.holds(value) or (name == "frozen" and type(value) is int):
        raise ValueError(f"{name} is {rule.words}")
    return own, rule.made(value)


def flat(said: Any) -> dict[str, Any]:
    """What a file says of an arm by the names of its values; nothing of `full`."""
    if said == FULL or not isinstance(said, Mapping):
        return {}
    values: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, Mapping):
            # `lora: {}` is one with its defaults.
            own = value or {"rank": Lora().rank}
            values |= {f"{name}.{key}": one for key, one in own.items()}
        else:
            values[name] = value
    return values


def adapt_of(values: Values) -> Adapt:
    """The arm of some values.

    Raises:
        ValueError: some value is wrong, or excludes another.
    """
    found = dict(made(name, value) for name, value in values.items())
    own = {name.removeprefix("lora."): found.pop(name) for name in NAMES[:3] if name in found}
    lora = Lora(**own) if own and own.get("rank") != 0 else None
    adapt = Adapt(lora=lora, **found)
    if adapt.schedule != "constant_then_decay":
        adapt = replace(adapt, decay_share=_DEFAULTS.decay_share)  # which nothing reads
    return adapt


@dataclass(frozen=True, slots=True)
class Adaptations:
    """What a sweep file says of arms: the values of each phase, and those of the arms that have a
    name, by which a phase or a search space may take them."""

    phases: Mapping[str, Values] = field(default_factory=dict)
    arms: Mapping[str, Values] = field(default_factory=dict)

    def of(self, phase: str, drawn: Values) -> Adapt:
        """The arm of a phase under what a trial draws: `adapt`, the name of an arm, in the place of
        the file's values, and `adapt.VALUE`.

        Raises:
            ValueError: see `adapt_of`.
        """
        base = self.phases.get(phase, {})
        if "adapt" in drawn:
            base = {} if drawn["adapt"] == FULL else self.arms[drawn["adapt"]]
        own = {
            name.removeprefix("adapt."): value for name, value in drawn.items() if name != "adapt"
        }
        names = {_IN_A_SECTION.get(name, name) for name in own}
        kept = {k: v for k, v in base.items() if _IN_A_SECTION.get(k, k) not in names}
        return adapt_of({**kept, **own})


def is_of_an_arm(name: str) -> bool:
    """Whether a value that a trial draws for a phase is an arm's, not the recipe's."""
    return name == "adapt" or name.startswith("adapt.")


def adaptations_of(said: Mapping[str, Any]) -> Adaptations:
    """What stands under `recipe.adapt` of a file: phases, each by an arm's name or its values. What
    is said wrongly is nothing here; `adapt_checks` refuses it."""
    named = said.get("arms")
    arms = {name: flat(own) for name, own in named.items()} if isinstance(named, Mapping) else {}
    phases = {
        phase: arms.get(own, {}) if isinstance(own, str) else flat(own)
        for phase, own in said.items()
        if phase != "arms"
    }
    return Adaptations(phases, arms)
