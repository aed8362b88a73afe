"""What trials and stages leave on disk, typed, with the version of its form; read in one place.

Writers turn these into JSON; readers get them back, whatever version wrote them: a field that came
later has a default, and what a field meant before is brought to what it means now. Reading needs
pydantic, which is imported late: training knows the types and runs without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from xstilts.errors import StoreError
from xstilts.files import read_json_if_whole

logger = logging.getLogger(__name__)

SCHEMA = 1
"""Version of the form that is written. What says none was written before there was one."""

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
    those before a checkpoint.
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


@dataclass(frozen=True, slots=True)
class StageManifest:
    """What a finished stage says of itself.

    `started`: seconds since the epoch; `seconds`: what it took, those before a checkpoint included;
    `computed_by`: the trial that paid for it, `sweep/trial`; `environment`: versions, device,
    threads. A training stage has an `outcome`; an evaluation has `scores` by language and metric,
    0-100, `rows` by language and `evaluation_s` by what took them.
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
    schema: int = 0

    @property
    def trained(self) -> Outcome:
        """The outcome of a training stage."""
        assert self.outcome is not None, f"{self.name}: is no training stage"
        return self.outcome


def read_if_whole(path: Path, sort: type[T]) -> T | None:
    """A file whose loss costs time and no result; None where it is not there, and, with a warning,
    where it is torn or holds something else.

    Raises:
        StoreError: a later version wrote it.
    """
    value = read_json_if_whole(path, dict)
    if value is None:
        return None
    try:
        return typed(value, sort, str(path))
    except ValueError as error:
        logger.warning("%s: cannot be read, and counts as absent: %s", path, error)
        return None


def manifest_of(value: Mapping[str, Any], where: str) -> StageManifest:
    """A stage's manifest.

    Raises:
        StoreError: it is none, or a later version wrote it.
    """
    try:
        manifest = typed(value, StageManifest, where)
    except ValueError as error:
        raise StoreError(f"{where}: is no manifest of a stage: {error}") from error
    told = value.get("outcome")
    if manifest.outcome is None or told is None or "undecided" in told:
        return manifest
    verdicts = judged(told)
    outcome = replace(
        manifest.outcome, collapsed=verdicts["collapsed"], undecided=verdicts["undecided"]
    )
    return replace(manifest, outcome=outcome)


def judged(told: Mapping[str, Any]) -> dict[str, list[str]]:
    """What collapsed and what is undecided, of a stage's outcome or a trial's record.

    Until version 9 of training both were one: a dev score less than 10 points over the majority
    class, which decides nothing by itself.
    """
    if "undecided" in told:
        return {name: list(told[name]) for name in ("collapsed", "undecided")}
    return {"collapsed": [], "undecided": list(told["collapsed"])}


def typed(value: Mapping[str, Any], sort: type[T], where: str) -> T:
    """A JSON object as one of the classes here; keys that the class has not are left out.

    Raises:
        StoreError: a later version wrote it.
        ValueError: it does not have the class's form.
    """
    schema = value.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(f"{where}: a later version of xstilts wrote it; use that one")
    found: T = _adapter(sort).validate_python(value)  # type: ignore[arg-type] # a type is hashable
    return found


@cache
def _adapter(sort: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(sort)
