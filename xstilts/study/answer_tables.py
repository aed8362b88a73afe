"""The tables of a study's report, from its answer alone: one source of what the page, the Markdown
and the LaTeX say.

A hole is a dash, and every table's note says what a dash means in it. Primary contrasts stand above
exploratory ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xstilts.report.page_parts import number, signed, value
from xstilts.report.table import Table
from xstilts.scores.probes import FERTILITY, UNITS
from xstilts.study.answer import Answer, Arm, Contrast, Interval
from xstilts.tasks.languages import language

TESTS = {
    "difference": "difference",
    "equivalence": "equivalence",
    "non_inferiority": "non-inferiority",
    "slope": "slope",
    "interaction": "interaction",
}
"""What tests are called."""

BY_MARGIN = ("equivalence", "non_inferiority")
"""Tests that ask for no difference beyond the margin."""


@dataclass(frozen=True, slots=True)
class ContrastTables:
    """What a contrast has tables of: its means by groups, a table for each kind; its cells."""

    name: str
    groups: tuple[Table, ...]
    cells: Table | None


def ordered(answer: Answer) -> list[Contrast]:
    """Contrasts as they are shown, the primary ones first."""
    return sorted(answer.contrasts, key=lambda one: one.standing != "primary")


def level(answer: Answer) -> str:
    """The confidence of the intervals, as `95 %`."""
    return f"{100 * (1 - answer.alpha):g} %"


def probability(p: float | None) -> str:
    """A p as it is printed."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def between(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval without its estimate, which no line breaks."""
    known = low is not None and high is not None
    return f"[{signed(low, digits)},\xa0{signed(high, digits)}]" if known else "–"


def estimate(found: Interval | None) -> str:
    """An estimate with its interval, where it has one."""
    if found is None:
        return "–"
    return f"{signed(found.value)}\xa0{between(found.low, found.high)}".removesuffix("\xa0–")


def minus(one: Contrast) -> str:
    """The arms of a contrast, one less the other."""
    return f"{one.arms[0]} − {one.arms[1]}"


def tested(one: Contrast) -> str:
    """What a contrast's effect is, in words."""
    if one.test in ("slope", "interaction"):
        return f"{TESTS[one.test]}: points between the outer thirds of {one.covariate}"
    return TESTS[one.test]


def contrast_table(answer: Answer) -> Table:
    """What every contrast found; where one is withheld the reason stands in the effect's place."""
    header = ["contrast", "standing", "test", "difference", "effect", "df", "p", "adjusted"]
    header += ["holds", "detectable", "seeds"]
    note = (
        f"In points, with {level(answer)} intervals. effect: what is tested, the difference or, "
        "for a slope or an interaction, the points between the outer thirds of the covariate. "
        "adjusted: p, of primary contrasts by Holm, of exploratory ones by Benjamini and Hochberg; "
        "intervals are not adjusted, so one without 0 can stand beside a no. "
        f"{_of_margin(answer)}"
        "detectable: the smallest effect that this design would have shown with a probability of "
        "80 %. seeds: what each arm would need, at the spread that was seen, of equivalence and "
        "non-inferiority. –: not computed, as what is detectable beside a clear slope, or not "
        "asked by that test"
    )
    return Table("Contrasts", header, [_contrast_row(one) for one in ordered(answer)], f"{note}.")


def _of_margin(answer: Answer) -> str:
    if not any(one.test in BY_MARGIN for one in answer.contrasts):
        return ""
    wider = f"{100 * (1 - 2 * answer.alpha):g} %"
    return (
        f"Equivalence within the margin of {answer.margin:g} is two tests of one side, which go by "
        f"the {wider} interval; it is narrower than the one shown. "
    )


def _contrast_row(one: Contrast) -> list[str]:
    first = [one.name, one.standing, TESTS[one.test], estimate(one.difference)]
    last = [number(one.detectable), value(one.seeds_needed)]
    if one.withheld:
        return [*first, f"withheld: {one.withheld}", "–", "–", "–", "–", *last]
    dof = one.effect.dof if one.effect else None
    effect = [estimate(one.effect), number(dof), probability(one.p), probability(one.adjusted)]
    return [*first, *effect, "yes" if one.holds else "no", *last]


