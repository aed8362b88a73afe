"""The report of a study for a paper, from its answer alone: the answer in words, a forest of
contrasts, the tables.

It needs booktabs alone, as the report's tables do, which share their layout; the forest is drawn
with LaTeX's own `picture`. What would be wider than a page goes on below, and a hole is `--`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from xstilts.report.latex import escaped, latex_table, wrapped, write_tables
from xstilts.report.table import Table
from xstilts.study.answer import Answer, Contrast, Odds
from xstilts.study.answer_tables import (
    BY_MARGIN,
    arm_table,
    check_table,
    compared_table,
    contrast_table,
    contrast_tables,
    design_lines,
    estimate,
    level,
    losing_table,
    ordered,
    probe_tables,
    variance_table,
)
from xstilts.study.odds_tables import odds_table
from xstilts.study.pictures import Scale, marked, scale_of

LETTERS = 32
"""Letters of a line within a cell."""

LONG, PART = 24, 8
"""A word of more letters may be broken after each so many."""

ROWS = 50
"""Rows of a table on a page."""

WIDTH = 130
"""Of a forest, in points of print."""


def write_latex(answer: Answer, path: Path, odds: Odds | None = None) -> list[Path]:
    """Write one document where `path` ends in `.tex`, else a folder with a file for each part and
    `report.tex`, which reads them; the paths written. `odds` stand beside the answer where they
    are known.

    Raises:
        ConfigError: it cannot be written there, or is the name of a page.
    """
    return write_tables(latex_parts(answer, odds), path)


def latex_parts(answer: Answer, odds: Odds | None = None) -> dict[str, str]:
    """The parts by the names of their files: `answer`, `forest`, then a table each."""
    parts = {"answer": _words(answer), "forest": _forest(answer)}
    tables = {"contrasts": _without_reasons(contrast_table(answer))}
    tables |= {"arms": arm_table(answer), "compared": compared_table(answer)}
    tables["checks"] = check_table(answer)
    if (beside := odds_table(answer, odds)) is not None:
        tables["odds"] = beside
    if (losing := losing_table(answer)) is not None:
        tables["losing"] = losing
    if (variances := variance_table(answer)) is not None:
        tables["variances"] = variances
    tables |= dict(zip(("probes", "probes-by-language"), probe_tables(answer), strict=False))
    for one in contrast_tables(answer):
        tables |= {f"{one.name}-by-{table.header[0]}": table for table in one.groups}
        if one.cells:
            tables |= {f"{one.name}-on-{name}": own for name, own in _by_target(one.cells)}
    for name, own in tables.items():
        parts |= {_safe(one): _table(one, part, answer) for one, part in _by_page(name, own)}
    return parts


def _words(answer: Answer) -> str:
    """Question, answer and design, what it does not show and what is missing."""
    said = [f"{one.name} ({one.standing}): {one.says}" for one in ordered(answer)]
    design = [f"{term}: {text}" for term, text in design_lines(answer)]
    parts = [
        r"\begingroup\sloppy",
        rf"\section*{{{_broken(answer.question)}}}",
        rf"\textbf{{{_broken(answer.says)}}}",
        *_listed("Contrasts", said),
        *_listed("Design", design),
        *_listed("What it does not show", answer.limits),
        *_listed("What is missing", answer.missing),
        r"\par\endgroup",
    ]
    return "\n".join(parts) + "\n"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield rf"\subsection*{{{title}}}"
    if not lines:
        yield "Nothing."
        return
    yield r"\begin{itemize}"
    yield from (rf"\item {_broken(line)}" for line in lines)
    yield r"\end{itemize}"


def _broken(text: str) -> str:
    """Text whose long words may be broken."""
    return " ".join(
        escaped(word)
        if len(word) <= LONG
        else r"\allowbreak{}".join(escaped(word[i : i + PART]) for i in range(0, len(word), PART))
        for word in text.split()
    )


def _forest(answer: Answer) -> str:
    """The contrasts' effects with their intervals on one scale, the primary ones above."""
    scale = scale_of(answer)
    rows = [_forest_row(one, answer, scale) for one in ordered(answer)]
    is_second = [one.standing != "primary" for one in ordered(answer)]
    if True in is_second[1:] and not is_second[0]:
        rows.insert(is_second.index(True), r"\midrule")
    marks = "".join(
        rf"\put({_x(mark, scale)},0){{\makebox(0,0)[b]{{\tiny {escaped(marked(mark))}}}}}"
        for mark in scale.marks
    )
    caption = (
        f"Effects in points, with {escaped(level(answer))} intervals. Filled: primary; open: "
        "exploratory. Dotted: the margin of equivalence and non-inferiority. Without a sign: "
        "nothing is tested."
    )
    lines = [
        *(r"\begin{table}[p]", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"),
        *(r"\begin{tabular}{lcl}", r"\toprule", *rows, r"\midrule"),
        rf"& {_picture(marks)} & \\",
        *(r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}}}"),
        *(rf"\label{{tab:forest:{_safe(answer.sweep)}}}", r"\end{table}", ""),
    ]
    return "\n".join(lines)


