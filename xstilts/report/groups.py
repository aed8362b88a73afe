"""Gains by groups of languages: families, scripts, classes, or terciles of a number of the table.

All is made from `cells`, so that it cannot differ from the other tables. A group's means are over
the languages that all intermediates of its target have, and a gain that a language lacks is a hole
of its group. Languages of which a column says nothing are a group of their own, which is in no mean
of groups and in no correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from xstilts.config.derive import NONE
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.report.cells import Cell
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.scores.ranks import rank_correlation
from xstilts.tasks import suggest
from xstilts.tasks.languages import COLUMNS, UNKNOWN, has_seen, language

SEEN = "seen"
"""Groups by whether the sweep's encoders have seen a language in pretraining."""

SHORT = {"class": "joshi_class"}
"""What is a word for a column, beside its name."""

MEAN = "mean of groups"

ROWS = (
    *("target", "by", "group", "languages", "n", "intermediate", "phase", "value", "gain"),
    "rank_correlation",
)
"""`languages` are codes, `n` is how many; `value` and `gain` are means over them. A row without a
group has the rank correlation of gains with the column, over the `n` languages that have both."""


@dataclass(frozen=True, slots=True)
class Group:
    """The languages of a group, and what each intermediate gives on average over them."""

    name: str
    languages: tuple[str, ...]
    values: Mapping[str, float]
    gains: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Grouped:
    """The groups of a target. `ranks` has, of a column with an order, the rank correlation of each
    intermediate's gains with it and the number of languages; `phases` are those of `cells`;
    `trained` is the language of the target's training rows, where it is among those scored."""

    target: str
    groups: tuple[Group, ...]
    ranks: Mapping[str, tuple[float | None, int]]
    phases: Mapping[str, str]
    trained: str


def column_of(by: str) -> str:
    """The column that a user named, or `seen`.

    Raises:
        ConfigError: there is none of that name.
    """
    name = SHORT.get(by, by)
    if name != SEEN and name not in COLUMNS:
        known = (*SHORT, SEEN, *COLUMNS)
        repair = f"{suggest(by, known)}; `xstilts languages --source` says what they are"
        raise ConfigError([Problem("--by", "unknown column of the languages", f'"{by}"', repair)])
    return name


def grouped(results: Results, by: str) -> list[Grouped]:
    """Every target's groups by a column that `column_of` gives, in the order of the file."""
    rows: dict[str, dict[str, dict[str, Cell]]] = {}
    for cell in results.cells:
        if cell["language"]:
            arms = rows.setdefault(cell["target"], {})
            arms.setdefault(cell["intermediate"], {})[cell["language"]] = cell
    names = (NONE, *results.sweep.intermediates)
    return [
        groups_of(results.sweep, target, {name: arms[name] for name in names if name in arms}, by)
        for target, arms in rows.items()
    ]


def groups_of(
    sweep: Sweep, target: str, arms: Mapping[str, Mapping[str, Cell]], by: str
) -> Grouped:
    """The groups of a target from its cells by intermediate and language."""
    first, *others = arms.values()
    shared = [code for code in first if all(code in own for own in others)]
    groups = [
        Group(
            name,
            tuple(codes),
            {arm: fmean(own[code]["value"] for code in codes) for arm, own in arms.items()},
            {arm: _mean([own[x]["gain"] for x in codes]) for arm, own in arms.items()},
        )
        for name, codes in _divided(sweep, shared, by).items()
    ]
    ranks = {}
    if by != SEEN and COLUMNS[by].is_ordered:
        known = _array([language(code).values[by] for code in shared])
        ranks = {
            arm: rank_correlation(known, _array([own[code]["gain"] for code in shared]))
            for arm, own in arms.items()
            if arm != NONE
        }
    named = [group for group in groups if group.name != UNKNOWN]
    if len(named) > 1:
        groups.append(
            Group(
                MEAN,
                tuple(code for group in named for code in group.languages),
                {arm: fmean(group.values[arm] for group in named) for arm in arms},
                {arm: _mean([group.gains[arm] for group in named]) for arm in arms},
            )
        )
    phases = {arm: next(iter(own.values()))["phase"] for arm, own in arms.items()}
    trained = find_task(sweep, target).train_language
    return Grouped(target, tuple(groups), ranks, phases, trained if trained in shared else "")


