"""docs/recipes.md keeps its word: its blocks are valid, its table is what plans have. So are those
blocks of sweeps/README.md that are a benchmark's or a recipe's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xstilts.config.derive import recipe_of
from xstilts.config.load import load_sweep
from xstilts.config.recipe import FIELDS, SEARCHABLE, WORDS
from xstilts.config.schema import Sweep

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SHORT = [
    block
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "sweeps" / "README.md").read_text(), re.S)
    if block.startswith(("recipe:", "benchmark:"))
]
HEAD = """\
name: page
benchmark: custom
models: {xlmr: {path: FacebookAI/xlm-roberta-large}}
intermediates: {hellaswag: {tasks: [hellaswag]}, squad: {tasks: [squad_v2]}}
targets: [panx, xquad, mlqa]
"""


def sweep_of(folder: Path, block: str) -> Sweep:
    path = folder / "page.yaml"
    path.write_text(HEAD + block)
    return load_sweep(path)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_valid(tmp_path: Path, block: str) -> None:
    assert sweep_of(tmp_path, block).recipe.name == "standard"


@pytest.mark.parametrize("block", SHORT)
def test_blocks_of_the_page_on_sweep_files_are_valid(tmp_path: Path, block: str) -> None:
    head = HEAD if block.startswith("recipe") else f"{HEAD}recipe: standard\n"
    key = block.partition(":")[0]
    kept = "".join(line for line in head.splitlines(True) if not line.startswith(f"{key}:"))
    (tmp_path / "page.yaml").write_text(kept + block)
    assert getattr(load_sweep(tmp_path / "page.yaml"), key).name in ("standard", "mine")


def test_the_table_of_what_wins_is_what_stages_have(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "batch_size" in block)
    recipe = recipe_of(sweep_of(tmp_path, block))
    header, _, *rows = re.findall(r"^\|(.*)\|$", PAGE.split("## What wins")[1], re.MULTILINE)[:6]
    names = [cell.strip() for cell in header.split("|")][1:]
    assert len(rows) == 4 and set(names) <= set(FIELDS)
    for row in rows:
        stage, *values = (cell.strip() for cell in row.split("|"))
        found = recipe.for_task(*stage.split(), {})
        assert [float(value) for value in values] == [getattr(found, name) for name in names]


def test_every_field_and_every_word_is_explained() -> None:
    table = PAGE.split("## Fields")[1].split("\n## ")[0]
    words = re.findall(r"`(\w+)`", table)
    assert set(words) >= {*FIELDS, *(word for words in WORDS.values() for word in words)}
    sentence = table.split("A search space may name")[1]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(SEARCHABLE)