def _forest_row(one: Contrast, answer: Answer, scale: Scale) -> str:
    body = rf"\put({_x(0, scale)},-3){{\line(0,1){{11}}}}"
    if one.test in BY_MARGIN:
        ends = (-answer.margin, answer.margin)[: 2 if one.test == "equivalence" else 1]
        for end in ends:
            body += rf"\multiput({_x(end, scale)},-3)(0,2){{6}}{{\circle*{{0.6}}}}"
    if one.effect is not None:
        low, high = one.effect.low, one.effect.high
        if low is not None and high is not None:
            body += _whisker(low, high, scale)
        star = "*" if one.standing == "primary" else ""
        body += rf"\put({_x(one.effect.value, scale)},2.5){{\circle{star}{{4}}}}"
    told = "withheld" if one.withheld else _cell(estimate(one.effect))
    return rf"{wrapped(one.name, LETTERS)} & {_picture(body)} & {told} \\"


def _whisker(low: float, high: float, scale: Scale) -> str:
    """An interval, with an arrow where it goes on beyond the scale."""
    left, right = _x(low, scale), _x(high, scale)
    body = rf"\put({left},2.5){{\line(1,0){{{right - left:.1f}}}}}"
    if low < scale.marks[0]:
        body += rf"\put({left},2.5){{\vector(-1,0){{1}}}}"
    if high > scale.marks[-1]:
        body += rf"\put({right},2.5){{\vector(1,0){{1}}}}"
    return body


def _picture(body: str) -> str:
    return rf"\begin{{picture}}({WIDTH},8){body}\end{{picture}}"


def _x(points: float, scale: Scale) -> float:
    return round(WIDTH * scale.at(points) / 100, 1)


def _without_reasons(table: Table) -> Table:
    """The table with the reasons of what is withheld in its note: a cell has no room for them."""
    rows, reasons = [], []
    for row in table.rows:
        at = next((i for i, cell in enumerate(row) if cell.startswith("withheld: ")), None)
        if at is not None:
            reasons.append(f"{row[0]} is {row[at]}.")
            row = [*row[:at], "withheld", *row[at + 1 :]]
        rows.append(row)
    return Table(table.title, table.header, rows, " ".join([table.note, *reasons]))


def _by_target(table: Table) -> Iterator[tuple[str, Table]]:
    """A table of cells as one for each target, which a page holds."""
    at = table.header.index("target")
    for target in dict.fromkeys(row[at] for row in table.rows):
        rows = [_but(row, at) for row in table.rows if row[at] == target]
        title = f"{table.title.removesuffix(' and target')}: {target}"
        yield target, Table(title, _but(table.header, at), rows, table.note)


def _by_page(name: str, table: Table) -> Iterator[tuple[str, Table]]:
    """A table as those that a page holds, numbered where it is more than one."""
    pages = range(0, max(1, len(table.rows)), ROWS)
    for i, first in enumerate(pages):
        number = f"-{i + 1}" if len(pages) > 1 else ""
        yield name + number, replace(table, rows=table.rows[first : first + ROWS])


def _but(row: Sequence[str], at: int) -> list[str]:
    return [*row[:at], *row[at + 1 :]]


def _table(name: str, table: Table, answer: Answer) -> str:
    lines: list[list[str] | None] = [[_cell(cell) for cell in row] for row in table.rows]
    caption = f"{_broken(table.title)}. {_broken(table.note)}"
    return latex_table([*map(_cell, table.header)], lines, caption, f"{answer.sweep}:{name}")


def _cell(text: str) -> str:
    return wrapped(text, LETTERS)


def _safe(name: str) -> str:
    """A name that a file and a label can have."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name)
