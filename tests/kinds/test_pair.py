"""Pairs: labels by name, whatever their order in the files; both texts stay when cut."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts import kinds
from xstilts.tasks import Source, Task

PAIR = kinds.get("pair")
ROWS = {
    "premise": ["I drink tea.", "Water boils.", "She was born."],
    "hypothesis": ["tea", "Wasser", "Berlin"],
    "label": ["maybe", "yes", "maybe"],
}


def task_with(*labels: str) -> Task:
    return Task("toy", "pair", Source("toy/toy"), ("en",), {}, ("accuracy",), labels=labels)


def test_labels_are_positions_of_their_names(tiny_tokenizer: Any) -> None:
    for labels, expected in ((("yes", "maybe"), [1, 0, 1]), (("maybe", "no", "yes"), [0, 2, 0])):
        task = task_with(*labels)
        encoded = PAIR.encode(ROWS, task, tiny_tokenizer, 32)
        assert encoded.features["label"].to_pylist() == expected
        assert encoded.examples["label"].to_pylist() == ROWS["label"]
        assert PAIR.decode(expected, encoded, task) == ROWS["label"]
        assert PAIR.build_head(8, task, 0.0).output.out_features == len(labels)


def test_score_and_constant(tiny_tokenizer: Any) -> None:
    task = task_with("yes", "maybe")
    examples = PAIR.encode(ROWS, task, tiny_tokenizer, 32).examples
    assert PAIR.constant(examples, task) == ["maybe"] * 3
    scores = PAIR.score(["yes", "yes", "maybe"], examples, task, "en")
    # The second label is the positive one; every row but the first has it.
    assert scores == pytest.approx({"accuracy": 200 / 3, "f1": 200 / 3})


def test_the_longer_text_is_cut(tiny_tokenizer: Any) -> None:
    task = task_with("yes")
    rows = {"premise": ["tea " * 60], "hypothesis": ["Berlin"], "label": ["yes"]}
    ids = PAIR.encode(rows, task, tiny_tokenizer, 24).features["input_ids"][0].as_py()
    hypothesis = tiny_tokenizer("Berlin", add_special_tokens=False)["input_ids"]
    assert len(ids) == 24
    assert ids[-1 - len(hypothesis) : -1] == hypothesis