def _divided(sweep: Sweep, codes: list[str], by: str) -> dict[str, list[str]]:
    """Languages by group, in the order of the groups; those not known are the last."""
    if by == SEEN:
        told = {code: _seen(sweep, code) for code in codes}
        names = dict(sorted(told.items(), key=lambda item: item[1], reverse=True))
    elif COLUMNS[by].values == "number":
        names = _terciles({code: language(code).values[by] for code in codes})
    else:
        values = {code: language(code).values[by] for code in codes}
        names = {code: UNKNOWN if x is None else str(x) for code, x in values.items()}
        names = dict(sorted(names.items(), key=lambda item: item[1]))
    found: dict[str, list[str]] = {}
    for code, name in names.items():
        found.setdefault(name, []).append(code)
    return {name: found[name] for name in sorted(found, key=lambda name: name == UNKNOWN)}


def _seen(sweep: Sweep, code: str) -> str:
    told = {has_seen(spec.path, code) for spec in sweep.models.values()}
    if None in told:
        return UNKNOWN
    return "seen by some" if len(told) > 1 else "seen" if True in told else "not seen"


def _terciles(values: Mapping[str, Any]) -> dict[str, str]:
    """Thirds of the languages by a number, named by its range in each; equal numbers are in one."""
    known = {code: float(x) for code, x in values.items() if x is not None}
    if not known:
        return dict.fromkeys(values, UNKNOWN)
    bounds = np.quantile(list(known.values()), [1 / 3, 2 / 3])
    thirds: dict[int, list[str]] = {}
    for code in sorted(known, key=lambda code: known[code]):
        thirds.setdefault(int(np.searchsorted(bounds, known[code])), []).append(code)
    names: dict[str, str] = {}
    for codes in thirds.values():
        low, high = known[codes[0]], known[codes[-1]]
        names |= dict.fromkeys(codes, f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}")
    return {**names, **{code: UNKNOWN for code in values if code not in known}}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _array(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values])


def group_rows(found: list[Grouped], by: str) -> list[dict[str, Any]]:
    """The groups as numbers, a row for each target, group and intermediate; see `ROWS`."""
    return [row for one in found for row in _numbers(one, by)]


def _numbers(one: Grouped, by: str) -> Iterator[dict[str, Any]]:
    for group in one.groups:
        for arm, value in group.values.items():
            codes = group.languages
            cells = (one.target, by, group.name, " ".join(codes), len(codes), arm, one.phases[arm])
            yield dict(zip(ROWS, (*cells, value, group.gains[arm], None), strict=True))
    for arm, (rank, count) in one.ranks.items():
        cells = (one.target, by, "", "", count, arm, one.phases[arm])
        yield dict(zip(ROWS, (*cells, None, None, rank), strict=True))


def group_table(one: Grouped, by: str) -> Table:
    """The groups of a target: the baseline's mean score, and the gains over it."""
    arms = [arm for arm in one.phases if arm != NONE]
    rows = [
        [
            group.name,
            str(len(group.languages)),
            f"{group.values[NONE]:.1f}" if NONE in group.values else "-",
            *(_signed(group.gains[arm], 1) for arm in arms),
        ]
        for group in one.groups
    ]
    if one.ranks:
        count = max(count for _, count in one.ranks.values())
        rows.append(
            ["rank correlation", str(count), "", *(_signed(one.ranks[x][0], 2) for x in arms)]
        )
    runs = f"{one.phases[NONE]}'s runs that learnt" if NONE in one.phases else "runs that learnt"
    note = (
        f"n: languages; none: its score; others: points over it, means over a group's languages, "
        f"of {runs}"
    )
    if one.trained:
        note += f"; {one.trained}, in which the target is trained, is one of them"
    if one.ranks:
        note += f"; rank correlation: Spearman's, of the gain with {by}, no test of it"
    return Table(f"{one.target} by {by}", (by, "n", NONE, *arms), rows, note)


def _signed(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"
