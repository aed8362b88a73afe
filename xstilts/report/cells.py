"""The numbers of a report as one long table: a row for each target, intermediate and language.

Every picture of the page, the tables of LaTeX, and the files for programs are made from these rows,
so that they cannot differ. What is not known is None, and nothing is averaged over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import NONE, languages_of
from xstilts.config.own_tasks import find_task
from xstilts.records import CONFIRM, SEARCH, TrialRecord
from xstilts.scores.table import ChosenScores

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.report.verdicts import TargetVerdict

Cell = dict[str, Any]

COLUMNS = (
    "target",
    "intermediate",
    "language",
    "phase",
    "value",
    "sd",
    "n",
    "gain",
    "low",
    "high",
    "may_be_best",
    "collapsed",
)
"""`language` is empty where `value` is the mean over all of a target's; `phase` says whose runs it
stands on, search's or those that confirm; `value`, `sd` (over runs), `n` and `gain` are of the runs
that learnt, `low` and `high` bound the gain with 95 % confidence: of a mean over seeds and items,
of a language over seeds alone. `may_be_best` is whether a candidate is in the set of ties, None
where that is not confirmed."""


GAIN = ("gain", "low", "high")


def cells(results: Results) -> list[Cell]:
    """All rows: of every target and intermediate the mean over languages, then the languages.

    A language has a gain where none's runs are of the same phase."""
    found = [row for told in results.verdicts.values() for row in _means(told)]
    records = {record.trial: record for record in results.finished}
    for told in results.verdicts.values():
        found += _languages(results, told, records)
    return found


def _means(told: TargetVerdict) -> Iterator[Cell]:
    for name, arm in told.arms.items():
        is_candidate = told.is_confirmed and name != NONE
        yield {
            "target": told.target,
            "intermediate": name,
            "language": "",
            "phase": CONFIRM if arm.is_fresh else SEARCH,
            "value": arm.score,
            "sd": arm.sd,
            "n": arm.runs,
            "gain": arm.gain,
            "low": arm.low,
            "high": arm.high,
            "may_be_best": name in told.verdict.ties if is_candidate else None,
            "collapsed": arm.collapsed,
        }


def _languages(
    results: Results, told: TargetVerdict, records: Mapping[str, TrialRecord]
) -> Iterator[Cell]:
    """The languages of a target, intermediate by intermediate."""
    target = told.target
    task = find_task(results.sweep, target)
    values = {
        name: [
            _by_language(target, task.metrics, records[trial])
            for trial in trials
            if target not in records[trial].collapsed
        ]
        for name, trials in told.runs.items()
    }
    # A run that lacks a language has no score, and is in no arm.
    for (name, runs), language in product(values.items(), languages_of(results.sweep, task)):
        arm, none = told.arms[name], told.arms.get(NONE)
        own, base = ([run[language] for run in of_arm] for of_arm in (runs, values.get(NONE, [])))
        is_compared = name != NONE and none is not None and none.is_fresh == arm.is_fresh
        yield {
            "target": target,
            "intermediate": name,
            "language": language,
            "phase": CONFIRM if arm.is_fresh else SEARCH,
            "value": fmean(own),
            "sd": stdev(own) if len(own) > 1 else None,
            "n": len(own),
            **(_gain(own, base) if is_compared else dict.fromkeys(GAIN)),
            "may_be_best": None,
            "collapsed": arm.collapsed,
        }


def _by_language(target: str, metrics: Sequence[str], record: TrialRecord) -> dict[str, float]:
    rows = record.scores.of_metrics({(target, metric) for metric in metrics})
    return ChosenScores(rows).score_by_language(target, metrics)


def _gain(own: Sequence[float], base: Sequence[float]) -> dict[str, float | None]:
    import numpy as np

    from xstilts.scores.variance import gain  # imports scipy

    if min(len(own), len(base)) < 2:
        return {"gain": fmean(own) - fmean(base), "low": None, "high": None}
    found = gain(np.array(own), np.array(base))
    return {"gain": found.gain, "low": found.low, "high": found.high}
