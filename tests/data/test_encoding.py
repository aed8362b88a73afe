"""Encoded rows on disk: read again without their source, under a key of all that shapes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.cli.preparing import unanswerable_lines
from xstilts.data import token_cache as token_cache_module
from xstilts.data.encoding import TokenCache
from xstilts.data.token_cache import PARTS
from xstilts.errors import DataError
from xstilts.files import read_json, write_json
from xstilts.kinds.kind import IGNORED, Vocabulary
from xstilts.plan.stage import Rows
from xstilts.run.preparation import Job, Prepared
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


def token_cache_at(storage: Path, root: Path, tokenizer: Any, sha: str) -> TokenCache:
    return TokenCache(storage, {"toy/pairs": root / "toy/pairs"}, tokenizer, sha)


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


def test_the_second_read_needs_no_source(root: Path, storage: Path, tiny_tokenizer: Any) -> None:
    first = token_cache_at(storage, root, tiny_tokenizer, "t" * 64)
    english, thai = first.encoded(ROWS, "en"), first.encoded(ROWS, "th")
    assert english.examples["label"].to_pylist() == ["no", "yes"]
    assert english.features["label"].to_pylist() == [1, 0]
    assert english.features.num_rows == 2 and thai.features.num_rows == 1
    shutil.rmtree(root)
    shutil.rmtree(storage / "caches")
    again = token_cache_at(storage, root, tiny_tokenizer, "t" * 64)
    for language, expected in (("en", english), ("th", thai)):
        read = again.encoded(ROWS, language)
        assert read.features.equals(expected.features)
        assert read.examples.equals(expected.examples)
        assert again.encoded(ROWS, language) is read
    names = sorted(path.name for path in (storage / "encoded").iterdir())
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
        {"normaliser": ("detokenise", 1)},
        {"normaliser": ("detokenise", 2)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_key_holds_what_shapes_the_rows(
    root: Path, storage: Path, tiny_tokenizer: Any, changes: dict[str, Any]
) -> None:
    token_cache = token_cache_at(storage, root, tiny_tokenizer, "t" * 64)
    token_cache.encoded(ROWS, "en")
    before = set((storage / "encoded").iterdir())
    token_cache.encoded(replace(ROWS, **changes), "en")
    assert len(set((storage / "encoded").iterdir()) - before) == 3


def test_a_normaliser_changes_what_is_encoded(
    root: Path, storage: Path, tiny_tokenizer: Any, write_dataset: WriteDataset
) -> None:
    rows = {"premise": ["the cat , drinks ."], "hypothesis": ["tea ?"], "label": ["no"]}
    natural = {"premise": ["the cat, drinks."], "hypothesis": ["tea?"], "label": ["no"]}
    configs = {"en": {"train": rows}, "th": {"train": natural}}
    write_dataset(root, "toy/pairs", configs)
    token_cache = token_cache_at(storage, root, tiny_tokenizer, "t" * 64)
    wanted = token_cache.encoded(ROWS, "th").features["input_ids"]
    normalised = replace(ROWS, normaliser=("detokenise", 1))
    assert token_cache.encoded(normalised, "en").features["input_ids"].equals(wanted)
    assert not token_cache.encoded(ROWS, "en").features["input_ids"].equals(wanted)


def test_rows_without_a_normaliser_keep_their_files() -> None:
    """The name that such rows had before there were normalisers."""
    files = token_cache_module.CacheEntry(Path(), ROWS, "en", "t" * 64)
    assert files.key == "d28af6f8eef3cdd4db799efc"


def test_another_tokenizer_encodes_anew(
    root: Path, storage: Path, tiny_tokenizer: Any, tiny_bert_tokenizer: Any
) -> None:
    one = token_cache_at(storage, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    other = TokenCache(
        storage, {"toy/pairs": root / "toy/pairs"}, tiny_bert_tokenizer, "b" * 64
    ).encoded(ROWS, "en")
    assert not one.features["input_ids"].equals(other.features["input_ids"])


def test_other_row_counts_read_the_same_files(
    root: Path, storage: Path, tiny_tokenizer: Any
) -> None:
    """Languages that a sweep adds leave the encoded rows of the others alone."""
    token_cache = token_cache_at(storage, root, tiny_tokenizer, "t" * 64)
    token_cache.encoded(ROWS, "en")
    before = set((storage / "encoded").iterdir())
    token_cache.encoded(replace(ROWS, rows=(("en", 2),)), "en")
    assert set((storage / "encoded").iterdir()) == before


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        *product(PARTS, [Path.unlink, cut_short, flip_a_bit]),
        *product(["json"], [Path.unlink, cut_short]),
    ],
)
def test_half_written_rows_are_encoded_again(
    root: Path,
    storage: Path,
    tiny_tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    damage: Callable[[Path], None],
) -> None:
    expected = token_cache_at(storage, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    (path,) = (storage / "encoded").glob(f"*.{part}")
    whole = path.read_bytes()
    damage(path)
    monkeypatch.setattr(token_cache_module, "_verified", set())  # as in another process
    again = token_cache_at(storage, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    assert again.features.equals(expected.features)
    assert again.examples.equals(expected.examples)
    assert path.read_bytes() == whole


def test_rows_of_an_older_version_get_their_digests_and_are_read(
    root: Path, storage: Path, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = token_cache_at(storage, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    (path,) = (storage / "encoded").glob("*.json")
    whole = read_json(path)
    write_json(path, whole["figures"])
    monkeypatch.setattr(token_cache_module, "_verified", set())
    shutil.rmtree(root)
    again = token_cache_at(storage, root, tiny_tokenizer, "t" * 64).encoded(ROWS, "en")
    assert again.features.equals(expected.features)
    assert read_json(path) == whole


def test_questions_without_a_way_to_answer_are_counted_and_those_of_training_named(
    tmp_path: Path,
    storage: Path,
    write_dataset: WriteDataset,
    declare: Callable[[Task], Task],
    tiny_bert_tokenizer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The tokenizer knows no omega, so that a word with one is one unknown token."""
    declare(
        Task(
            "toy", "span", Source("toy/questions"), ("en",),
            {"train": "train", "test": "train"}, ("exact_match", "f1"),
        )
    )  # fmt: skip
    contexts = ["The cat sleeps .", "The Ωcat sleeps .", "The Ωcat"]
    answers = ["cat", "cat", "Ωcat"]
    split = {
        "id": ["first", "second", "third"],
        "context": contexts,
        "question": ["tea ?"] * 3,
        "answers": [
            {"text": [answer], "answer_start": [context.index(answer)]}
            for context, answer in zip(contexts, answers, strict=True)
        ],
    }
    root = tmp_path / "mirror"
    write_dataset(root, "toy/questions", {"default": {"train": split}})
    folders = {"toy/questions": root / "toy/questions"}
    token_cache = TokenCache(storage, folders, tiny_bert_tokenizer, "t" * 64)
    for use in ("train", "test"):
        caplog.clear()
        rows = replace(ROWS, use=use, rows=(("en", 3),), labels=())
        found = token_cache.encoded(rows, "en")
        figures = token_cache_module.CacheEntry(storage, rows, "en", "t" * 64).figures()
        assert figures is not None and (figures["rows"], figures["unanswerable"]) == (3, 1)
        lines = [record.getMessage() for record in caplog.records]
        told = [line for line in lines if "left out of training: second" in line]
        assert len(told) == (use == "train")
        starts = found.features["start"].to_pylist()
        assert starts[1] == IGNORED and min(starts[0], starts[2]) > 0
        kind = kinds.get("span")
        batch = kind.collate(
            found.features.to_pydict(), Vocabulary.of(tiny_bert_tokenizer), np.random.default_rng(0)
        )
        assert kind.num_units(batch) == 2
        head = kind.build_head(4, rows.entry, 0.0)
        hidden = torch.randn(3, batch.inputs["input_ids"].shape[1], 4, requires_grad=True)
        kind.loss(head, hidden, batch).backward()
        assert hidden.grad is not None
        assert [bool(grad.abs().sum() > 0) for grad in hidden.grad] == [True, False, True]
    told = unanswerable_lines([Prepared(Job("m", rows, "en"), figures)])
    assert told[1:] == ["toy test en: 1 of 3 cannot be answered, scored as they are"]
