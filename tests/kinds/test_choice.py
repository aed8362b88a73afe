"""Multiple choice: a sequence a choice, prompts cut on the left, choices never cut first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import require
from xstilts import kinds
from xstilts.data.importers import import_folder
from xstilts.data.sources import load_rows
from xstilts.errors import DataError
from xstilts.kinds.kind import Vocabulary
from xstilts.tasks import Source, Task, lookup

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


@pytest.mark.parametrize("label", ["3", 3, -2])
def test_a_label_that_is_no_position_is_refused_in_one_line(
    tiny_tokenizer: Any, label: str | int
) -> None:
    """SIQA's labels are 1 to 3: taken for positions they would name no choice, or the next one."""
    rows = {**ROWS, "label": [1, label]}
    with pytest.raises(DataError) as refused:
        CHOICE.encode(rows, TASK, tiny_tokenizer, 64)
    assert str(refused.value) == (
        f"toy: row 1 has the label {label!r}, no position of its 3 choices, 0 to 2; labels that "
        'count otherwise are named in their order, as labels: ["1", "2", "3"]'
    )
    named = replace(TASK, labels=("1", "2", "3"))
    encoded = CHOICE.encode({**ROWS, "label": ["1", "3"]}, named, tiny_tokenizer, 64)
    assert encoded.examples["label"].to_pylist() == [0, 2]


SHARED = Path(__file__).parents[3] / "shared"
INPUTS = SHARED / "conformance/xtreme_r_mock/extra/xcopa/inputs.json"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XCOPA, English COPA and SIQA as the importers leave them."""
    require("records", INPUTS.exists(), f"no segments at {INPUTS}")
    originals, root = (tmp_path_factory.mktemp(name) for name in ("originals", "mirror"))
    (originals / "xcopa").symlink_to(SHARED / "data/xcopa")
    for name in ("xcopa", "siqa"):
        (originals / "xtreme").mkdir(exist_ok=True)
        (originals / "xtreme" / name).symlink_to(SHARED / f"data/xtreme/{name}")
    import_folder(originals, root)
    return root


def rows_of(mirror: Path, task: str, use: str, language: str) -> dict[str, list[Any]]:
    entry = lookup(task)
    folders = {source.hub_id: mirror / source.hub_id for source in entry.sources_of(use)}
    return load_rows(folders, entry, use, language)


PLACES = {
    "xtreme/xcopa/train-en.jsonl": ("copa", "train", "en"),
    "xcopa/data/et/val.et.jsonl": ("xcopa", "validation", "et"),
    "xcopa/data/qu/test.qu.jsonl": ("xcopa", "test", "qu"),
    "xtreme/siqa/socialIQa_v1.4_dev.jsonl": ("siqa", "dev", "en"),
}
"""Where rows of original files are: task, use and language."""


def test_segments_and_labels_are_those_of_xtreme_r(mirror: Path, tiny_tokenizer: Any) -> None:
    expected = json.loads(INPUTS.read_text(encoding="utf-8"))
    by_source: dict[str, list[Any]] = {}
    for item in (*expected["copa_and_xcopa"], *expected["siqa"]):
        by_source.setdefault(item["source"], []).append(item)
    assert by_source.keys() == PLACES.keys()
    for source, items in by_source.items():
        task, use, language = PLACES[source]
        rows = rows_of(mirror, task, use, language)
        found = [*zip(rows["prompt"], rows["choices"], strict=True)]
        positions = [found.index((item["first"], item["second"])) for item in items]
        few = {name: [values[i] for i in positions] for name, values in rows.items()}
        encoded = CHOICE.encode(few, lookup(task), tiny_tokenizer, 512)
        assert encoded.examples["label"].to_pylist() == [item["label"] for item in items]
        for group, item in zip(encoded.features["input_ids"].to_pylist(), items, strict=True):
            assert group == [tiny_tokenizer(item["first"], x)["input_ids"] for x in item["second"]]


def test_xcopas_questions_stay_as_released_and_the_fixed_ones_are_englishs(mirror: Path) -> None:
    """Thai says "effect" 500 times, Turkish 301 times; in Vietnamese both agree."""
    effects = {}
    for task in ("xcopa", "xcopa_fixed"):
        for language in ("th", "tr", "vi"):
            rows = rows_of(mirror, task, "test", language)
            asked = [prompt.rpartition(" ")[2] for prompt in rows["prompt"]]
            effects[task, language] = asked.count("effect?")
            assert len(asked) == 500 and sum(map(int, rows["label"])) == 250
    assert [effects["xcopa", x] for x in ("th", "tr", "vi")] == [500, 301, 250]
    assert [effects["xcopa_fixed", x] for x in ("th", "tr", "vi")] == [250] * 3
