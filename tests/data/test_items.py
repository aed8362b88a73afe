"""Items: which rows of several languages are one, on disk and through the cache of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xstilts.data import encoding
from xstilts.data.encoding import TokenCache
from xstilts.data.natural import read
from xstilts.files import sha256_of
from xstilts.plan.stage import Rows
from xstilts.tasks import Source, Task

LANGUAGES = ("en", "de")


def rows_of(task: Task, sha: str, counts: dict[str, int], limit: int | None = None) -> Rows:
    rows = tuple(counts.items())
    return Rows(task.name, "test", sha, rows, 1, 1, task.labels, 64, limit)


@pytest.fixture
def keys(
    tmp_path: Path,
    tiny_tokenizer: Any,
    write_dataset: Any,
    declare: Callable[[Task], Task],
    storage: Path,
) -> Callable[..., dict[str, list[str | None]]]:
    """The keys of a task's rows in every language."""

    def found(
        kind: str,
        by_language: dict[str, dict[str, list[Any]]],
        limit: int | None = None,
        **facts: Any,
    ) -> dict[str, list[str | None]]:
        configs = {language: {"test": columns} for language, columns in by_language.items()}
        folder = write_dataset(tmp_path / "data", "toy/toy", configs)
        labels = {"pair": ("a", "b"), "tagging": ("X", "Y")}.get(kind, ())
        source = Source("toy/toy", config="{language}")
        splits = {"test": "test"}
        task = Task("toy", kind, source, tuple(by_language), splits, ("accuracy",), labels, **facts)
        declare(task)
        (storage / "encoded").mkdir(exist_ok=True)
        cache = TokenCache(storage, {"toy/toy": folder}, tiny_tokenizer, "sha")
        sizes = {x: len(next(iter(own.values()))) for x, own in by_language.items()}
        counts = sizes if limit is None else dict.fromkeys(sizes, limit)
        rows = rows_of(task, sha256_of(by_language), counts, limit)
        return {language: cache.item_keys(rows, language) for language in by_language}

    return found


def pairs(count: int) -> dict[str, list[Any]]:
    return {"premise": ["x"] * count, "hypothesis": ["y"] * count, "label": ["a"] * count}


def test_what_joins_rows_is_read_off_them_once(
    keys: Any, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = {"de": ["A dog.", "A cat."], "fr": ["A cat.", "A dog."]}
    both = {
        x: {"source_sentence": ["s", "t"], "target_sentence": own} for x, own in english.items()
    }
    first = keys("retrieval", both)
    reads: list[str] = []

    def noted(*arguments: Any) -> Any:
        reads.append(arguments[2])
        return read(*arguments)

    monkeypatch.setattr(encoding, "read", noted)
    assert keys("retrieval", both) == first and not reads
    files = sorted((storage / "encoded").glob("*.joined.json"))
    files[0].write_text("{torn")
    files[1].write_text(files[1].read_text().replace("target_sentence", "another"))
    assert keys("retrieval", both) == first and sorted(reads) == ["de", "fr"]
    assert keys("retrieval", both) == first and len(reads) == 2


def test_rows_of_parallel_sets_join_by_their_number(keys: Any) -> None:
    both = {"en": pairs(3), "de": pairs(3)}
    assert keys("pair", both, is_parallel=True) == {x: ["0", "1", "2"] for x in LANGUAGES}


def test_a_language_that_lacks_rows_joins_with_none(keys: Any) -> None:
    other = {"en": pairs(3), "de": pairs(2)}
    assert keys("pair", other, is_parallel=True)["en"] == [None] * 3


def test_rows_of_other_sets_join_with_none(keys: Any) -> None:
    assert keys("pair", {"en": pairs(2), "de": pairs(2)})["de"] == [None, None]


def test_questions_join_by_their_ids(keys: Any) -> None:
    answer = {"text": ["b"], "answer_start": [2]}

    def questions(*names: str) -> dict[str, list[Any]]:
        count = len(names)
        texts = {"context": ["a b"] * count, "question": ["c"] * count}
        return {"id": list(names), **texts, "answers": [answer] * count}

    found = keys("span", {"en": questions("q1", "q2"), "de": questions("q2")})
    assert found == {"en": ["q1", "q2"], "de": ["q2"]}


def test_equal_english_sentences_are_one_item(keys: Any) -> None:
    english = {"de": ["A dog.", "A cat.\n"], "fr": ["A cat.", "A dog."]}
    both = {
        x: {"source_sentence": ["s", "t"], "target_sentence": own} for x, own in english.items()
    }
    found = keys("retrieval", both)
    assert found["de"] == found["fr"][::-1] and len(set(found["de"])) == 2


def test_sentences_of_parallel_treebanks_join_and_others_do_not(keys: Any) -> None:
    def sentences(*names: str) -> dict[str, list[Any]]:
        count = len(names)
        return {
            "tokens": [["a", "b"]] * count,
            "tags": [["X", "Y"]] * count,
            "sent_id": list(names),
        }

    both = {"en": sentences("n01001011", "test-s1"), "de": sentences("test-s1", "w01002003")}
    assert keys("tagging", both) == {"en": ["n01001011", None], "de": [None, "w01002003"]}
    plain = {x: {k: v for k, v in own.items() if k != "sent_id"} for x, own in both.items()}
    assert keys("tagging", plain)["en"] == [None, None]


def test_samples_keep_the_keys_of_their_rows(keys: Any) -> None:
    texts = [f"{i}." for i in range(9)]
    both = {x: {"source_sentence": texts, "target_sentence": texts} for x in LANGUAGES}
    whole, some = keys("retrieval", both), keys("retrieval", both, limit=4)
    assert some["en"] == some["de"] and len(some["en"]) == 4
    assert set(some["en"]) < set(whole["en"])
