"""What every kind keeps: rows become bounded sequences, and sequences the rows' predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from xstilts import kinds
from xstilts.kinds.kind import (
    Batch,
    Encoded,
    Itemised,
    Kind,
    Layered,
    Probed,
    Supervised,
    Vocabulary,
)
from xstilts.scores.chance import rate
from xstilts.scores.table import task_score
from xstilts.tasks import Source, Task
from xstilts.tasks.kinds import KINDS
from xstilts.training import predict as prediction
from xstilts.training.heads import build_heads
from xstilts.training.micro_batches import MicroBatcher, one_micro_batch
from xstilts.training.model import (
    Model,
    load_encoder,
    load_encoder_with_lm_head,
    load_tokenizer,
    settings,
)
from xstilts.training.packed import self_attention

Texts = Mapping[str, Sequence[str]]

MAX_LENGTH = 96
LABELS = {
    "sentence": ("yes", "no", "maybe"),
    "pair": ("yes", "no", "maybe"),
    "tagging": ("O", "B-PER", "I-PER", "B-LOC"),
    "multilabel": ("joy", "fear", "anger"),
}
METRICS = {
    "multilabel": ("f1_micro", "subset_accuracy"),
    "tagging": ("f1",),
    "span": ("exact_match", "f1"),
    "mlm": (),
    "mining": ("f1",),
    "dual_encoder": ("map_20",),
}
UNTRAINED = tuple(name for name, spec in KINDS.items() if not spec.is_trained)
WORDS = (
    ["My", "brother", "bought", "three", "red", "apples", "."],
    ["ولدت", "في", "برلين", "عام", "1968", "."],
    ["แมว", "นอน", "อยู่", "บน", "เก้าอี้", "เก่า"],
    ["猫", "睡", "在", "旧", "椅子", "上", "。"],
    ["ကြောင်က", "ကုလားထိုင်အဟောင်းပေါ်မှာ", "အိပ်နေတယ်", "။"],
)


def rows_of(name: str, texts: Texts) -> dict[str, list[Any]]:
    """Rows of a kind in all scripts; no label of a kind is as frequent as all others."""
    lines = [line for code in texts for line in texts[code]]
    english = [line for _ in texts for line in texts["en"]]
    count = len(lines)
    if name in ("sentence", "pair"):
        labels = [LABELS[name][i % 5 % 3] for i in range(count)]
        if name == "sentence":
            return {"text": lines, "label": labels}
        return {"premise": lines, "hypothesis": english, "label": labels}
    if name == "multilabel":
        given = [
            [x for j, x in enumerate(LABELS[name]) if (i + 2 * j) % 5 < 2] for i in range(count)
        ]
        return {"text": lines, "label": given}
    if name == "choice":
        choices = [[lines[(i + j) % count] for j in range(3)] for i in range(count)]
        return {"prompt": english, "choices": choices, "label": [i % 3 for i in range(count)]}
    if name == "tagging":
        tags = [
            [LABELS["tagging"][(i + j) % 4] for j in range(len(w))] for i, w in enumerate(WORDS)
        ]
        return {"tokens": [list(words) for words in WORDS], "tags": tags}
    if name == "span":
        contexts = [" ".join(texts[code]) for code in texts]
        starts = [
            context.index(lines[3]) for context, lines in zip(contexts, texts.values(), strict=True)
        ]
        answers = [
            {"text": [context[start:].split()[0]], "answer_start": [start]}
            for context, start in zip(contexts, starts, strict=True)
        ]
        questions = [texts["en"][5]] * len(contexts)
        ids = [f"q-{code}" for code in texts]
        return {"id": ids, "context": contexts, "question": questions, "answers": answers}
    if name == "retrieval":
        return {"source_sentence": lines, "target_sentence": english}
    if name == "mining":
        numbers = range(len(texts["de"]))
        pools = {"id": [f"de-{i}" for i in numbers], "en.id": [f"en-{i}" for i in numbers]}
        gold = {"gold.source_id": pools["id"], "gold.target_id": pools["en.id"]}
        return {**pools, "sentence": list(texts["de"]), "en.sentence": list(texts["en"]), **gold}
    if name == "dual_encoder":
        ids = [f"q{i}" for i in range(count)]
        return {"id": ids, "query": english, "candidate": lines, "keys": [[x] for x in lines]}
    return {"text": lines}


def gold_of(name: str, encoded: Encoded) -> list[Any]:
    """The gold predictions, read off the examples."""
    if name == "retrieval":
        return list(encoded.examples["gold"].to_pylist())
    if name == "mining":
        return [pair for pairs in encoded.examples["gold"].to_pylist() for pair in pairs]
    if name == "span":
        return [texts[0] for texts in encoded.examples["answers"].to_pylist()]
    columns = {"tagging": "tags", "multilabel": "labels", "dual_encoder": "gold"}
    return encoded.examples[columns.get(name, "label")].to_pylist()


def perfect_outputs(name: str, encoded: Encoded) -> list[Any]:
    """What a perfect model would hand to `decode`, read off the features."""
    if name == "retrieval":
        gold = encoded.examples["gold"].to_pylist()
        return list(np.eye(len(gold), dtype="f4")[[*range(len(gold)), *gold]])
    if name == "mining":
        half = encoded.examples.num_rows // 2
        return list(np.eye(half, dtype="f4")[[*range(half), *range(half)]])
    if name == "dual_encoder":
        names = [own[0] for own in encoded.examples["gold"].to_pylist()]
        places = [names.index(own) for own in names]
        return list(np.eye(len(names), dtype="f4")[np.stack([places, places], 1)])
    if name != "span":
        several = name in ("tagging", "multilabel")
        return encoded.features["labels" if several else "label"].to_pylist()
    outputs = []
    for feature in encoded.features.to_pylist():
        scores = np.zeros((len(feature["input_ids"]), 2))
        scores[feature["start"], 0] = scores[feature["end"], 1] = 9.0
        outputs.append(scores)
    return outputs


@dataclass(frozen=True)
class Case:
    """A kind with rows that a tiny model reads."""

    name: str
    kind: Kind
    task: Task
    encoded: Encoded
    vocabulary: Vocabulary
    model: Model
    tokenizer: Any
    rows: dict[str, list[Any]]

    @property
    def head(self) -> Any:
        return dict(self.model.heads.items()).get(self.task.name)

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor([self.model], self.vocabulary)

    def collate(self, positions: Sequence[int], random: np.random.Generator) -> Batch:
        columns = self.encoded.features.take(list(positions)).to_pydict()
        return self.kind.collate(columns, self.vocabulary, random)

    def outputs(self, batch: Batch) -> list[Any]:
        with torch.inference_mode():
            hidden = self.model.hidden(one_micro_batch(self.model.encoder, batch.inputs))
            return self.kind.outputs(self.head, hidden, batch)


@cache
def tokenizer_of(folder: Path) -> Any:
    return load_tokenizer(folder)


@cache
def build_case(
    name: str, folder: Path, frozen_texts: tuple[tuple[str, tuple[str, ...]], ...]
) -> Case:
    task = Task(
        name=f"toy_{name}",
        kind=name,
        source=Source("toy/toy"),
        languages=("en",),
        splits={},
        metrics=METRICS.get(name, ("accuracy",)),
        labels=LABELS.get(name, ()),
    )
    kind, tokenizer = kinds.get(name), tokenizer_of(folder)
    heads: dict[str, torch.nn.Module] = {}
    if name == "mlm":
        encoder, heads[task.name] = load_encoder_with_lm_head(folder)
    else:
        encoder = load_encoder(folder)
    if name not in ("mlm", *UNTRAINED):
        # Weights larger than usual, so that untrained predictions differ between rows.
        size, _, _ = settings(encoder)
        heads = build_heads({task.name: task}, size, 0.0, 1.0, 0, "target")
    rows = rows_of(name, dict(frozen_texts))
    encoded = kind.encode(rows, task, tokenizer, MAX_LENGTH)
    model = Model(encoder, heads).eval()
    if name in ("sentence", "pair", "multilabel"):
        centre(model, kind, task, encoded, Vocabulary.of(tokenizer))
    return Case(name, kind, task, encoded, Vocabulary.of(tokenizer), model, tokenizer, rows)


def centre(model: Model, kind: Kind, task: Task, encoded: Encoded, vocabulary: Vocabulary) -> None:
    """Shift a head's scores so that an untrained model does not say one label to all rows."""
    head: Any = model.heads[task.name]
    columns = encoded.features.to_pydict()
    batch = kind.collate(columns, vocabulary, np.random.default_rng(0))
    with torch.no_grad():
        head.output.bias -= head(model.hidden(one_micro_batch(model.encoder, batch.inputs))).mean(0)


