"""Encoded rows on disk: read again without their source, under a key of all that shapes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.prepare import Encoder
from xstilts.errors import DataError
from xstilts.plan.stage import Rows
from xstilts.tasks import Source, Task

WriteDataset = Callable[..., Path]

ROWS = Rows(
    task="toy",
    use="train",
    source="a" * 64,
    rows=(("en", 2), ("th", 1)),
    task_version=1,
    encoding_version=1,
    labels=("yes", "no"),
    max_length=32,
)


def encoder_at(storage: Path, root: Path, tokenizer: Any, sha: str) -> Encoder:
    return Encoder(storage, {"toy/pairs": root / "toy/pairs"}, tokenizer, sha)


@pytest.fixture
def root(tmp_path: Path, write_dataset: WriteDataset, declare: Callable[[Task], Task]) -> Path:
    task = Task(
        name="toy",
        kind="pair",
        source=Source("toy/pairs", config="{language}"),
        languages=("en", "th"),
        splits={"train": "train", "test": "train"},
        metrics=("accuracy",),
        labels=("yes", "no"),
    )
    declare(task)
    english = {"premise": ["cat", "tea"], "hypothesis": ["a", "b"], "label": ["no", "yes"]}
    thai = {"premise": ["แมว"], "hypothesis": ["ชา"], "label": ["no"]}
    configs = {"en": {"train": english}, "th": {"train": thai}}
    write_dataset(tmp_path / "mirror", "toy/pairs", configs)
    return tmp_path / "mirror"


def test_the_second_read_needs_no_source(root: Path, tmp_path: Path, tiny_tokenizer: Any) -> None:
    first = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64)
    english, thai = first.encoded(ROWS, "en"), first.encoded(ROWS, "th")
    assert english.examples["label"].to_pylist() == ["no", "yes"]
    assert english.features["label"].to_pylist() == [1, 0]
    assert english.features.num_rows == 2 and thai.features.num_rows == 1
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "cache")
    again = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64)
    for language, expected in (("en", english), ("th", thai)):
        read = again.encoded(ROWS, language)
        assert read.features.equals(expected.features)
        assert read.examples.equals(expected.examples)
        assert again.encoded(ROWS, language) is read
    names = sorted(path.name for path in (tmp_path / "encoded").iterdir())
    assert len(names) == 6, "features, examples and figures of two languages"
    with pytest.raises(DataError):
        again.encoded(replace(ROWS, max_length=16), "en")


@pytest.mark.parametrize(
    "changes",
    [
        {"max_length": 16},
        {"source": "b" * 64},
        {"task_version": 2},
        {"encoding_version": 2},
        {"labels": ("no", "yes")},
        {"use": "test"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_key_holds_what_shapes_the_rows(
    root: Path, tmp_path: Path, tiny_tokenizer: Any, changes: dict[str, Any]
) -> None:
    encoder = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64)
    encoder.encoded(ROWS, "en")
    before = set((tmp_path / "encoded").iterdir())
    encoder.encoded(replace(ROWS, **changes), "en")
    assert len(set((tmp_path / "encoded").iterdir()) - before) == 3


def test_another_tokenizer_encodes_anew(
    root: Path, tmp_path: Path, tiny_tokenizer: Any, tiny_bert_tokenizer: Any
) -> None:
    one = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    other = Encoder(
        tmp_path, {"toy/pairs": root / "toy/pairs"}, tiny_bert_tokenizer, "b" * 64
    ).encoded(ROWS, "en")
    assert not one.features["input_ids"].equals(other.features["input_ids"])


def test_other_row_counts_read_the_same_files(
    root: Path, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    """Languages that a sweep adds leave the encoded rows of the others alone."""
    encoder = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64)
    encoder.encoded(ROWS, "en")
    before = set((tmp_path / "encoded").iterdir())
    encoder.encoded(replace(ROWS, rows=(("en", 2),)), "en")
    assert set((tmp_path / "encoded").iterdir()) == before


def test_half_written_rows_are_encoded_again(
    root: Path, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    expected = Encoder(
        tmp_path, {"toy/pairs": root / "toy/pairs"}, tiny_tokenizer, "t" * 64
    ).encoded(ROWS, "en")
    (examples,) = (tmp_path / "encoded").glob("*.examples.arrow")
    examples.unlink()
    again = encoder_at(tmp_path, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    assert again.examples.equals(expected.examples) and examples.exists()
