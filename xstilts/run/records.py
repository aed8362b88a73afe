"""Where a trial's files lie in its folder, and how its record is written and read; nothing here
needs torch. What the files hold is in `xstilts.records`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xstilts.files import read_json_if_whole, write_json
from xstilts.plan.stage import Signal, Train, stage_name
from xstilts.plan.trial_plan import TrialPlan, retried
from xstilts.records import Status, TrialRecord, read_if_whole
from xstilts.run.stage_results import is_done
from xstilts.run.store import Store

RECORD = "record.json"
"""Scores, stages and costs of a trial that ended."""

STATUS = "status.json"
"""Where a trial is, for whoever watches."""

STAGES = "stages.json"
"""Names of the stages that a trial reads or computes, from its beginning on: nobody else may
delete them."""


def write_record(folder: Path, record: TrialRecord) -> None:
    """Write a trial's record, which ends it."""
    write_json(folder / RECORD, record.to_json(), indent=None)


def kept_of(folder: Path, record: TrialRecord) -> TrialRecord:
    """What is written of a trial that has ended: of a race's that fails on targets which it was
    given later, its record of before, with the reason."""
    before = read_record(folder) if record.targets and record.state == "failed" else None
    if before is None or before.state != "finished" or before.targets is None:
        return record
    added = [name for name in record.targets or () if name not in before.targets]
    error = f"{', '.join(added)}: {record.error}"
    return replace(before, error=error, attempt=record.attempt, ended=record.ended)


def read_record(folder: Path) -> TrialRecord | None:
    """A trial's record; None before it ended, and where it is torn: it is written again then.

    Raises:
        StoreError: a later version wrote it.
    """
    return read_if_whole(folder / RECORD, TrialRecord)


def read_status(folder: Path) -> Status | None:
    """What a trial said last of where it is; None before it began."""
    return read_if_whole(folder / STATUS, Status)


def read_stages(folder: Path) -> list[str] | None:
    """The stages that a trial named before it used them; None where nobody can say any more."""
    return read_json_if_whole(folder / STAGES, list)


def is_finished(record: TrialRecord | None, store: Store) -> bool:
    """Whether a trial's record is final and every stage behind it is still in the store."""
    if record is None or record.state != "finished":
        return False
    return all(is_done(store.folder / stage.name) for stage in record.stages)


def is_of(record: TrialRecord, targets: Sequence[str], processes: int, precision: str) -> bool:
    """Whether a finished trial has scored all of these targets, trained by so many processes in
    this precision: what a sweep may change after the trial has ended.

    A record that does not say how its trial was trained is one of before it could change.
    """
    scored = set(record.scores.columns.get("target", ()))
    is_as_now = record.processes in (None, processes) and record.precision in (None, precision)
    return scored >= set(targets) and is_as_now


def is_trained_as(record: TrialRecord, plan: TrialPlan, retries: int) -> bool:
    """Whether a finished trial has the training stages of its plan, each tried with at most
    `retries` further seeds. What hangs on a stage that was tried again has another name than the
    plan says, and is not looked at."""
    names = {stage.name for stage in record.stages}

    def is_there(stage: Train) -> bool:
        return any(stage_name(retried(stage, i)) in names for i in range(retries + 1))

    encoder = plan.encoder
    if isinstance(encoder, Train) and stage_name(encoder) not in names:
        return is_there(encoder)
    own = (group.cells for group in plan.target_sets if group.cells)
    return all(any(is_there(x.stage) or x.stage.links_before for x in cells) for cells in own)


def is_probed(record: TrialRecord, plan: TrialPlan, retries: int) -> bool:
    """Whether a finished trial has read all probes of its plan, which a sweep may ask for later.
    Its encoder may be one that was tried with another seed, at most `retries` times."""
    names = {stage.name for stage in record.stages}

    def is_read(probe: Signal) -> bool:
        parent = probe.parent
        again = retries if isinstance(parent, Train) else 0
        tried = [retried(parent, i) for i in range(1, again + 1) if isinstance(parent, Train)]
        return any(stage_name(replace(probe, parent=one)) in names for one in (parent, *tried))

    return all(map(is_read, plan.probes))
