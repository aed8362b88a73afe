"""How the answer to a study shows: on a terminal, as a page, in LaTeX, Markdown or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xstilts.cli.app import note, out, print_json
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.study.answer import Answer, Odds


def show_study(results: Results, form: str) -> None:
    """Show what a sweep answers to the question of its file.

    Raises:
        ConfigError: the file asks none, or the answer has no such form.
    """
    from xstilts.study.analysis import answered
    from xstilts.study.odds import odds_of

    writers: dict[str, Callable[[Answer, Odds | None], None]] = {
        "text": _print,
        "markdown": _print_markdown,
        "json": _print_json,
    }
    if form not in writers:
        rule, repair = f"with --study is {', '.join(writers)}", "leave it out, or give --json"
        raise ConfigError([Problem("--format", rule, f'"{form}"', repair)])
    writers[form](answered(results), odds_of(results))


def write_study(results: Results, file: Path | None, html: bool, latex: Path | None) -> None:
    """Write the answer to a study as a page, or in LaTeX; of a sweep that is not finished too.

    Raises:
        ConfigError: the file asks no question, or nothing can be written there.
    """
    from xstilts.study.analysis import answered
    from xstilts.study.odds import odds_of

    answer, odds, written = answered(results), odds_of(results), []
    if html:
        from xstilts.study.page import write_page

        written.append(write_page(answer, file or results.places.report / "study.html", odds))
    if latex is not None:
        from xstilts.study.latex import write_latex

        written += write_latex(answer, latex, odds)
    for path in written:
        out.print(str(path), markup=False, soft_wrap=True)
    for line in answer.missing:
        note(f"missing: {line}")


def _print(answer: Answer, odds: Odds | None) -> None:
    """Question, answer, tables, what it does not show."""
    from xstilts.study.odds_tables import terminal_table
    from xstilts.study.terminal_tables import (
        arm_table,
        check_table,
        contrast_table,
        group_table,
    )

    out.print(answer.question, style="bold", markup=False)
    out.print()
    out.print(answer.says, markup=False)
    out.print()
    out.print(arm_table(answer).rich())
    out.print(contrast_table(answer).rich())
    for one in answer.contrasts:
        out.print(f"{one.name}: {one.says}", markup=False)
        if one.worst is not None:
            told = f"{one.losing} of {len(one.languages)} languages lose more than a point"
            out.print(f"{told}; the five lowest have {one.worst:+.1f} on average", markup=False)
        if one.groups:
            out.print(group_table(one).rich())
    if checks := check_table(answer):
        out.print(checks.rich())
    if beside := terminal_table(answer, odds):
        out.print(beside.rich())
    if answer.registered is not None:
        told = f"{answer.registered.written}, sha256 {answer.registered.digest}"
        out.print(f"Registered {told}", markup=False)
    for line in answer.limits:
        out.print(f"- {line}", style="yellow", markup=False)
    for line in answer.missing:
        note(f"missing: {line}")


def _print_markdown(answer: Answer, odds: Odds | None) -> None:
    from xstilts.study.markdown import as_markdown

    sys.stdout.write(as_markdown(answer, odds))


def _print_json(answer: Answer, odds: Odds | None) -> None:
    from dataclasses import asdict

    print_json(asdict(answer) | ({"odds": asdict(odds)} if odds else {}))
