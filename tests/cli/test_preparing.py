"""What `prepare` prints: its tables fit into 80 columns, and say whose tokens they count."""

from __future__ import annotations

import io

from rich.console import Console

from xstilts.cli.preparing import fertility_table, statistics_tables
from xstilts.plan.stage import Rows
from xstilts.report.columns import WholeNames
from xstilts.run.preparation import Job, Prepared

ROWS = Rows("mini_udpos", "train", "a" * 64, (("en", 2), ("th", 1)), 1, 1, ("X",), 32)
LONG = "multilingual_encoder_with_a_long_name"


def prepared(model: str, language: str, tokens: int, fertility: float, unknown: float) -> Prepared:
    figures = {"rows": 20_000, "tokens": tokens, "fertility": fertility, "unknown": unknown}
    return Prepared(Job(model, ROWS, language), {**figures, "cut": 0.0, "cut_words": 0})


def shown(*done: Prepared) -> list[list[str]]:
    """The lines of both tables on a terminal of 80 columns, as words."""
    console = Console(file=io.StringIO(), width=80)
    for table in statistics_tables([*done]):
        console.print(WholeNames(table, range(3)))
    console.print(WholeNames(fertility_table([*done]), range(2)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return [line.split() for line in lines]


def test_a_language_has_a_row_for_every_model() -> None:
    lines = shown(
        prepared("xlmr", "en", 100, 1.25, 0.0),
        prepared("xlmr", "th", 60, 3.0, 2.0),
        prepared("xlmr", "en", 300, 1.5, 1.0),
        prepared(LONG, "en", 90, 1.0, 0.0),
    )
    # Of 400 tokens there are 80 and 200 words, and 3 are unknown.
    found = [line for line in lines if line[:1] and line[0] in ("en", "th")]
    assert found == [
        ["en", LONG, "1.00", "0.00"],
        ["en", "xlmr", "1.43", "0.75"],
        ["th", "xlmr", "3.00", "2.00"],
    ]


def test_of_several_models_each_has_a_table() -> None:
    both = shown(prepared("xlmr", "en", 9, 1.0, 0.0), prepared(LONG, "en", 9, 2.0, 0.0))
    places = [line[0] for line in both if line and line[0].startswith(("models.", "mini_"))]
    assert places == ["models.xlmr", "mini_udpos", f"models.{LONG}", "mini_udpos"]
    alone = shown(prepared("xlmr", "en", 9, 1.0, 0.0))
    assert not any(word.startswith("models.") for line in alone for word in line)


def test_rows_without_words_are_no_division_by_nothing() -> None:
    assert ["en", "xlmr", "0.00", "0.00"] in shown(prepared("xlmr", "en", 0, 0.0, 0.0))
