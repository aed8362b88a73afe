"""What kinds share: whether the gold of a set was published."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts import kinds
from xstilts.kinds.kind import is_labelled
from xstilts.tasks import Source, Task

BLANK: dict[str, dict[str, list[Any]]] = {
    "pair": {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": ["", ""]},
    "choice": {"prompt": ["a", "b"], "choices": [["c", "d"], ["e", "f"]], "label": ["", ""]},
    "tagging": {"tokens": [["a", "b"], ["c"]], "tags": [["", ""], [""]]},
    "span": {
        "id": ["1", "2"],
        "context": ["tea", "cat"],
        "question": ["a", "b"],
        "answers": [{"text": [], "answer_start": []}] * 2,
    },
}
ONE_LABEL: dict[str, tuple[str, Any]] = {
    "pair": ("label", "X"),
    "choice": ("label", "1"),
    "tagging": ("tags", ["X"]),
    "span": ("answers", {"text": ["cat"], "answer_start": [0]}),
}


@pytest.mark.parametrize("kind", BLANK)
def test_a_blank_set_is_encoded_and_known_as_such(kind: str, tiny_tokenizer: Any) -> None:
    labels = () if kind == "choice" else ("X", "Y")
    task = Task("toy", kind, Source("toy/toy"), ("en",), {}, ("f1",), labels=labels)
    blank = kinds.get(kind).encode(BLANK[kind], task, tiny_tokenizer, 32)
    assert blank.examples.num_rows == 2
    assert not is_labelled(blank.examples)
    column, value = ONE_LABEL[kind]
    some = {**BLANK[kind], column: [BLANK[kind][column][0], value]}
    assert is_labelled(kinds.get(kind).encode(some, task, tiny_tokenizer, 32).examples)


def test_the_gold_of_retrieval_is_its_order(tiny_tokenizer: Any) -> None:
    task = Task("toy", "retrieval", Source("toy/toy"), ("th",), {}, ("accuracy",))
    columns = {"source_sentence": ["a"], "target_sentence": ["b"]}
    assert is_labelled(kinds.get("retrieval").encode(columns, task, tiny_tokenizer, 32).examples)
