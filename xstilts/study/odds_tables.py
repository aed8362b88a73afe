"""The tables of odds ratios that stand beside an answer, for a page and for a terminal."""

from __future__ import annotations

from xstilts.report.page_parts import number
from xstilts.report.table import Table
from xstilts.study.answer import Answer, Odds, OddsRatio
from xstilts.study.answer_tables import level, minus, ordered, probability

AT_ZERO = 1e-4
"""A deviation below is none, as lme4 has it."""

SAMPLED = "each in a language, drawn by a fixed seed where they are too many for a fit"


def odds_table(answer: Answer, odds: Odds | None) -> Table | None:
    """A row for each contrast that has an odds ratio; None where none has."""
    rows = [
        [
            *(name, arms, ratio(one), probability(one.p)),
            *(_items(one), f"{one.runs[0]}\xa0and\xa0{one.runs[1]}", _deviations(one)),
            "; ".join(remarks(one)) or "–",
        ]
        for name, arms, one in _ordered(answer, odds)
    ]
    if odds is None or not rows:
        return None
    header = ["contrast", "arms", "odds ratio", "p", "items", "runs", "deviations", "remarks"]
    note = (
        "Exploratory, whatever the contrast's standing, and no part of its test. odds ratio: the "
        "odds of a right answer under the first arm by those under the second, of an item and a "
        f"run in the middle of theirs, with its {level(answer)} interval; p: of no difference; "
        "both by Wald's z of a logistic mixed model. That takes variances as known and runs as "
        "many: of few runs intervals are too narrow and p too small. Runs, items and what an arm "
        f"does to an item are random; languages are these. items: {SAMPLED}. deviations: of random "
        "terms, in log odds; item:cell is an item in a language, arm|item what an arm does to an "
        f"item. By lme4 {odds.lme4} in R {odds.r}. –: none"
    )
    return Table("Odds ratios by a logistic mixed model", header, rows, f"{note}.")


def terminal_table(answer: Answer, odds: Odds | None) -> Table | None:
    """The same as a terminal of 80 columns has room for it."""
    told = _ordered(answer, odds)
    rows = [
        [name, ratio(one), probability(one.p), _items(one), "; ".join(remarks(one)) or "–"]
        for name, _, one in told
    ]
    note = (
        "exploratory, of a logistic mixed model by lme4; by Wald's z, which takes variances as "
        f"known: of few runs intervals are too narrow. items: {SAMPLED}"
    )
    header = ("contrast", "odds ratio", "p", "items", "remarks")
    title = f"Beside the tests: odds of a right answer, with intervals at {level(answer)}"
    return Table(title, header, rows, note, gap=2) if rows else None


def ratio(one: OddsRatio) -> str:
    """An odds ratio with its interval, which no line breaks."""
    if one.ratio is None:
        return "–"
    value, low, high = (_odds(own) for own in (one.ratio.value, one.ratio.low, one.ratio.high))
    return f"{value}\xa0[{low},\xa0{high}]"


def remarks(one: OddsRatio) -> list[str]:
    """What a reader must know of a fit, in words."""
    if one.fit is None:
        return [f"not fitted: {one.without}"]
    found = [] if one.fit.has_converged else ["lme4 warns that it may not have converged"]
    if zero := [term for term, size in one.fit.deviations.items() if size < AT_ZERO]:
        of = ", so that it is of these runs" if "run" in zero else ""
        found.append(f"singular: no variance is seen of {', '.join(zero)}{of}")
    return found


def _ordered(answer: Answer, odds: Odds | None) -> list[tuple[str, str, OddsRatio]]:
    """Name, arms and odds ratio of contrasts that have one, in the order of the answer."""
    known = {one.contrast: one for one in odds.contrasts} if odds else {}
    return [(one.name, minus(one), known[one.name]) for one in ordered(answer) if one.name in known]


def _items(one: OddsRatio) -> str:
    whole = "" if one.items == one.of_items else f" of {one.of_items:,}"
    return f"{one.items:,}{whole}"


def _deviations(one: OddsRatio) -> str:
    if one.fit is None:
        return "–"
    return ", ".join(f"{term}\xa0{number(own, 2)}" for term, own in one.fit.deviations.items())


def _odds(value: float | None) -> str:
    """Three digits of odds; of what is beyond any odds that."""
    if value is None:
        return "–"
    if value >= 1000:
        return ">999"
    if value < 0.001:
        return "<0.001"
    return f"{value:.{2 if value >= 0.1 else 3}f}"
