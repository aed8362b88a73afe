"""Dual encoders: the loss by hand, what are negatives, rankings of the rows' own candidates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from xstilts import kinds
from xstilts.kinds import neighbours
from xstilts.kinds.dual_encoder import DualEncoderHead
from xstilts.kinds.kind import Encoded, is_labelled
from xstilts.kinds.neighbours import Search
from xstilts.tasks import Source, Task

KIND: Any = kinds.get("dual_encoder")
TASK = Task("toy", "dual_encoder", Source("toy/toy"), ("en",), {}, ("map_20",))


def unit(rows: int, seed: int, columns: int = 6) -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)))
    return torch.nn.functional.normalize(vectors, dim=1).float()


def rows(count: int = 3) -> dict[str, list[Any]]:
    return {
        "id": [f"q{i}" for i in range(count)],
        "query": [f"who is number {i} of them all" for i in range(count)],
        "candidate": [f"it is number {i} in the long row of the others" for i in range(count)],
        "keys": [[f"c{i}"] for i in range(count)],
    }


def by_hand(vectors: torch.Tensor, compared: list[list[int]], scale: float) -> float:
    """The mean of -log of each row's share among the rows that it is compared with."""
    queries, candidates = vectors[0::2].double(), vectors[1::2].double()
    losses = []
    for i, others in enumerate(compared):
        scores = torch.stack([scale * (queries[i] @ candidates[j]) for j in others])
        losses.append(scores.logsumexp(0) - scale * (queries[i] @ candidates[i]))
    return float(torch.stack(losses).mean())


def test_the_loss_is_the_softmax_over_the_batch() -> None:
    head = DualEncoderHead(6)
    vectors, keys = unit(10, 1), torch.tensor([7, 8, 7, 9, 9])
    everyone = [list(range(5))] * 5
    assert head.contrast(vectors, keys).item() == pytest.approx(by_hand(vectors, everyone, 100))
    with torch.no_grad():
        head.scale.fill_(-40)
    assert head.contrast(vectors, keys).item() == pytest.approx(by_hand(vectors, everyone, 60))


def test_rows_with_one_answer_may_be_left_out_of_each_others_negatives() -> None:
    head = DualEncoderHead(6)
    head.shape("pooler", 0, False)
    vectors, keys = unit(10, 1), torch.tensor([7, 8, 7, 9, 9])
    compared = [[0, 1, 3, 4], [0, 1, 2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 2, 4]]
    expected = by_hand(vectors, compared, 100)
    assert head.contrast(vectors, keys).item() == pytest.approx(expected)


def test_so_many_negatives_make_groups_of_one_more() -> None:
    """As gradients of batches of that size would be accumulated; the last group has the rest."""
    head = DualEncoderHead(6)
    head.shape("pooler", 1, True)
    vectors, keys = unit(10, 1), torch.arange(5)
    compared = [[0, 1], [0, 1], [2, 3], [2, 3], [4]]
    expected = by_hand(vectors, compared, 100)
    assert head.contrast(vectors, keys).item() == pytest.approx(expected)
    parts = [head.contrast(vectors[i : i + 4], keys[:2]).item() for i in (0, 4)]
    assert 2 * sum(parts) / 5 == pytest.approx(expected)


@pytest.mark.parametrize("pooling", ["pooler", "mean", "first"])
def test_vectors_are_of_length_one_whatever_they_are_made_of(pooling: str) -> None:
    torch.manual_seed(0)
    head = DualEncoderHead(6)
    head.shape(pooling, 0, True)
    hidden, mask = torch.randn(2, 4, 6), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    vectors = head(hidden, mask)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-6)
    first = hidden[1, 0]
    if pooling == "pooler":
        assert head.pooler is not None
        first = torch.tanh(head.pooler.dense(first))
    elif pooling == "mean":
        first = hidden[1, :2].mean(0)
    torch.testing.assert_close(vectors[1], first / first.norm())
    assert head.reads_all == (pooling == "mean")
    assert (head.pooler is None) == (pooling != "pooler")


def test_queries_are_cut_before_candidates(tiny_tokenizer: Any) -> None:
    task = replace(TASK, query_tokens=8)
    for limits, own in (((8, 12), task), ((12, 12), TASK)):
        groups = KIND.encode(rows(), own, tiny_tokenizer, 12).features["input_ids"].to_pylist()
        assert {tuple(map(len, group)) for group in groups} == {limits}
    groups = KIND.encode(rows(), replace(TASK, query_tokens=99), tiny_tokenizer, 12).features
    assert {len(x) for group in groups["input_ids"].to_pylist() for x in group} == {12}


