"""Classification: labels by name, in any order in the files; what is cut; metrics by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from xstilts import kinds
from xstilts.kinds.kind import Supervised
from xstilts.scores.chance import is_above, rate
from xstilts.tasks import Source, Task

PAIR, SENTENCE = kinds.get("pair"), kinds.get("sentence")
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


def test_a_sentence_is_read_alone(tiny_tokenizer: Any) -> None:
    task = Task("toy", "sentence", Source("toy/toy"), ("en",), {}, ("accuracy",), labels=("a", "b"))
    rows = {"text": ["tea " * 60, "Water boils."], "label": ["b", "a"]}
    encoded = SENTENCE.encode(rows, task, tiny_tokenizer, 24)
    ids = encoded.features["input_ids"].to_pylist()
    assert len(ids[0]) == 24 and ids[1] == tiny_tokenizer("Water boils.")["input_ids"]
    assert encoded.features["label"].to_pylist() == [1, 0]


GOLD = ["a", "b", "c", "a", "b", "a", "a"]
PREDICTED = ["a", "b", "a", "a", "c", "b", "a"]


@pytest.mark.parametrize(
    ("scored", "beside"),
    [(("f1_macro",), ("mcc",)), (("accuracy", "f1_macro"), ()), (("mcc",), ("accuracy",))],
)
def test_metrics_by_name(scored: tuple[str, ...], beside: tuple[str, ...]) -> None:
    labels = ("a", "b", "c", "d")  # of the last there is no row
    source = Source("toy/toy")
    task = Task("toy", "sentence", source, ("en",), {}, scored, labels=labels, beside=beside)
    examples = pa.table({"label": GOLD})
    scores = SENTENCE.score(PREDICTED, examples, task, "en")
    expected = {
        "accuracy": 100 * np.mean([g == p for g, p in zip(GOLD, PREDICTED, strict=True)]),
        "f1_macro": 100 * f1_score(GOLD, PREDICTED, average="macro"),
        "mcc": 100 * matthews_corrcoef(GOLD, PREDICTED),
    }
    named = {"accuracy", *scored, *beside}
    assert scores == pytest.approx({name: expected[name] for name in named})
    assert isinstance(SENTENCE, Supervised)
    outcomes = SENTENCE.outcomes(PREDICTED, examples, task, "en")
    assert outcomes.scores == pytest.approx({name: expected[name] for name in scored})
    summed = rate(outcomes.stacked.sum(0))
    # Beside noise macro F1 stands for MCC, which is no mean of columns.
    terms = [expected["f1_macro" if name == "mcc" else name] for name in scored]
    assert summed == pytest.approx(np.mean(terms))


@pytest.mark.parametrize("metric", ["f1_macro", "mcc", "f1"])
def test_what_is_above_a_constant_and_what_is_noise(metric: str) -> None:
    source = Source("toy/toy")
    task = Task("toy", "sentence", source, ("en",), {}, (metric,), labels=("a", "b"))
    random = np.random.default_rng(0)
    gold = random.choice(["a", "b"], 200, p=[0.3, 0.7]).tolist()
    good = [g if i % 5 else "a" for i, g in enumerate(gold)]
    examples = pa.table({"label": gold})
    assert isinstance(SENTENCE, Supervised)
    same = ["a" if metric == "f1" else "b"] * 200
    constant, verdicts = SENTENCE.outcomes(same, examples, task, "en").stacked, []
    for predictions in (good, same):
        counts = SENTENCE.outcomes(predictions, examples, task, "en").stacked
        verdicts.append(is_above(counts, constant, np.random.default_rng(1)))
    assert verdicts == [True, False]
