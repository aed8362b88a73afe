"""Several sweeps side by side: their verdicts, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.report.results import Results, load_results
from xstilts.report.sweeps_table import sweeps_table

from .stored import confirmed_places, confirmed_sweep


def made(folder: Path, name: str, **changes: object) -> Results:
    return load_results(confirmed_places(folder / name, confirmed_sweep(name=name, **changes)))


def test_target_by_target_with_their_own_numbers(tmp_path: Path) -> None:
    both = ["mini_xnli", "mini_udpos"]
    found = [made(tmp_path, "one"), made(tmp_path, "two", targets=both)]
    table = sweeps_table(found)
    assert [row[:3] for row in table.rows] == [
        ["mini_xnli", "one", "best"],
        ["mini_xnli", "two", "best"],
        ["mini_udpos", "two", "not confirmed"],
    ]
    assert table.numbers["gain_value"][2] is None
    record = table.records()[0]
    assert record["gain_value"] == pytest.approx(4) and record["95 %"].startswith("+")
    assert [row[0] for row in sweeps_table(found, ["mini_udpos"]).rows] == ["mini_udpos"]


def test_what_cannot_be_compared_is_said_in_a_line(tmp_path: Path) -> None:
    one, other = made(tmp_path, "one"), made(tmp_path, "two", benchmark="mini")
    with pytest.raises(ConfigError) as told:
        sweeps_table([one, other])
    assert len(told.value.problems) == 1 and "one is of custom" in str(told.value)
    with pytest.raises(ConfigError, match="--target: is a target of one of the sweeps") as told:
        sweeps_table([one, made(tmp_path, "three")], ["mini_xnly"])
    assert "mini_xnli" in str(told.value)
