"""Broken sweep files: each in `broken/`, with the problems that it must give, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.config.load import load_sweep
from xstilts.errors import ConfigError

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))


def problems_of(path: Path) -> list[str]:
    """What is said of a file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert caught.value.exit_status == 2
    lines = [str(problem) for problem in caught.value.problems]
    assert all(line.startswith(f"{path}: ") for line in lines), lines
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_file_gives_its_problems(path: Path) -> None:
    """`broken/x.txt` holds how each line of the message begins, in any order."""
    expected = sorted(path.with_suffix(".txt").read_text(encoding="utf-8").splitlines())
    found = sorted(problems_of(path))
    missing = [start for start in expected if not any(line.startswith(start) for line in found)]
    surplus = [line for line in found if not any(line.startswith(start) for start in expected)]
    assert (missing, surplus) == ([], [])
    assert len(found) == len(expected), "one mistake is one problem"


def test_every_broken_file_has_its_message() -> None:
    folder = Path(__file__).parent / "broken"
    assert {path.stem for path in folder.glob("*.txt")} == {path.stem for path in BROKEN}
    assert len(BROKEN) >= 20