def compared_table(answer: Answer) -> Table:
    """What every contrast compares, on what."""
    header = ["contrast", "arms", "differ in", "confounds", "covariate", "targets", "runs"]
    header += ["languages", "left out"]
    rows = [
        [
            *(one.name, minus(one), _list(one.differ_in), _list(one.confounds)),
            *(value(one.covariate), _list(one.targets)),
            f"{one.runs[0]}\xa0and\xa0{one.runs[1]}",
            *(_counted(one.languages), _counted(one.unknown)),
        ]
        for one in ordered(answer)
    ]
    note = (
        "differ in: the factor that is asked about. confounds: what the arms differ in besides. "
        "left out: languages of which the covariate is not known. –: none"
    )
    return Table("What is compared", header, rows, f"{note}.")


def arm_table(answer: Answer) -> Table:
    """The arms as they were run."""
    header = ["arm", "intermediates", "models", "seeds", "runs", "collapsed", "examples", "steps"]
    note = (
        "collapsed: runs that did not learn a target. examples, steps: of the intermediate stages; "
        "–: members differ. score: the mean over cells that all arms have; –: there "
        "is no such cell"
    )
    rows = [_arm_row(one) for one in answer.arms]
    return Table("Arms", [*header, "score"], rows, f"{note}.")


def _arm_row(one: Arm) -> list[str]:
    sizes = ["–" if size is None else f"{size:,}" for size in (one.examples, one.steps)]
    seeds = _list(str(seed) for seed in one.seeds)
    runs = [str(one.runs), str(one.collapsed)]
    members = [one.name, _list(one.intermediates), _list(one.models)]
    return [*members, seeds, *runs, *sizes, number(one.score)]


def contrast_tables(answer: Answer) -> list[ContrastTables]:
    """The tables of each contrast that has any."""
    found = []
    for one in ordered(answer):
        kinds = dict.fromkeys(group.kind for group in one.groups)
        groups = tuple(_group_table(one, kind, level(answer)) for kind in kinds)
        if groups or one.cells:
            found.append(ContrastTables(one.name, groups, _cell_table(one, level(answer))))
    return found


def _group_table(one: Contrast, kind: str, sure: str) -> Table:
    rows = [
        [
            *(group.name, signed(group.points), between(group.low, group.high)),
            *(str(group.cells), _counted(group.languages)),
        ]
        for group in one.groups
        if group.kind == kind
    ]
    of = f" of {one.covariate}" if kind == "third" and one.covariate else ""
    header = [kind, "points", sure, "cells", "languages"]
    note = "Intervals are not adjusted for one another. –: no interval."
    return Table(f"{one.name} by {kind}{of}", header, rows, note)


def _cell_table(one: Contrast, sure: str) -> Table | None:
    if not one.cells:
        return None
    covariate = [one.covariate] if one.covariate else []
    rows = []
    for cell in one.cells:
        known = [value(cell.covariate)] if covariate else []
        own = [language(cell.language).name, cell.language, cell.family, *known, cell.target]
        rows.append([*own, signed(cell.points, 2), between(cell.low, cell.high, 2)])
    header = ["language", "code", "family", *covariate, "target", "points", sure]
    note = f"{minus(one)}, mean over pairs of runs. Intervals are not adjusted for one "
    note += "another. –: not known, or no interval."
    return Table(f"{one.name} by language and target", header, rows, note)


def losing_table(answer: Answer) -> Table | None:
    """How many languages lose by each contrast, and how much; none where it is not known."""
    rows = [
        [
            *(one.name, f"{one.losing} of {len(one.languages)}"),
            *(f"{100 * one.losing / len(one.languages):.0f} %", signed(one.worst)),
        ]
        for one in ordered(answer)
        if one.losing is not None and one.languages
    ]
    header = ["contrast", "lose more than a point", "share", "five lowest"]
    note = (
        "Of languages, means over targets. five lowest: the mean in points over the five with the "
        "lowest differences, or all of fewer; they were chosen by the same runs, and so it is too "
        "low. –: not computed"
    )
    return Table("Languages that lose", header, rows, f"{note}.") if rows else None


