"""Multiple choice: a sequence a choice, prompts cut on the left, choices never cut first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xstilts import kinds
from xstilts.errors import DataError
from xstilts.kinds.kind import Vocabulary
from xstilts.tasks import Source, Task

CHOICE = kinds.get("choice")
TASK = Task("toy", "choice", Source("toy/toy"), ("en",), {}, ("accuracy",))
ROWS = {
    "prompt": ["The cat sleeps", "Water"],
    "choices": [["on the chair", "in tea", "at noon"], ["boils", "leaves", "was born in Berlin"]],
    "label": ["0", 2],
}


def test_one_group_a_row_with_labels_as_numbers_or_text(tiny_tokenizer: Any) -> None:
    encoded = CHOICE.encode(ROWS, TASK, tiny_tokenizer, 64)
    groups = encoded.features["input_ids"].to_pylist()
    for prompt, choices, group in zip(ROWS["prompt"], ROWS["choices"], groups, strict=True):
        expected = [tiny_tokenizer(prompt, choice)["input_ids"] for choice in choices]
        assert group == expected
    assert encoded.examples["label"].to_pylist() == [0, 2]


def test_a_long_prompt_is_cut_on_the_left(tiny_tokenizer: Any) -> None:
    rows = {
        "prompt": ["apples " * 40 + "drink tea"],
        "choices": [["at noon", "in Berlin in 1968"]],
        "label": [1],
    }
    before = tiny_tokenizer.truncation_side
    groups = CHOICE.encode(rows, TASK, tiny_tokenizer, 32).features["input_ids"][0].as_py()
    for ids, choice in zip(groups, rows["choices"][0], strict=True):
        assert len(ids) == 32
        tail = tiny_tokenizer("drink tea", choice)["input_ids"][1:]
        assert ids[-len(tail) :] == tail
        assert ids[0] == tiny_tokenizer.cls_token_id
    assert tiny_tokenizer.truncation_side == before == "right"


def test_a_choice_longer_than_the_limit_is_cut_too(tiny_tokenizer: Any) -> None:
    rows = {"prompt": ["drink tea"], "choices": [["apples " * 40, "tea"]], "label": [1]}
    groups = CHOICE.encode(rows, TASK, tiny_tokenizer, 32).features["input_ids"][0].as_py()
    assert [len(ids) <= 32 for ids in groups] == [True, True]


def test_the_highest_score_of_a_row_wins(tiny_tokenizer: Any) -> None:
    encoded = CHOICE.encode(ROWS, TASK, tiny_tokenizer, 64)
    random = np.random.default_rng(0)
    columns = encoded.features.to_pydict()
    batch = CHOICE.collate(columns, Vocabulary.of(tiny_tokenizer), random)
    assert len(batch.inputs["input_ids"]) == 6

    class FirstUnit(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden[:, 0, :1]

    hidden = torch.tensor([1.0, 3.0, 2.0, -1.0, -3.0, 0.5]).view(6, 1, 1).expand(6, 4, 2)
    assert CHOICE.outputs(FirstUnit(), hidden, batch) == [1, 2]
    expected = nn.functional.cross_entropy(
        torch.tensor([[1.0, 3.0, 2.0], [-1.0, -3.0, 0.5]]), torch.tensor([0, 2])
    )
    assert torch.allclose(CHOICE.loss(FirstUnit(), hidden, batch), expected)


@pytest.mark.parametrize("width", [1, 3])
def test_a_row_with_another_number_of_choices_is_refused(tiny_tokenizer: Any, width: int) -> None:
    """Two of them that balance out would move the choices of one row to another."""
    rows = {
        "prompt": ["one", "two"],
        "choices": [["a", "b"], ["c", "d", "e"][:width]],
        "label": [0, 0],
    }
    with pytest.raises(DataError, match=f"toy: row 1 has {width} choices, the first has 2"):
        CHOICE.encode(rows, TASK, tiny_tokenizer, 32)
