"""Verdicts as people and programs read them: the first table, what stands behind each line of it,
and how its best is had.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import NONE, overlaps
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.run.places import Places
from xstilts.tasks.kinds import IN_TRANSFORMERS

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.report.verdicts import TargetVerdict

COLLAPSED, OVERLAP = "†", "°"

HEADER = ("target", "verdict", "best", "score", "none", "gain", "95 %", "n")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the runs of a verdict's best were trained. `rates` are shares of a mixture's tasks,
    `learning_rates` by phase, None where there is no such phase or the runs chose different ones;
    `budget` are the examples of the intermediate stage, None where there is none."""

    rates: Mapping[str, float]
    learning_rates: Mapping[str, float | None]
    budget: int | None


def recipe_of(sweep: Sweep, told: TargetVerdict, records: Mapping[str, TrialRecord]) -> Recipe:
    """How the best of a verdict was trained.

    Args:
        records: the sweep's, by trial.
    """
    own = [records[name] for name in told.trials if name in records]
    head = find_task(sweep, told.target).head
    chosen = {one.chosen[head].learning_rate if head in one.chosen else None for one in own}
    before = {one.learning_rate for one in own}
    drawn = {sum(sum(counts.values()) for counts in one.examples.values()) for one in own}
    return Recipe(
        rates=dict(own[0].rates) if own else {},
        learning_rates={
            name: next(iter(rates)) if len(rates) == 1 else None
            for name, rates in (("intermediate", before), ("target", chosen))
        },
        budget=(next(iter(drawn)) or None) if len(drawn) == 1 else None,
    )


def export_command(sweep: Sweep, places: Places, told: TargetVerdict) -> str | None:
    """What writes the best of a target as a folder for `from_pretrained`: its model, or of a target
    that trains none in such a form the intermediate's encoder. None where there is neither."""
    if told.exported is None:
        return None
    task = find_task(sweep, told.target)
    if find_task(sweep, task.head).is_trained and task.kind in IN_TRANSFORMERS:
        what = ["best", "--model", told.target, f"{told.target}-model"]
    elif not _is_of_none(told):
        what = [told.exported, "--encoder", f"{told.target}-encoder"]
    else:
        return None
    words = ["xstilts", "export", places.name, *what, "--storage", storage_here(places)]
    return shlex.join(words)


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
        **{name: value for name, value in asdict(said).items() if name != "collapsed"},
        "ties": list(said.ties),
        "collapsed": {
            name: list(counts[arm]) if arm in counts else None
            for name, arm in (("best", said.best or ""), ("none", NONE))
        },
        "trials": list(told.trials),
        **asdict(recipe_of(sweep, told, records)),
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
    if any(one.verdict.gain_name == "search gain" and one.verdict.best for one in told):
        lines.append(
            "search gain: of the seeds that chose it, too good by the luck of the draw; no fresh "
            "seeds confirm it"
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
    """What stands behind each line of the table, and the command that exports its best.

    Args:
        program: how this command is called here.
    """
    lines = []
    records = {record.trial: record for record in results.finished}
    for told in results.verdicts.values():
        lines.append(f"{told.target}: {'; '.join(behind(results, told, records))}")
        if command := export_command(results.sweep, results.places, told):
            lines.append(f"  {program}{command.removeprefix('xstilts')}")
    if not any(told.was_tried for told in results.verdicts.values()):
        where = shlex.join([results.places.name, "--storage", storage_here(results.places)])
        lines.append(f"Fresh seeds for search's leaders and none: {program} confirm {where}")
    return lines


def behind(results: Results, told: TargetVerdict, records: Mapping[str, TrialRecord]) -> list[str]:
    """What stands behind a line of the table, in clauses."""
    said = told.verdict
    if said.best is None:
        return ["no configuration has all its seeds"]
    parts = [_how(recipe_of(results.sweep, told, records), said.best)]
    if others := [name for name in said.ties if name != said.best]:
        parts.append(f"not known to be better than {', '.join(others)}")
    parts += _collapses(told)
    if said.hours_to_settle:
        parts.append(f"settled after about {_time(said.hours_to_settle)} more")
    if told.trials:
        parts.append(_trials(told.trials))
    if told.exported is not None and told.exported not in told.trials:
        parts.append(f"what is exported is none, {told.exported}")
    return parts


def _how(recipe: Recipe, best: str) -> str:
    """`mix (mini_nli 0.5, mini_qa 0.5), 1,600 examples at 6.3e-04, target at 5e-04`."""
    rates, before = recipe.rates, recipe.learning_rates["intermediate"]
    mixed = ", ".join(f"{task} {rate:g}" for task, rate in rates.items()) if len(rates) > 1 else ""
    parts = [f"{best} ({mixed})" if mixed else best]
    if recipe.budget is not None:
        parts.append(f"{recipe.budget:,} examples" + (f" at {before:.1e}" if before else ""))
    if (rate := recipe.learning_rates["target"]) is not None:
        parts.append(f"target at {rate:.1e}")
    return ", ".join(parts)


def _collapses(told: TargetVerdict) -> list[str]:
    said, parts = told.verdict, []
    counts = {name: (k, n) for name, (k, n) in (said.collapsed or {}).items() if k}
    if counts:
        parts.append(
            "collapsed: "
            + ", ".join(f"{k} of {n} runs of {name}" for name, (k, n) in counts.items())
        )
    if told.was_tried and not told.is_confirmed:
        parts.append("too few runs with fresh seeds learnt to confirm or refute it")
    elif counts and all(k == n for k, n in (said.collapsed or {}).values()):
        parts.append("nothing was learnt")
    elif said.over_all is not None and said.gain is not None and said.gain > 0:
        parts.append(f"{'' if said.over_all else 'not shown to be '}better over all runs")
    return parts


def _trials(names: Sequence[str]) -> str:
    """Trials of one configuration: the name once, then the seeds."""
    first, *others = names
    return ", ".join([first, *(f"-{name.rpartition('-')[2]}" for name in others)])


def _is_of_none(told: TargetVerdict) -> bool:
    return told.exported is None or told.exported.startswith(f"{NONE}-")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _time(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(60 * hours, 1):.0f} minutes"
