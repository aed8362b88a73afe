"""The port to an experiment tracker.

A tracked run is described whole, and writing it twice changes nothing, so a tracker that was
unreachable or lost its file is brought up to date by writing everything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from xstilts.files import sha256_of, sha256_of_file
from xstilts.scores.aggregate import DEV, GROUP, Metric, is_profile


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric; `time_ms` since the epoch, fixed by the record it comes from.

    Points of one `part` are written together.
    """

    key: str
    value: float
    step: int
    time_ms: int
    part: str = "scores"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run as it should stand in the tracker. `key` is unique in the experiment.

    `state` is running, finished or failed. `artifacts` maps a path in the run to a local file,
    `pictures` a name under which charts show it to a local PNG. `note` is Markdown.
    """

    key: str
    name: str
    state: str
    started_ms: int
    ended_ms: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[Point] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    note: str = ""

    @property
    def digests(self) -> dict[str, str]:
        """Identity of the content, part by part: `about`, `artifacts`, and those of the metrics. A
        part whose digest the tracker has is not written again."""
        parts: dict[str, Any] = {
            "about": [self.state, dict(self.params), dict(self.tags), self.note],
            "artifacts": {name: sha256_of_file(path) for name, path in self.artifacts.items()},
            "pictures": {name: sha256_of_file(path) for name, path in self.pictures.items()},
        }
        for p in self.metrics:
            parts.setdefault(part_of(p), []).append([p.key, p.value, p.step, p.time_ms])
        return {name: sha256_of(part)[:12] for name, part in parts.items()}


def part_of(point: Point) -> str:
    """The part of a run that a point belongs to, among its digests."""
    return f"metrics/{point.part}"


def metric_name(metric: Metric) -> str:
    """What the tracker calls a number of a trial; records and reports look numbers up by it."""
    if metric.metric in (DEV, GROUP) and not metric.language:
        return f"{metric.metric}/{metric.target}"
    language = "" if is_profile(metric.metric) else metric.language
    return "/".join(part for part in (metric.target, metric.metric, language) if part)


@dataclass(frozen=True, slots=True)
class TrackedExperiment:
    """What a tracker shows of the experiment itself: a note in Markdown, and tags, among them the
    views that it stores."""

    note: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """What a tracker does."""

    def describe(self, experiment: TrackedExperiment) -> None:
        """Set the note and the tags of the experiment; doing it again changes nothing.

        Raises:
            TrackingError: as `write`.
        """

    def write(self, run: TrackedRun) -> None:
        """Create or complete a run; writing the same run again changes nothing.

        Raises:
            TrackingError: the tracker cannot be reached or refuses; trying again later may help.
            ForeignExperiment: the experiment of that name is another's; nothing was written.
        """
