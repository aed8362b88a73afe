"""docs/chains.md keeps its word: its file is valid, its table is what links have."""

from __future__ import annotations

import re
from pathlib import Path

from xstilts.config.derive import links_of, overlaps, recipe_of
from xstilts.config.load import load_sweep

PAGE = (Path(__file__).parents[1] / "docs" / "chains.md").read_text(encoding="utf-8")


def test_the_file_is_valid_and_its_table_is_what_links_have(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "causes.yaml"
    path.write_text(block)
    sweep = load_sweep(path)
    links = [link.name for link in links_of(sweep, "xcopa")]
    assert links == [link.name for link in links_of(sweep, "mine")] == ["siqa", "copa"]
    marked = {name: overlaps(sweep, name, "xcopa") for name in sweep.intermediates}
    assert marked == {"csqa": False, "siqa": True}
    header, _, *rows = re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE)
    names = [cell.strip() for cell in header.split("|")][1:]
    found = {link: recipe_of(sweep).for_link("xcopa", link, {}) for link in links}
    for row, link in zip(rows, links, strict=True):
        name, *values = (cell.strip() for cell in row.split("|"))
        assert name == link
        assert [float(value) for value in values] == [getattr(found[link], own) for own in names]
