"""How the answer to a study shows: on a terminal, or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xstilts.cli.app import note, out, print_json
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.study.answer import Answer


def show_study(results: Results, form: str) -> None:
    """Show what a sweep answers to the question of its file.

    Raises:
        ConfigError: the file asks none, or the answer has no such form.
    """
    from xstilts.study.analysis import answered

    writers: dict[str, Callable[[Answer], None]] = {"text": _print, "json": _print_json}
    if form not in writers:
        rule, repair = "with --study is text or json", "leave it out, or give --json"
        raise ConfigError([Problem("--format", rule, f'"{form}"', repair)])
    writers[form](answered(results))


def _print(answer: Answer) -> None:
    """Question, answer, tables, what it does not show."""
    from xstilts.study.tables import arm_table, contrast_table, group_table

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
    if answer.registered is not None:
        told = f"{answer.registered.written}, sha256 {answer.registered.digest}"
        out.print(f"Registered {told}", markup=False)
    for line in answer.limits:
        out.print(f"- {line}", style="yellow", markup=False)
    for line in answer.missing:
        note(f"missing: {line}")


def _print_json(answer: Answer) -> None:
    from dataclasses import asdict

    print_json(asdict(answer))
