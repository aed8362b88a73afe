"""docs/encoders.md keeps its word: its blocks are valid, and read what its tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xstilts.config.derive import reads
from xstilts.config.load import load_sweep

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
TRAIN, TEST = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
HEAD = "name: page\nrecipe: nlu_evals\n"


@pytest.mark.parametrize(
    ("block", "head", "wanted"),
    [
        (TRAIN, "benchmark: custom\n", ("xnli", "train", "de")),
        (TRAIN, "benchmark: custom\n", ("xquad", "dev", "de")),
        (TEST, "models: {xlmr: {path: FacebookAI/xlm-roberta-base}}\n", ("xcopa", "test", "sw")),
    ],
)
def test_blocks_are_valid(
    tmp_path: Path, block: str, head: str, wanted: tuple[str, str, str]
) -> None:
    (tmp_path / "page.yaml").write_text(HEAD + head + block)
    sweep = load_sweep(tmp_path / "page.yaml")
    assert wanted in {(task.name, use, language) for task, use, language in reads(sweep)}


def test_models_are_those_of_the_sweep_file() -> None:
    sweep = load_sweep(ROOT / "sweeps" / "encoders_2026.yaml")
    rows = re.findall(r"^\| (`.*?) \|", PAGE.split("## What was published")[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == list(sweep.models)
    assert all(model.path.partition("-small")[0] in PAGE for model in sweep.models.values())
