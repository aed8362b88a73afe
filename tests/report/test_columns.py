"""Tables at 80 columns: names stay whole, what is not a name wraps, wide tables become several."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xstilts.report.columns import Blocks, WholeNames


def shown(renderable: Any, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    assert "…" not in stream.getvalue()
    return lines


def table(name: str) -> Table:
    table = Table("name", "remark", "rows", box=SIMPLE_HEAD, pad_edge=False)
    table.add_row(name, "many words that say something about it " * 3, "1,000,000")
    return table


@pytest.mark.parametrize("length", [5, 40, 54])
def test_a_name_stays_whole_and_others_wrap(length: int) -> None:
    name = "x" * length
    lines = shown(WholeNames(table(name), (0, 2)))
    assert any(name in line for line in lines)
    words = " ".join(line[max(length, 4) : -1].strip() for line in lines[3:])
    assert words.split().count("something") == 3 or length == 54
    assert "".join(lines).count("1,000,000") == 1


def test_a_title_and_a_caption_are_as_wide_as_the_terminal() -> None:
    title = "what this narrow table of two short columns is about"
    narrow = Table("a", "b", title=title, caption=f"{title}, once more", title_justify="left")
    assert shown(WholeNames(narrow)) == [title, f"{title}, once more"], "a bare header says nothing"
    narrow.add_row("1", "2")
    lines = shown(WholeNames(narrow))
    assert (lines[0], lines[-1]) == (title, f"{title}, once more")
    assert any("1" in line for line in lines[1:-1])


def test_a_name_longer_than_the_terminal_loses_nothing() -> None:
    name = "".join(chr(ord("a") + i % 26) for i in range(100))
    lines = shown(WholeNames(table(name)), width=60)
    column = "".join(line.split("   ")[0].strip() for line in lines[3:])
    assert column == name


def test_a_wide_table_becomes_several_with_its_first_column_in_each() -> None:
    names = [f"intermediate_{i:02d}" for i in range(12)]
    rows = [[f"target_{t}", *(f"{t}.{i:02d}°" for i in range(12))] for t in range(3)]
    lines = shown(Blocks("Scores", ("target", *names), rows))
    text = "\n".join(lines)
    assert text.count("Scores") == 1
    assert all(text.count(name) == 1 for name in names)
    assert all(text.count(row[0]) == text.count("target ") for row in rows)
    assert all(text.count(cell) == 1 for row in rows for cell in row[1:])
    narrow = shown(Blocks("Scores", ("target", *names[:2]), [row[:3] for row in rows]))
    assert "\n".join(narrow).count("target ") == 1
