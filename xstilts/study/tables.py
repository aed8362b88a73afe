"""The tables of an answer: its arms, its contrasts, the groups of each; for any form of table."""

from __future__ import annotations

from xstilts.report.table import Table
from xstilts.study.answer import Answer, Arm, Contrast, Interval

UNKNOWN = "-"
"""What stands for a number that is not known."""

ARMS = ("arm", "intermediates", "models", "seeds", "learnt", "examples", "steps", "score")
CONTRASTS = ("contrast", "standing", "test", "difference", "effect", "p", "adjusted", "holds")
_MOST_NAMES = 3


def arm_table(answer: Answer) -> Table:
    """A row an arm."""
    return Table(
        "Arms",
        ARMS,
        [_arm(one) for one in answer.arms],
        "learnt: runs that learnt all targets; score: over what all arms were scored on",
        gap=2,
    )


def contrast_table(answer: Answer) -> Table:
    """A row a contrast."""
    found = answer.contrasts
    numbers = {
        name: [None if of(one) is None else getattr(of(one), end) for one in found]
        for of, prefix in ((_difference, ""), (_effect, "effect_"))
        for name, end in ((f"{prefix}{end}", end) for end in ("value", "low", "high"))
    }
    return Table(
        f"Contrasts: points with their interval at {100 * (1 - answer.alpha):g} %",
        CONTRASTS,
        [_contrast(one) for one in found],
        "effect: what is tested; adjusted: p among the primary by Holm, among the others by "
        "Benjamini and Hochberg",
        gap=2,
        numbers=numbers,
    )


def group_table(found: Contrast) -> Table:
    """A row for each group of a contrast's cells."""
    return Table(
        f"{found.name}: {found.arms[0]} - {found.arms[1]}",
        ("group", "of", "points", "cells", "languages"),
        [
            [one.name, one.kind, interval(Interval(one.points, one.low, one.high)), f"{one.cells}",
             names(one.languages)]
            for one in found.groups
        ],
        gap=2,
    )  # fmt: skip


def interval(found: Interval | None) -> str:
    """Points with their interval."""
    if found is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return f"{found.value:+.1f}"
    return f"{found.value:+.1f} ({found.low:+.1f}, {found.high:+.1f})"


def names(found: tuple[str, ...]) -> str:
    """Names, or how many more there are."""
    if len(found) <= _MOST_NAMES:
        return " ".join(found)
    return f"{' '.join(found[: _MOST_NAMES - 1])} +{len(found) - _MOST_NAMES + 1}"


def _arm(one: Arm) -> list[str]:
    return [
        one.name,
        names(one.intermediates),
        names(one.models),
        f"{len(one.seeds)}",
        f"{one.runs - one.collapsed} of {one.runs}",
        _count(one.examples),
        _count(one.steps),
        UNKNOWN if one.score is None else f"{one.score:.1f}",
    ]


def _contrast(one: Contrast) -> list[str]:
    return [
        one.name,
        one.standing,
        one.test if one.covariate is None else f"{one.test}, {one.covariate}",
        interval(one.difference),
        interval(one.effect),
        _share(one.p),
        _share(one.adjusted),
        "withheld" if one.withheld else ("yes" if one.holds else "no"),
    ]


def _difference(one: Contrast) -> Interval | None:
    return one.difference


def _effect(one: Contrast) -> Interval | None:
    return one.effect


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _share(p: float | None) -> str:
    return UNKNOWN if p is None else f"{p:.3f}"