def test_what_is_ranked_has_one_text(tiny_tokenizer: Any) -> None:
    """Queries of a pool, and its candidates; a row that lacks what the others have is nowhere."""
    whole = rows()
    queries = {**whole, "candidate": ["", "", ""]}
    encoded = KIND.encode(queries, TASK, tiny_tokenizer, 12)
    assert [len(group) for group in encoded.features["input_ids"].to_pylist()] == [1, 1, 1]
    assert encoded.examples["gold"].to_pylist() == [[], [], []]
    assert encoded.examples["keys"].to_pylist() == whole["keys"]
    assert is_labelled(encoded.examples)
    blank = {**queries, "keys": [[], [], []]}
    assert not is_labelled(KIND.encode(blank, TASK, tiny_tokenizer, 12).examples)
    holes = {**whole, "candidate": ["a b", "", "c d"], "keys": [["x"], [], ["y"]]}
    encoded = KIND.encode(holes, TASK, tiny_tokenizer, 12)
    assert encoded.features["example"].to_pylist() == [0, 2]
    vectors = np.eye(4, dtype="f4")[[[0, 1], [2, 2]]]
    assert KIND.decode(list(vectors), encoded, TASK) == [["x", "y"], [], ["y", "x"]]


def test_many_texts_are_encoded_a_part_at_a_time(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = KIND.encode(rows(5), TASK, tiny_tokenizer, 12)
    monkeypatch.setattr("xstilts.kinds.dual_encoder.ENCODED_AT_ONCE", 2)
    parts = KIND.encode(rows(5), TASK, tiny_tokenizer, 12)
    assert parts.features.combine_chunks().equals(whole.features.combine_chunks())


def test_a_candidate_of_several_rows_is_one(tiny_tokenizer: Any) -> None:
    """It stands once in a ranking, and is right for each of its queries."""
    same = {**rows(), "keys": [["x"], ["y"], ["x"]]}
    encoded = KIND.encode(same, TASK, tiny_tokenizer, 12)
    vectors = np.eye(3, dtype="f4")[[[0, 0], [1, 1], [0, 0]]]
    rankings = KIND.decode(list(vectors), encoded, TASK)
    assert rankings == [["x", "y"], ["y", "x"], ["x", "y"]]
    assert KIND.score(rankings, encoded.examples, TASK, "en") == {"map_20": 100.0}


def test_a_constant_names_what_is_right_most_often() -> None:
    strings = pa.list_(pa.string())
    gold = pa.array([["x"], ["y"], ["y"], ["z"]], strings)
    examples = pa.table({"id": ["a", "b", "c", "d"], "gold": gold})
    constant = KIND.constant(examples, TASK)
    assert constant == [["y", "x", "z"]] * 4 and KIND.is_constant(constant, TASK)
    score = KIND.score(constant, examples, TASK, "en")
    assert score["map_20"] == pytest.approx(100 * (1 / 2 + 1 + 1 + 1 / 3) / 4)


@pytest.mark.parametrize("part", [1, 4, 13, 1000])
def test_a_search_finds_what_the_whole_product_says(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts and blocks of any size; of equal products the first counts."""
    for name, value in (("BLOCK_ROWS", 3), ("BLOCK_COLUMNS", 5), ("SCANNED_ROWS", 2)):
        monkeypatch.setattr(neighbours, name, value)
    monkeypatch.setattr(neighbours, "CANDIDATES", 4)
    monkeypatch.setattr(neighbours, "GROUPS", 4)
    queries, candidates = unit(11, 1), unit(40, 2)
    candidates[20] = candidates[3]
    search = Search(queries, 4)
    for start in range(0, 40, part):
        search.add(candidates[start : start + part])
    products, places = search.neighbours()
    whole = (queries @ candidates.T).numpy()
    expected = np.argsort(-whole, axis=1, kind="stable")[:, :4]
    assert places.tolist() == expected.tolist()
    np.testing.assert_allclose(products, np.take_along_axis(whole, expected, 1), rtol=1e-6)


def test_a_search_among_few_gives_them_all() -> None:
    search = Search(unit(2, 1), 20)
    search.add(unit(3, 2))
    products, places = search.neighbours()
    assert products.shape == (2, 3) and [sorted(own) for own in places.tolist()] == [[0, 1, 2]] * 2


def test_the_rows_of_a_dev_set_are_ranked_without_a_pool() -> None:
    """Features hold pairs, the candidates of rows with one key are one."""
    strings = pa.list_(pa.string())
    names = pa.array([["x"], ["y"]], strings)
    examples = pa.table({"id": ["a", "b"], "keys": names, "gold": names})
    encoded = Encoded(pa.table({"example": [0, 1]}), examples)
    vectors = np.eye(3, dtype="f4")[[[0, 1], [1, 0]]]
    assert KIND.decode(list(vectors), encoded, TASK) == [["y", "x"], ["x", "y"]]
