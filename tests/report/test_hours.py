"""Tokens of what a stage draws, as its rows were counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.data.token_cache import PARTS, CacheEntry
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.plan.stage import Part, Rows
from xstilts.report.hours import Lengths

INVENTORY = Inventory({"m": ModelFacts("/m", "weights", "tokenizer", 12, 1)}, {}, {}, {})


@pytest.mark.parametrize(("task", "tokens"), [("mini_mlm", 2 * 300.0), ("mini_qa", 2 * 900.0)])
def test_a_draw_of_mlm_reads_one_window_and_others_all(
    tmp_path: Path, task: str, tokens: float
) -> None:
    rows = Rows(task, "train", "a" * 64, (("en", 10),), 1, 1, (), 32)
    part = Part(rows, None, 20, 4, (1.0,))
    lengths = Lengths(tmp_path, INVENTORY)
    assert lengths.drawn(part, "m") == (20 * 32, False)
    files = CacheEntry(tmp_path, rows, "en", "tokenizer")
    (tmp_path / "encoded").mkdir()
    for name in PARTS:
        files.path(name).write_bytes(b"rows")
    files.seal({"rows": 10, "sequences": 30, "tokens": 900})
    assert lengths.drawn(part, "m") == (tokens, True)