def variance_table(answer: Answer) -> Table | None:
    """The variance components of fitted models; none where no model was fitted."""
    fitted = [one for one in ordered(answer) if one.variances]
    terms = list(dict.fromkeys(term for one in fitted for term in one.variances))
    rows = [[one.name, *(number(one.variances.get(term), 3) for term in terms)] for one in fitted]
    note = "In points squared. –: the contrast's model has no such term."
    return Table("Variance components", ["contrast", *terms], rows, note) if rows else None


def check_table(answer: Answer) -> Table:
    """What stands beside the tests."""
    header = ["contrast", "by intermediate", "p by permutation", "p by items", "by items"]
    header += ["by items and languages", "collapsed", "without them"]
    rows = [
        [
            *(one.name, estimate(one.by_intermediate)),
            *(probability(one.permutation_p), probability(one.items_p)),
            *(estimate(one.by_items), estimate(one.by_items_and_languages)),
            *(str(len(one.collapsed)), estimate(one.learnt)),
        ]
        for one in ordered(answer)
    ]
    note = (
        "by intermediate: one slope an intermediate language, compared by a t test with their "
        "number less two. p by permutation: the covariate dealt anew within families. p by items: "
        "the arms' outcomes exchanged item by item. by items: the effect over cells, items drawn "
        "anew, in all languages at once where they are translations. by items and languages: the "
        "same by a linear model of differences by item, whose errors are alike within an item and "
        "within a language (CR2), in other languages like these. These three are exploratory, and "
        "speak of these checkpoints and not of the method. collapsed: runs of "
        "either arm that did not learn a target; they count in the difference, which stands last "
        "without their seeds. –: the contrast's test has no such check, or it could not be computed"
    )
    return Table("Checks beside the tests", header, rows, f"{note}.")


def probe_tables(answer: Answer) -> tuple[Table, ...]:
    """Probes of the arms' encoders before and after: means over languages, then every language;
    none where no probe was asked for."""
    if not answer.probes:
        return ()
    probes = list(dict.fromkeys(one.probe for one in answer.probes))
    rows: dict[str | None, dict[str, dict[str, str]]] = {}
    for one in answer.probes:
        digits = 2 if one.probe == FERTILITY else 1
        both = f"{number(one.before, digits)} to {number(one.after, digits)}"
        rows.setdefault(one.language, {}).setdefault(one.arm, {})[one.probe] = both
    means, *others = (
        (code, [[arm, *(own.get(x, "–") for x in probes)] for arm, own in arms.items()])
        for code, arms in sorted(rows.items(), key=lambda row: row[0] or "")
    )
    named = [[language(f"{code}").name, f"{code}", *row] for code, own in others for row in own]
    units = "; ".join(f"{probe}: {UNITS[probe]}" for probe in probes)
    note = (
        "Of the pretrained encoders to those of the arm, means over its trials of search and over "
        f"languages, of pseudo-perplexity geometric. {units}. –: an encoder or a language lacks it."
    )
    title = "Probes of encoders, before and after"
    header = ["language", "code", "arm", *probes]
    short = "Of the pretrained encoders to those of the arm. –: not read, or not of each encoder."
    return (
        Table(title, ["arm", *probes], means[1], note),
        Table("Probes by language, before and after", header, named, short),
    )


def design_lines(answer: Answer) -> Iterator[tuple[str, str]]:
    """The design in pairs of a term and what it is here."""
    known = answer.registered
    if known is None:
        yield "registered", "no; a study without a registration is exploratory"
    else:
        before = f"after {known.trials_before} trials had ended" if known.trials_before else ""
        yield "registered", f"{known.written}, {before or 'before any trial'}"
        yield "by the digest", known.digest
        yield "changed since", _list(known.changed) if known.changed else "nothing"
    yield "alpha", f"{answer.alpha:g}, which the primary contrasts share"
    yield (
        "margin",
        f"{answer.margin:g} point{'s' * (answer.margin != 1)}, of equivalence and non-inferiority",
    )
    yield "seeds", f"{answer.seeds} of each arm, at least"


def _counted(names: tuple[str, ...]) -> str:
    return f"{len(names)}: {_list(names)}" if names else "–"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "–"
