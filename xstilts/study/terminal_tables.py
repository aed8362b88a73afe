"""The tables of an answer as a terminal of 80 columns has room for them: of those of its report
(`answer_tables`) what a first look asks for, many names cut to how many more there are."""

from __future__ import annotations

from xstilts.report.page_parts import number
from xstilts.report.table import Table
from xstilts.study.answer import Answer, Arm, Contrast, Interval
from xstilts.study.answer_tables import TESTS, estimate, level, minus, ordered, probability

ARMS = ("arm", "intermediates", "models", "seeds", "learnt", "examples", "steps", "score")
CONTRASTS = ("contrast", "standing", "test", "difference", "effect", "p", "adjusted", "holds")
CHECKS = ("contrast", "items", "p", "items and languages")
_MOST_NAMES = 3


def arm_table(answer: Answer) -> Table:
    """A row an arm."""
    note = "learnt: runs that learnt all targets; score: over what all arms were scored on"
    return Table("Arms", ARMS, [_arm(one) for one in answer.arms], note, gap=2)


def contrast_table(answer: Answer) -> Table:
    """A row a contrast, the primary ones first."""
    note = (
        "effect: what is tested; adjusted: p among the primary by Holm, among the others by "
        "Benjamini and Hochberg"
    )
    title = f"Contrasts: points with their interval at {level(answer)}"
    return Table(title, CONTRASTS, [_contrast(one) for one in ordered(answer)], note, gap=2)


def group_table(found: Contrast) -> Table:
    """A row for each group of a contrast's cells."""
    rows = [
        [one.name, one.kind, estimate(Interval(one.points, one.low, one.high)), f"{one.cells}",
         names(one.languages)]
        for one in found.groups
    ]  # fmt: skip
    header = ("group", "of", "points", "cells", "languages")
    return Table(f"{found.name}: {minus(found)}", header, rows, gap=2)


def check_table(answer: Answer) -> Table | None:
    """What items say beside the tests, a row a contrast; None where they say nothing."""
    told = [one for one in ordered(answer) if one.by_items or one.by_items_and_languages]
    rows = [
        [
            one.name,
            estimate(one.by_items),
            probability(one.items_p),
            estimate(one.by_items_and_languages),
        ]
        for one in told
    ]
    note = (
        "exploratory, and of these checkpoints, not of the method; items and languages: in other "
        "languages like these"
    )
    title = "Beside the tests: effects by items"
    return Table(title, CHECKS, rows, note, gap=2) if rows else None


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
        *("–" if size is None else f"{size:,}" for size in (one.examples, one.steps)),
        number(one.score),
    ]


def _contrast(one: Contrast) -> list[str]:
    return [
        one.name,
        one.standing,
        TESTS[one.test] if one.covariate is None else f"{TESTS[one.test]}, {one.covariate}",
        estimate(one.difference),
        estimate(one.effect),
        probability(one.p),
        probability(one.adjusted),
        "withheld" if one.withheld else ("yes" if one.holds else "no"),
    ]
