"""What a trial leaves in its folder, and how it is read; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from xstilts.files import read_json_if_whole
from xstilts.run.stage_results import is_done
from xstilts.run.store import Store

RECORD = "record.json"
"""Scores, stages and costs of a trial that ended."""

STATUS = "status.json"
"""Where a trial is, for whoever watches."""

STAGES = "stages.json"
"""Names of the stages that a trial reads or computes, from its beginning on: nobody else may
delete them."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial that has ended. `state` is `finished`, or `failed` with the reason in `error`.

    `point` are the parameters of its configuration, `metrics` have the names of the tracker (scores
    0-100), `objective` is the one that the search maximises, None where it failed.
    """

    trial: str
    config_id: str
    state: str
    error: str
    intermediate: str
    model: str
    seed: int
    point: Mapping[str, Any]
    objective: float | None
    metrics: Mapping[str, float]
    record: Mapping[str, Any] = field(repr=False)
    """All that the trial left, JSON-able, as it stands in its folder."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> TrialRecord:
        """The trial that a record tells of."""
        names = (one.name for one in fields(cls))
        own = {name: record[name] for name in names if name not in ("config_id", "record")}
        return cls(config_id=record["config"], record=record, **own)


def read_record(folder: Path) -> dict[str, Any] | None:
    """A trial's record; None before it ended, and where it is torn: it is written again then."""
    return read_json_if_whole(folder / RECORD, dict)


def read_status(folder: Path) -> dict[str, Any] | None:
    """What a trial said last of where it is; None before it began."""
    return read_json_if_whole(folder / STATUS, dict)


def read_stages(folder: Path) -> list[str] | None:
    """The stages that a trial named before it used them; None where nobody can say any more."""
    return read_json_if_whole(folder / STAGES, list)


def is_finished(record: dict[str, Any] | None, store: Store) -> bool:
    """Whether a trial's record is final and every stage behind it is still in the store."""
    if record is None or record["state"] != "finished":
        return False
    return all(is_done(store.folder / stage["name"]) for stage in record["stages"])


def is_of(
    record: Mapping[str, Any], targets: Sequence[str], processes: int, precision: str
) -> bool:
    """Whether a finished trial has scored all of these targets, trained by so many processes in
    this precision: what a sweep may change after the trial has ended.

    A record that does not say how its trial was trained is one of before it could change.
    """
    scored = {row["target"] for row in record["scores"]}
    how = (record.get("processes", processes), record.get("precision", precision))
    return scored >= set(targets) and how == (processes, precision)
