"""The report of a study as one page of Markdown, from its answer alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from xstilts.report.table import Table
from xstilts.study.answer import Answer, Odds
from xstilts.study.answer_tables import (
    arm_table,
    check_table,
    compared_table,
    contrast_table,
    contrast_tables,
    design_lines,
    losing_table,
    ordered,
    probe_tables,
    variance_table,
)
from xstilts.study.odds_tables import odds_table

_SIGNS = re.compile(r"[\\`*<>|~$]|\](?=[\[(:])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")
"""What Markdown or HTML would read as theirs, and no more, so that the text can be read as well."""


def as_markdown(answer: Answer, odds: Odds | None = None) -> str:
    """The report as one Markdown page; `odds` stand beside the answer where they are known."""
    return "\n".join(_parts(answer, odds))


def plain(text: str) -> str:
    """Text in one line, of which nothing is a sign of Markdown or HTML."""
    return _SIGNS.sub(r"\\\g<0>", " ".join(text.split()))


def _parts(answer: Answer, odds: Odds | None) -> Iterator[str]:
    yield f"# {plain(answer.question)}\n"
    yield f"**{plain(answer.says)}**\n"
    if answer.missing:
        yield "**Unfinished:** what is missing stands at the end. The answer may change.\n"
    yield "## Contrasts\n"
    yield _lines([f"{one.name} ({one.standing}): {one.says}" for one in ordered(answer)])
    yield _table(contrast_table(answer))
    yield "## Design\n"
    yield f"- sweep: {plain(answer.sweep)}"
    yield _lines([f"{term}: {said}" for term, said in design_lines(answer)])
    yield _table(arm_table(answer))
    yield _table(compared_table(answer))
    if tables := contrast_tables(answer):
        yield "## Groups\n"
        if losing := losing_table(answer):
            yield _table(losing)
        yield from (_table(table) for one in tables for table in one.groups)
        yield "## Languages\n"
        yield from (_table(one.cells) for one in tables if one.cells)
    yield "## Checks\n"
    yield _table(check_table(answer))
    if (beside := odds_table(answer, odds)) is not None:
        yield _table(beside)
    if variances := variance_table(answer):
        yield _table(variances)
    if probes := probe_tables(answer):
        yield "## Probes of encoders\n"
        yield from map(_table, probes)
    yield "## What it does not show\n"
    yield _lines(answer.limits)
    yield "## What is missing\n"
    yield _lines(answer.missing)


def _lines(texts: Sequence[str]) -> str:
    return "".join(f"- {plain(text)}\n" for text in texts) or "Nothing.\n"


def _table(table: Table) -> str:
    rows = [[plain(cell) for cell in row] for row in table.rows]
    header = [plain(name) for name in table.header]
    return replace(table, title=plain(table.title), header=header, rows=rows).markdown()
