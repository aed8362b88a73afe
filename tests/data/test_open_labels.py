"""Tags that a task does not name are those of its training rows, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, List, Value

from xstilts.data.open_labels import labels_of
from xstilts.errors import DataError
from xstilts.tasks import Source, Task

WriteDataset = Callable[..., Path]
STORED = {
    "texts": (Value("string"), [["NOUN", "VERB"], ["X"], []], ["NOUN", "VERB", "X"]),
    "class numbers": (
        ClassLabel(names=["X", "VERB", "NOUN"]),
        [[2, -1], [1], []],
        ["NOUN", "VERB"],
    ),
}


def tags(tmp_path: Path, write: WriteDataset, feature: Any, rows: list[Any]) -> list[str]:
    features = {"tokens": List(Value("string")), "pos_tags": List(feature)}
    columns = {"tokens": [["word"] * len(row) for row in rows], "pos_tags": rows}
    write(tmp_path, "toy/tags", {"default": {"train": columns}}, features)
    task = Task(
        name="toy",
        kind="tagging",
        source=Source("toy/tags", columns={"tags": "pos_tags"}),
        languages=("en",),
        splits={"train": "train"},
        metrics=("accuracy",),
        open_labels=True,
    )
    return labels_of({"toy/tags": tmp_path / "toy/tags"}, task)


@pytest.mark.parametrize("stored", STORED)
def test_tags_are_those_of_the_training_rows(
    stored: str, tmp_path: Path, write_dataset: WriteDataset
) -> None:
    feature, rows, expected = STORED[stored]
    assert tags(tmp_path, write_dataset, feature, rows) == expected


def test_numbers_without_names_are_refused(tmp_path: Path, write_dataset: WriteDataset) -> None:
    with pytest.raises(DataError, match=r"'pos_tags' must be texts, or class numbers with names"):
        tags(tmp_path, write_dataset, Value("int64"), [[0, 1]])
