"""What trials and stages leave on disk, typed, with the version of its form; read in one place.

Writers turn these into JSON; readers get them back, whatever version wrote them: a field that came
later has a default, and what a field meant before is brought to what it means now. Reading needs
pydantic, which is imported late: training knows the types and runs without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from xstilts.errors import StoreError
from xstilts.score_rows import ScoreRows

logger = logging.getLogger(__name__)

SCHEMA = 2
"""Version of the form that is written. What says none was written before there was one; version 1
has a row of the score table by itself, with all of its names, which is three times as long."""

SEARCH, CONFIRM, RUNG = "search", "confirm", "rung"
"""The phases of a sweep: trials of search, those that confirm its choice with fresh seeds, and
those of a race's lower rungs, which train less than the whole and only say who runs next."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a trial. Times in seconds since the epoch; `progress` stands for how far the
    trial was when it began; `ended` and `how` (`finished`, `failed`, `stopped`, `lost`) are None as
    long as nobody has said how it ended."""

    started: float
    host: str = ""
    pid: int = 0
    progress: str = ""
    ended: float | None = None
    how: str | None = None


@dataclass(slots=True)
class Outcome:
    """What a training stage reports besides its weights; times in seconds.

    `examples` are those that were drawn, by task and language: a stage that stops early draws
    fewer than planned. `dev` is of the weights that are kept, by task and metric, 0-100;
    `collapsed` and `undecided` (`xstilts.training.dev_checks.Final`) are of the last. `wait_s` is
    what steps waited for their batch. `max_tokens` is what a micro-batch may hold, `halvings` how
    often memory made it smaller in this stage, `is_limited` whether it ever did. Times include
    those before a checkpoint. `pivots` and `pivot_rows` are the dev scores of pivot languages and
    their rows, by task and language.
    """

    dev: dict[str, dict[str, float]]
    dev_rows: dict[str, int]
    floor: dict[str, float]
    curve: list[dict[str, float]]
    best_step: int
    steps: int
    tokens: int
    examples: dict[str, dict[str, int]]
    model_s: float
    wait_s: float
    checkpoint_s: float
    total_s: float
    max_tokens: int
    halvings: int
    is_limited: bool
    collapsed: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    pivots: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    pivot_rows: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageManifest:
    """What a finished stage says of itself.

    `started`: seconds since the epoch; `seconds`: what it took, those before a checkpoint included;
    `computed_by`: the trial that paid for it, `sweep/trial`; `environment`: versions, device,
    threads. A training stage has an `outcome`; an evaluation has `scores` by language and metric,
    0-100, `rows` by language and `evaluation_s` by what took them; a signal has its `values`, or a
    `hole`: why it has none.
    """

    name: str
    fingerprint: str
    started: float
    seconds: float
    computed_by: str
    environment: dict[str, Any]
    outcome: Outcome | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    evaluation_s: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    hole: str = ""
    schema: int = 0

    @property
    def trained(self) -> Outcome:
        """The outcome of a training stage."""
        assert self.outcome is not None, f"{self.name}: is no training stage"
        return self.outcome


@dataclass(frozen=True, slots=True)
class Status:
    """Where a running trial is: the stage that it is in, and the share of all that is `done`.
    `started` and `updated` are in seconds since the epoch."""

    stage: str
    done: float
    started: float
    updated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """A stage that a trial computed or read.

    `asked` is when the trial came to it, `started` when whoever computed it began (seconds since
    the epoch), `seconds` what it took them, `wait_s` how long the trial waited for them. An
    evaluation has no tokens and steps. `max_tokens` is what a micro-batch may hold where memory
    made it smaller, else 0. What is None was not told when the record was written.
    """

    name: str
    fingerprint: str
    is_reused: bool
    seconds: float
    wait_s: float
    tokens: int
    asked: float | None = None
    started: float | None = None
    threads: int | None = None
    steps: int | None = None
    loader_s: float = 0.0
    checkpoint_s: float = 0.0
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cell that the inner search kept for a set of targets: its stage and its `values`, and the
    `links` of its chain that the stage goes on from.

    Where a final stage took its place, `selected` is the stage that was chosen by dev, and
    `best_step` the step that the final one trains to.
    """

    stage: str
    values: dict[str, Any]
    selected: str | None = None
    best_step: int | None = None
    links: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a record has it: the values beside what else is told."""
        told: dict[str, Any] = {"links": list(self.links)} if self.links else {}
        if self.selected is not None:
            told |= {"selected": self.selected, "best_step": self.best_step}
        return {**self.values, "stage": self.stage, **told}

    @property
    def stages(self) -> tuple[str, ...]:
        """All training stages of the target, in their order."""
        return (*self.links, *filter(None, (self.selected, self.stage)))

    @property
    def learning_rate(self) -> float | None:
        """The peak learning rate of the stage."""
        return self.values.get("learning_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial that has ended. `state` is `finished`, or `failed` with the reason in `error`.

    `point` are the parameters of its configuration, `metrics` have the names of the tracker (scores
    0-100), `objective` is the one that the search maximises, None where it failed. `chosen` and the
    target's `recipes` are by target, `recipes` of the intermediate by task, `examples` by task and
    language. `retries` says how often a stage was tried with another seed, by the name that the
    trial gives it. Times are in seconds since the epoch. A trial whose `phase` is `confirm` scores
    the targets under `confirms` alone, each trained at the one point that stands there; one of a
    race scores its `targets` alone, else None. It may have been run again with more of them: of
    those that it failed on then, `error` says why, and what it had finished before stays. One whose
    phase is `rung` has trained the share `rung` of every budget and has dev scores alone.

    `signals` are those of its encoder, by what is told of each, where a race asked for them;
    `probes` what a sweep's probes said of it, by PROBE/LANGUAGE and PROBE/LANGUAGE/LAYER
    (`xstilts.scores.probes`), `probe_holes` why one of them said nothing.
    `curves` are points of the training curves by stage, which stay as JSON gives them.
    """

    trial: str
    attempt: int = field(default=0, repr=False)
    config: str
    sweep: str = field(repr=False)
    state: str
    error: str
    diverged: bool = field(default=False, repr=False)
    point: dict[str, Any]
    seed: int
    phase: str = SEARCH
    confirms: Mapping[str, dict[str, Any]] | None = field(default=None, repr=False)
    targets: list[str] | None = field(default=None, repr=False)
    rung: float = field(default=1.0, repr=False)
    signals: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)
    probes: dict[str, float] = field(default_factory=dict, repr=False)
    probe_holes: dict[str, str] = field(default_factory=dict, repr=False)
    model: str
    intermediate: str
    rates: dict[str, float] = field(repr=False)
    examples: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)
    learning_rate: float | None = field(repr=False)
    chosen: dict[str, Chosen] = field(repr=False)
    recipes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict, repr=False)
    metrics: dict[str, float]
    missing: list[str] = field(repr=False)
    collapsed: list[str] = field(repr=False)
    undecided: list[str] = field(repr=False)
    retries: dict[str, int] = field(default_factory=dict, repr=False)
    objective: float | None
    scores: ScoreRows = field(repr=False)
    stages: list[StageEntry] = field(repr=False)
    curves: dict[str, list[Any]] = field(repr=False)
    environment: dict[str, Any] = field(repr=False)
    processes: int | None = field(default=None, repr=False)
    precision: str | None = field(default=None, repr=False)
    started: float = field(repr=False)
    ended: float = field(repr=False)
    schema: int = field(default=0, repr=False)

    @property
    def config_id(self) -> str:
        """The trial's configuration, without its seed."""
        return self.config

    @property
    def is_confirming(self) -> bool:
        """Whether it confirms what search chose, and so chooses nothing."""
        return self.phase == CONFIRM

    @property
    def is_searching(self) -> bool:
        """Whether it is a whole run of search, the baseline's too, which choices are made from."""
        return self.phase == SEARCH

    @property
    def is_short(self) -> bool:
        """Whether it is of a lower rung of a race: what it gave is no result."""
        return self.phase == RUNG

    @property
    def record(self) -> dict[str, Any]:
        """All that the trial left, JSON-able; `scores` a row by itself."""
        return {**self.to_json(), "scores": list(self.scores)}

    def to_json(self) -> dict[str, Any]:
        """The same as it stands in the trial's folder."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        chosen = {name: one.to_json() for name, one in self.chosen.items()}
        scores = {"once": self.scores.once, "columns": self.scores.columns}
        stages = [asdict(stage) for stage in self.stages]
        return {**own, "chosen": chosen, "scores": scores, "stages": stages, "schema": SCHEMA}


def read_if_whole(path: Path, sort: type[T]) -> T | None:
    """A file whose loss costs time and no result; None where it is not there, and, with a warning,
    where it is torn or holds something else.

    Raises:
        StoreError: a later version wrote it.
    """
    from pydantic_core import from_json  # a third of the standard library's time

    try:
        value = from_json(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return typed(value, sort, str(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("%s: cannot be read, and counts as absent: %s", path, error)
        return None


def manifest_of(value: Mapping[str, Any], where: str) -> StageManifest:
    """A stage's manifest.

    Raises:
        StoreError: it is none, or a later version wrote it.
    """
    try:
        return typed(value, StageManifest, where)
    except ValueError as error:
        raise StoreError(f"{where}: is no manifest of a stage: {error}") from error


def typed(value: Mapping[str, Any], sort: type[T], where: str) -> T:
    """A JSON object as one of the classes here; keys that the class has not are left out.

    Raises:
        StoreError: a later version wrote it.
        ValueError: it does not have the class's form.
    """
    schema = value.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(f"{where}: a later version of xstilts wrote it; use that one")
    from pydantic import ValidationError

    value = AS_NOW.get(sort, dict)(value)
    try:
        found: T = _adapter(sort).validate_python(value)  # type: ignore[arg-type] # it is hashable
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return found


def _judged(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 9 of training, what collapsed and what is undecided were one: a dev score less
    than 10 points over the majority class, which decides nothing by itself."""
    if "undecided" in told:
        return told
    return {**told, "collapsed": [], "undecided": told.get("collapsed", [])}


def _manifest_as_now(value: Mapping[str, Any]) -> Mapping[str, Any]:
    outcome = value.get("outcome")
    return {**value, "outcome": _judged(outcome)} if isinstance(outcome, dict) else value


def _record_as_now(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(scores := value.get("scores"), list):
        value = {**value, "scores": ScoreRows.of(scores)}
    chosen = value.get("chosen")
    if not isinstance(chosen, dict):
        return value
    return {**_judged(value), "chosen": {name: _chosen_of(one) for name, one in chosen.items()}}


def _chosen_of(told: Any) -> Any:
    """The values that stand beside what else is told of a chosen cell, by themselves."""
    if not isinstance(told, dict):
        return told
    own = {one.name for one in fields(Chosen)} - {"values"}
    return {**told, "values": {name: value for name, value in told.items() if name not in own}}


AS_NOW: Mapping[type[Any], Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    StageManifest: _manifest_as_now,
    TrialRecord: _record_as_now,
}
"""What JSON of some classes was, or is, otherwise than the class, brought to what the class is."""


@cache
def _adapter(sort: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(sort)
