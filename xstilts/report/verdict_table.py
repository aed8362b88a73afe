"""Verdicts as people and programs read them: the first table, the lines below it, and the commands
by which its best is had and its doubts are settled.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.config.check import LEAST_SEEDS
from xstilts.config.derive import NONE, fresh_seeds, overlaps
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.report.verdict_words import behind, is_of_none, recipe_of
from xstilts.run.places import Places
from xstilts.tasks.kinds import IN_TRANSFORMERS

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.report.verdicts import TargetVerdict

COLLAPSED, OVERLAP = "†", "°"

APART = ("collapsed", "settling")
"""What a verdict's JSON has in another form, or not at all."""

HEADER = ("target", "verdict", "best", "score", "none", "gain", "95 %", "n")


def export_command(sweep: Sweep, places: Places, told: TargetVerdict) -> str | None:
    """What writes the best of a target as a folder for `from_pretrained`: its model, or of a target
    that trains none in such a form the intermediate's encoder. None where there is neither."""
    if told.exported is None:
        return None
    task = find_task(sweep, told.target)
    if find_task(sweep, task.head).is_trained and task.kind in IN_TRANSFORMERS:
        what = ["best", "--model", told.target, f"{told.target}-model"]
    elif not is_of_none(told):
        what = [told.exported, "--encoder", f"{told.target}-encoder"]
    else:
        return None
    words = ["xstilts", "export", places.name, *what, "--storage", storage_here(places)]
    return shlex.join(words)


def confirm_command(results: Results, told: TargetVerdict) -> str | None:
    """What runs so many fresh seeds as are forecast to settle a target, and all other targets'
    leaders with them; None where nothing is to be settled, or nobody knows how many it takes."""
    settling = told.verdict.settling
    if settling is None or not settling.more:
        return None
    own = (one for one in results.confirmed if told.target in (one.confirms or {}))
    ran, more, number = {one.seed for one in own}, settling.more, 0
    for number, seed in enumerate(fresh_seeds(results.sweep), 1):
        more -= seed not in ran
        if more <= 0 and number >= LEAST_SEEDS:
            break
    where = ["--storage", storage_here(results.places)]
    return shlex.join(["xstilts", "confirm", results.places.name, "--seeds", str(number), *where])


def storage_here(places: Places) -> str:
    """The storage as it can be typed here."""
    where = Path(os.path.relpath(places.storage))
    return str(places.storage if ".." in where.parts else where)


def verdict_json(
    sweep: Sweep, places: Places, told: TargetVerdict, records: Mapping[str, TrialRecord]
) -> dict[str, Any]:
    """A verdict as JSON, the same names as in `SweepResults.best`; None where not known."""
    said = told.verdict
    counts = said.collapsed or {}
    return {
        **{name: value for name, value in asdict(said).items() if name not in APART},
        "ties": list(said.ties),
        "collapsed": {
            name: list(counts[arm]) if arm in counts else None
            for name, arm in (("best", said.best or ""), ("none", NONE))
        },
        "trials": list(told.trials),
        **asdict(recipe_of(sweep, told.target, told.trials, records)),
        "command": export_command(sweep, places, told),
    }


def verdict_rows(results: Results) -> list[list[str]]:
    """A row a target, for the columns of `HEADER`."""
    return [_row(results, told) for told in results.verdicts.values()]


def verdict_numbers(results: Results) -> dict[str, list[float | None]]:
    """What the columns of `HEADER` are, as numbers, a value a row."""
    told = list(results.verdicts.values())
    bests = [one.arms.get(one.verdict.best or "") for one in told]
    return {
        "value": [one.verdict.score for one in told],
        "sd": [best.sd if best else None for best in bests],
        "none_value": [one.verdict.none for one in told],
        "gain_value": [one.verdict.gain for one in told],
        "low": [one.verdict.low for one in told],
        "high": [one.verdict.high for one in told],
        "seeds": [one.verdict.seeds for one in told],
    }


def verdict_note(results: Results) -> str:
    """What the columns are, and what is missing."""
    lines = [
        "score, none: means over languages and the runs that learnt; gain: with its 95 % interval "
        "over seeds and items; n: seeds"
    ]
    told = results.verdicts.values()
    tried = {
        one.was_tried for one in told if one.verdict.gain_name == "search gain" and one.verdict.best
    }
    if tried:
        why = {False: "no fresh seeds confirm it", True: "too few with fresh seeds learnt"}
        lines.append(
            "search gain: of the seeds that chose it, too good by the luck of the draw; "
            + ", or ".join(why[was_tried] for was_tried in sorted(tried))
        )
    return "; ".join(lines) + "."


def _row(results: Results, told: TargetVerdict) -> list[str]:
    said = told.verdict
    collapsed = (said.collapsed or {}).get(said.best or "", (0, 0))[0]
    best = said.best or "-"
    if said.best and overlaps(results.sweep, said.best, told.target):
        best += OVERLAP
    interval = "-"
    if said.low is not None and said.high is not None:
        interval = f"{said.low:+.1f} to {said.high:+.1f}"
    elif said.gain is not None and said.best != NONE:
        interval = said.gain_name
    return [
        told.target,
        said.verdict,
        best,
        _number(said.score) + (COLLAPSED if collapsed else ""),
        _number(said.none),
        "-" if said.gain is None or said.best == NONE else f"{said.gain:+.1f}",
        interval,
        str(said.seeds) if said.seeds else "-",
    ]


def verdict_lines(results: Results, program: str = "xstilts") -> list[str]:
    """What to use for each target and what stands behind it, then the commands that export it and
    that go on where it is not settled; an empty line between targets.

    Args:
        program: how this command is called here.
    """
    lines: list[str] = []
    records = {record.trial: record for record in results.finished}
    has_next = False
    for told in results.verdicts.values():
        lines += [""] if lines else []
        lines.append(f"{told.target}: {'; '.join(behind(results, told, records))}")
        commands = [
            export_command(results.sweep, results.places, told),
            going_on := confirm_command(results, told),
        ]
        has_next |= going_on is not None
        lines += [f"  {program}{one.removeprefix('xstilts')}" for one in commands if one]
    if not has_next and not any(told.was_tried for told in results.verdicts.values()):
        where = shlex.join([results.places.name, "--storage", storage_here(results.places)])
        lines.append(f"Fresh seeds for search's leaders and none: {program} confirm {where}")
    return lines


def use_lines(results: Results) -> list[str]:
    """What to use for each target, without a command: in a note others read no storage of here."""
    records = {record.trial: record for record in results.finished}
    return [
        f"{told.target}: {behind(results, told, records)[0]}" for told in results.verdicts.values()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
