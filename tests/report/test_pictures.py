"""Pictures: of a size that is read on a screen, whatever the number of languages."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from xstilts.report.pictures import heat_map

DPI, SCREEN = 150, 2000
"""A picture that is wider, in pixels, is shrunk until its letters cannot be read."""


def size_of(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize(("languages", "targets"), [(7, 4), (16, 5), (40, 5), (40, 9), (2, 1)])
def test_languages_are_read_on_a_screen(tmp_path: Path, languages: int, targets: int) -> None:
    names = [f"l{i:02d}" for i in range(languages)]
    grid = {f"target_{t}": dict.fromkeys(names, 50.0 + t) for t in range(targets)}
    heat_map(grid, names, "title").save(tmp_path / "languages.png")
    width, height = size_of(tmp_path / "languages.png")
    assert width <= SCREEN * 1.3
    # Numbers have eight points: four of them stand in a cell's width, one in its height.
    lines, columns = (languages, targets) if languages > 16 else (targets, languages)
    assert height >= lines * DPI * 0.25 and width >= columns * DPI * 0.5