@pytest.fixture(params=sorted(KINDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["tiny_model", "tiny_bert"])
def case(request: pytest.FixtureRequest, name: str, texts: dict[str, tuple[str, ...]]) -> Case:
    return build_case(name, request.getfixturevalue(request.param), tuple(texts.items()))


def sequences(ids: list[Any]) -> list[list[int]]:
    """A feature's sequences: one, or one a choice."""
    return ids if isinstance(ids[0], list) else [ids]


@pytest.mark.parametrize("max_length", [40, MAX_LENGTH])
def test_sequences_are_bounded_and_belong_to_examples(case: Case, max_length: int) -> None:
    encoded = case.kind.encode(case.rows, case.task, case.tokenizer, max_length)
    lengths = [
        len(ids) for group in encoded.features["input_ids"].to_pylist() for ids in sequences(group)
    ]
    assert 0 < max(lengths) <= max_length
    pools = ("id", "en.id") if case.name == "mining" else (next(iter(case.rows)),)
    count = sum(len(case.rows[name]) for name in pools)
    assert encoded.examples.num_rows == count
    assert set(encoded.features["example"].to_pylist()) == set(range(count))


def test_encoding_is_a_function_of_the_rows(case: Case) -> None:
    again = case.kind.encode(case.rows, case.task, case.tokenizer, MAX_LENGTH)
    assert again.features.equals(case.encoded.features)
    assert again.examples.equals(case.encoded.examples)


def test_token_types_come_along_where_the_model_has_them(case: Case) -> None:
    if "token_type_ids" not in case.tokenizer.model_input_names:
        assert "token_type_ids" not in case.encoded.features.column_names
    elif case.name in ("pair", "choice", "span"):
        batch = case.collate([0, 1], np.random.default_rng(0))
        assert batch.inputs["token_type_ids"].shape == batch.inputs["input_ids"].shape
        assert set(batch.inputs["token_type_ids"].unique().tolist()) == {0, 1}


def test_equal_generators_give_equal_batches(case: Case) -> None:
    first, second = (case.collate(range(4), np.random.default_rng(7)) for _ in range(2))
    for tensors, others in ((first.inputs, second.inputs), (first.targets, second.targets)):
        assert tensors.keys() == others.keys()
        assert all(tensors[key].equal(others[key]) for key in tensors)


def test_loss_teaches_encoder_and_head(case: Case) -> None:
    if case.name in UNTRAINED:
        with pytest.raises(TypeError):
            case.kind.build_head(32, case.task, 0.0)
        return
    batch = case.collate(range(4), np.random.default_rng(0))
    hidden = (
        case.model.hidden(one_micro_batch(case.model.encoder, batch.inputs))
        .detach()
        .requires_grad_()
    )
    loss = case.kind.loss(case.head, hidden, batch)
    matrices = [parameter for parameter in case.head.parameters() if parameter.ndim > 1]
    gradients = torch.autograd.grad(loss, [hidden, *matrices])
    assert loss.ndim == 0 and loss.item() > 0
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


def test_a_kind_reads_the_positions_that_it_names(case: Case) -> None:
    """No others, and all of them; a model computes no others."""
    batch = case.collate(range(4), np.random.default_rng(0))
    real = batch.inputs["attention_mask"].bool()
    read = real if batch.read is None else batch.read
    assert read.shape == real.shape and not (read & ~real).any()
    hidden = torch.randn(*read.shape, 32, generator=torch.Generator().manual_seed(0))
    other = torch.where(read[..., None], hidden, 1e3 * torch.rand_like(hidden))
    with torch.no_grad():
        first, second = (case.kind.outputs(case.head, states, batch) for states in (hidden, other))
    for one, same in zip(first, second, strict=True):
        assert np.array_equal(one, same)
    if case.name in UNTRAINED:
        return
    loss = case.kind.loss(case.head, hidden.requires_grad_(), batch)
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert gradient.any(-1).equal(read)
    work = MicroBatcher.of(case.model.encoder, torch.device("cpu")).whole(batch)
    with torch.no_grad():
        whole = case.model.hidden(one_micro_batch(case.model.encoder, batch.inputs))
        expected = case.kind.outputs(case.head, whole, batch)
        got = case.kind.outputs(case.head, case.model.hidden(work), batch)
    for one, same in zip(got, expected, strict=True):
        assert np.allclose(one, same, atol=1e-5)


def test_a_pass_looks_at_no_value(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and back over tensors that have shapes and no values: nothing waits for a device."""
    if case.name in UNTRAINED:
        return
    # The attention that GPUs take.
    monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
    fused, calls = self_attention.attend_fused, []

    def attend(*arguments: Any) -> torch.Tensor:
        calls.append(arguments)
        return fused(*arguments)

    monkeypatch.setattr(self_attention, "attend_fused", attend)
    batch = case.collate(range(4), np.random.default_rng(0))
    units = case.kind.num_units(batch)
    work = MicroBatcher.of(case.model.encoder, torch.device("cpu")).whole(batch)
    assert work.layout is not None and (work.layout.read is None) == (case.name == "span")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def emptied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: mode.from_tensor(tensor) for name, tensor in tensors.items()}

        packed = replace(
            work, inputs=emptied(work.inputs), layout=work.layout.map(mode.from_tensor)
        )
        # On a GPU kinds have of the inputs the mask alone.
        mask = emptied({"attention_mask": batch.inputs["attention_mask"]})
        empty = Batch(mask, emptied(batch.targets), batch.by_token, units)
        loss = case.kind.loss(case.head, case.model.hidden(packed), empty)
        assert calls
        # A pooler is not reached.
        weights = [p for p in case.model.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        reached = sum(gradient is not None for gradient in gradients)
        assert reached > len(list(case.head.parameters()))
        with pytest.raises(DataDependentOutputException):
            loss.item()


def test_padding_changes_nothing(case: Case) -> None:
    """A sequence alone, and beside longer ones."""
    count = min(12, case.encoded.features.num_rows)
    together, alone = np.random.default_rng(3), np.random.default_rng(3)
    batch = case.collate(range(count), together)
    singles = [case.collate([i], alone) for i in range(count)]
    per_row = len(batch.inputs["input_ids"]) // count
    assert not batch.inputs["attention_mask"].all(), "the batch needs padding to be a test"
    with torch.inference_mode():
        hidden = case.model.hidden(one_micro_batch(case.model.encoder, batch.inputs))
        for i, single in enumerate(singles):
            rows = slice(i * per_row, (i + 1) * per_row)
            real = single.inputs["attention_mask"].bool()
            width = real.shape[1]
            expected = case.model.hidden(one_micro_batch(case.model.encoder, single.inputs))
            assert torch.allclose(hidden[rows, :width][real], expected[real], atol=1e-5)
            assert not batch.inputs["attention_mask"][rows, width:].any()
    padded = case.outputs(batch)
    unpadded = [output for single in singles for output in case.outputs(single)]
    assert len(padded) == len(unpadded) == count
    if case.name == "mlm":  # sums over the batch
        assert np.allclose(np.sum(padded, axis=0), np.sum(unpadded, axis=0), atol=1e-4)
    else:
        for one, other in zip(padded, unpadded, strict=True):
            assert np.allclose(one, other, atol=1e-5)


def test_predictions_are_the_examples_in_their_order(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`predict` sorts by length, in batches of any size; nobody can tell from what it returns."""
    random = np.random.default_rng(0)
    count = case.encoded.features.num_rows
    if case.name == "mining":  # its predictions are pairs of examples
        return
    if case.name == "mlm":
        predictions, _ = case.predictor.predict(case.encoded, case.task)
        assert len(predictions) == case.encoded.examples.num_rows
        return
    plain = [output for i in range(count) for output in case.outputs(case.collate([i], random))]
    expected = case.kind.decode(plain, case.encoded, case.task)
    assert len(expected) == case.encoded.examples.num_rows
    for max_tokens in (1, 200, 10**6):
        monkeypatch.setattr(prediction, "MAX_TOKENS", {"cpu": max_tokens})
        got, _ = case.predictor.predict(case.encoded, case.task)
        assert got == expected
    assert json.loads(json.dumps(got)) == got
    distinct = {json.dumps(item) for item in expected}
    assert len(distinct) > 1, "equal predictions would hide a wrong order"


@pytest.mark.parametrize("chosen", [[0, 2, 4], [4, 0, 2]], ids=["ascending", "any order"])
def test_some_examples_get_their_own_predictions(case: Case, chosen: list[int]) -> None:
    selected = prediction.select(case.encoded, chosen)
    assert selected.examples.equals(case.encoded.examples.take(chosen))
    # What they predict depends on the other examples.
    if case.name in ("mlm", "dual_encoder", *UNTRAINED):
        assert set(selected.features["example"].to_pylist()) == {0, 1, 2}
        return
    predictions, _ = case.predictor.predict(case.encoded, case.task)
    some, encoded = case.predictor.predict(case.encoded, case.task, chosen)
    assert some == [predictions[i] for i in chosen]
    assert encoded.examples.equals(selected.examples)


def test_retrieval_of_some_examples(texts: dict[str, tuple[str, ...]], tiny_model: Path) -> None:
    case = build_case("retrieval", tiny_model, tuple(texts.items()))
    encoded = prediction.select(case.encoded, [4, 1, 5])
    ids = case.encoded.features["input_ids"].to_pylist()
    count = case.encoded.examples.num_rows
    expected = [ids[i] for i in (4, 1, 5, count + 4, count + 1, count + 5)]
    assert encoded.features["input_ids"].to_pylist() == expected


def test_gold_scores_100_and_a_constant_less(case: Case) -> None:
    if case.name == "mlm":
        losses = [[0.0, 3.0], [6.0, 1.0]]
        assert case.kind.score(losses, case.encoded.examples, case.task, "en") == {"loss": 1.5}
        return
    examples = case.encoded.examples
    scores = case.kind.score(gold_of(case.name, case.encoded), examples, case.task, "en")
    assert set(case.task.metrics) <= set(scores)
    assert all(value == pytest.approx(100) for value in scores.values())
    constant = case.kind.constant(examples, case.task)
    assert len(constant) == (0 if case.name == "mining" else examples.num_rows)
    scores = case.kind.score(constant, examples, case.task, "en")
    assert all(0 <= value < 90 for value in scores.values())


def test_perfect_outputs_decode_to_the_gold(case: Case) -> None:
    if case.name == "mlm":
        return
    outputs = perfect_outputs(case.name, case.encoded)
    predictions = case.kind.decode(outputs, case.encoded, case.task)
    if case.name == "mining":  # with their margins
        predictions = [pair[:2] for pair in predictions]
    elif case.name == "dual_encoder":  # the nearest of twenty
        predictions = [ranking[:1] for ranking in predictions]
    assert predictions == gold_of(case.name, case.encoded)


def test_every_declared_kind_exists_and_is_what_it_is_declared_to_be(name: str) -> None:
    kind, spec = kinds.get(name), KINDS[name]
    assert set(spec.texts) <= set(spec.columns) and spec.label in ("", *spec.columns)
    assert set(spec.score) <= set(spec.metrics)
    assert isinstance(kind, Supervised) == (spec.is_trained and not spec.is_self_supervised)
    assert spec.pools_a_layer or not isinstance(kind, Layered)
    assert isinstance(kind, Probed) or not spec.is_probed
    methods = ("encode", "collate", "build_head", "loss", "outputs", "decode", "score", "constant")
    assert all(callable(getattr(kind, method)) for method in methods)


def test_a_probe_reads_a_vector_of_every_state_for_every_class(case: Case) -> None:
    if not case.task.kind_spec.is_probed:
        pytest.skip("no classes")
    assert isinstance(case.kind, Probed)
    features = case.encoded.features
    classes = case.kind.classes(features)
    found = case.predictor.vectors(features, case.task)
    states = case.model.encoder.config.num_hidden_layers + 1
    assert np.concatenate(found).shape == (len(classes), states, settings(case.model.encoder)[0])
    ids = features["input_ids"].to_pylist()
    if case.name == "tagging":
        assert classes.tolist() == [x for row in features["labels"].to_pylist() for x in row]
        # A word is the first of its sub-tokens, in every state: here by one pass alone.
        batch = case.collate([0], np.random.default_rng(0))
        with torch.inference_mode():
            states_of = case.model.states(one_micro_batch(case.model.encoder, batch.inputs))
        at = features["positions"][0].as_py()
        expected = np.stack([state[0, at].numpy() for state in states_of], 1)
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    else:
        assert [len(one) for one in found] == [len(sequences(one)) for one in ids]
        labels = features["label"].to_pylist()
        if case.name == "choice":
            right = [
                [i == label for i in range(len(row))]
                for row, label in zip(ids, labels, strict=True)
            ]
            assert classes.tolist() == [int(x) for row in right for x in row]
        else:
            assert classes.tolist() == labels


def test_scores_come_from_what_the_items_gave(case: Case) -> None:
    """To the last digits, by every metric of the task; and the score that selects, stacked."""
    if case.name == "mlm":  # never scored on a benchmark
        assert not isinstance(case.kind, Itemised)
        return
    assert isinstance(case.kind, Itemised)
    examples, task = case.encoded.examples, case.task
    gold = gold_of(case.name, case.encoded)
    wrong = [*gold[:3], *gold[3:][::-1]]
    if case.name == "mining":  # the order of pairs says nothing: two are no pair, two are missed
        wrong = [*gold[:2], [gold[2][0], gold[3][1]]]
    for predictions in (gold, case.kind.constant(examples, task), wrong):
        if case.name == "tagging" and any(map(len_differs, gold, predictions)):
            continue
        outcomes = case.kind.outcomes(predictions, examples, task, "en")
        scores = case.kind.score(predictions, examples, task, "en")
        assert outcomes.scores == pytest.approx({name: scores[name] for name in task.metrics})
        assert set(outcomes.counts) == set(task.metrics)
        if case.name != "mining":  # whose items are blocks
            assert outcomes.rows.tolist() == list(range(examples.num_rows))
        stacked = outcomes.stacked
        assert stacked.shape == (len(outcomes.rows), len(task.metrics), 3)
        assert rate(stacked.sum(0)) == pytest.approx(task_score(task.metrics, scores))


def test_an_item_is_the_row_that_it_is_named_after(case: Case) -> None:
    """One wrong prediction is found at its row."""
    if case.name in ("mlm", "mining"):
        return
    examples, gold = case.encoded.examples, gold_of(case.name, case.encoded)
    constant = case.kind.constant(examples, case.task)
    if case.name == "dual_encoder":  # a ranking has others behind the first
        constant = [ranking[:1] for ranking in constant]
    place = next(
        i for i, (one, other) in enumerate(zip(gold, constant, strict=True)) if one != other
    )
    wrong = [*gold[:place], constant[place], *gold[place + 1 :]]
    assert isinstance(case.kind, Itemised)
    outcomes = case.kind.outcomes(wrong, examples, case.task, "en")
    counts = outcomes.counts[case.task.metrics[0]]
    missed = np.flatnonzero(counts[:, 0, 0] < counts[:, 0, 2]).tolist()
    if case.name == "retrieval":  # predictions are of the sorted English sentences
        place = examples["gold"].to_pylist()[place]
    assert missed == [place]


def len_differs(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) != len(other)


def test_what_says_one_thing_is_constant(case: Case) -> None:
    if case.name in (*UNTRAINED, "mlm"):
        return
    assert isinstance(case.kind, Supervised)
    gold = gold_of(case.name, case.encoded)
    assert not case.kind.is_constant(gold, case.task)
    constant = case.kind.constant(case.encoded.examples, case.task)
    if case.name == "span":  # the whole context is no empty answer
        constant = ["the", *[""] * (len(gold) - 1)]
    assert case.kind.is_constant(constant, case.task)


def test_a_head_that_reads_nothing_falls_to_the_labels_entropy(case: Case) -> None:
    """The cross-entropy of the labels' own frequencies, computed by the kind's loss."""
    if case.name in (*UNTRAINED, "mlm", "span"):  # a span's positions are no outputs of a head
        return
    assert isinstance(case.kind, Supervised)
    if case.name == "dual_encoder":  # predicts no label
        assert case.kind.label_entropy([case.encoded]) == 0
        return
    if case.name == "multilabel":
        given = torch.tensor(case.encoded.features["labels"].to_pylist(), dtype=torch.float64)
        logits = torch.logit(given.mean(0)).expand(given.shape)
        least = torch.nn.functional.binary_cross_entropy_with_logits(logits, given)
        assert case.kind.label_entropy([case.encoded]) == pytest.approx(float(least), abs=1e-9)
        return
    column = "labels" if case.name == "tagging" else "label"
    labels = case.encoded.features[column].to_pylist()
    flat = [x for each in labels for x in (each if isinstance(each, list) else [each])]
    known = torch.tensor([label for label in flat if label >= 0])
    shares = torch.bincount(known) / len(known)
    expected = torch.nn.functional.cross_entropy(shares.log().expand(len(known), -1), known)
    assert case.kind.label_entropy([case.encoded]) == pytest.approx(float(expected), abs=1e-5)
