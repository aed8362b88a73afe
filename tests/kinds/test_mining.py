"""Mining: margins by hand, blocks that change nothing, thresholds fitted on other gold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.kinds import mining
from xstilts.kinds.mining import best_threshold, mine, nearest
from xstilts.tasks import Source, Task

MINING: Any = kinds.get("mining")
TASK = Task("toy", "mining", Source("toy/toy"), ("de",), {}, ("f1",))


def unit(rows: int, seed: int, columns: int = 6) -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)))
    return torch.nn.functional.normalize(vectors, dim=1).float()


def reference(sources: np.ndarray, targets: np.ndarray) -> list[tuple[int, int, float]]:
    """The rules written out over the whole matrix of cosines."""
    cosines = sources @ targets.T
    forward = np.sort(cosines, 1)[:, -4:].mean(1)
    backward = np.sort(cosines, 0)[-4:].mean(0)
    margins = cosines / ((forward[:, None] + backward[None]) / 2)
    allowed = np.full_like(margins, -np.inf)
    for i in range(len(sources)):
        near = np.argsort(-cosines[i])[:4]
        best = near[margins[i, near].argmax()]
        allowed[i, best] = margins[i, best]
    for j in range(len(targets)):
        near = np.argsort(-cosines[:, j])[:4]
        best = near[margins[near, j].argmax()]
        allowed[best, j] = margins[best, j]
    pairs = []
    while (value := allowed.max()) > 0:
        i, j = np.unravel_index(allowed.argmax(), allowed.shape)
        pairs.append((int(i), int(j), float(value)))
        allowed[i], allowed[:, j] = -np.inf, -np.inf
    return pairs


@pytest.mark.parametrize(("rows", "columns"), [(30, 30), (12, 40), (40, 12)])
def test_pairs_are_those_of_the_rules_written_out(rows: int, columns: int) -> None:
    sources, targets = unit(rows, 1), unit(columns, 2)
    expected = reference(sources.numpy(), targets.numpy())
    found = mine(sources, targets)
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected], rel=1e-5)
    assert len({a for a, _, _ in found}) == len({b for _, b, _ in found}) == len(found)


def test_translations_among_others_are_found() -> None:
    sources, noise = unit(50, 1, 64), unit(50, 2, 64)
    targets = torch.nn.functional.normalize(sources + 0.3 * noise, dim=1)[torch.randperm(50)]
    best = (sources @ targets.T).argmax(1).tolist()
    assert {(a, b) for a, b, _ in mine(sources, targets)} == set(enumerate(best))


@pytest.mark.parametrize("block_bytes", [64, 4096])
def test_blocks_change_nothing(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, index = unit(37, 1), unit(23, 2)
    whole = nearest(queries, index, 4)
    monkeypatch.setattr(mining, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(mining, "BLOCK_COLUMNS", 5)
    parts = nearest(queries, index, 4)
    assert np.allclose(whole[0], parts[0]) and (whole[1] == parts[1]).all()


def test_the_threshold_lies_where_f1_is_best() -> None:
    gold = {("a", "A"), ("b", "B"), ("c", "C")}
    candidates = [["a", "A", 2.0], ["x", "X", 1.2], ["b", "B", 1.6], ["c", "Y", 1.0]]
    # The best is to take two of them: F1 is 4/5, with the third 4/6.
    assert best_threshold(candidates, gold) == pytest.approx(1.4)
    assert best_threshold(candidates[:1], gold) == 2.0
    assert best_threshold(candidates, {("q", "Q")}) == 0.0


def encode(tokenizer: Any, repeated: bool = False) -> Any:
    sentences = ["Der Hund schläft .", "Sie trinkt Tee .", "Wasser kocht ."]
    english = ["She drinks tea .", "The dog sleeps .", "It rains ."]
    if repeated:
        sentences[2] = sentences[0] + " "
    rows = {
        "id": ["de-1", "de-2", "de-3"],
        "sentence": sentences,
        "en.id": ["en-1", "en-2", "en-3"],
        "en.sentence": english,
        "gold.source_id": ["de-1", "de-2"],
        "gold.target_id": ["en-2", "en-1"],
    }
    return MINING.encode(rows, TASK, tokenizer, 32)


def outputs(*vectors: tuple[float, ...]) -> list[np.ndarray]:
    return [np.array(vector, dtype="f4") for vector in vectors]


def test_a_repeated_sentence_is_mined_and_its_pairs_dropped(tiny_tokenizer: Any) -> None:
    encoded = encode(tiny_tokenizer, repeated=True)
    assert encoded.examples["id"].to_pylist() == ["", "de-2", "en-1", "en-2", "en-3"]
    found = MINING.decode(
        outputs((1, 0, 0), (0, 1, 0), (0, 1, 0.1), (1, 0.1, 0), (0, 0, 1)), encoded, TASK
    )
    assert [pair[:2] for pair in found] == [["de-2", "en-1"]]
    # Its gold pair stays, to be missed.
    scores = MINING.score(found, encoded.examples, TASK, "de")
    assert scores == pytest.approx({"f1": 200 / 3, "precision": 100, "recall": 50})


def test_the_threshold_comes_from_other_labels(tiny_tokenizer: Any) -> None:
    encoded = encode(tiny_tokenizer)
    candidates = [["de-1", "en-2", 1.5], ["de-2", "en-1", 1.3], ["de-3", "en-3", 1.1]]
    fitted = ([["de-1", "en-2", 1.4], ["de-2", "en-3", 1.2]], encoded.examples)
    assert MINING.calibrate(candidates, encoded.examples, fitted) == [
        ["de-1", "en-2"],
        ["de-2", "en-1"],
    ]


def test_without_other_labels_each_half_is_cut_by_the_other() -> None:
    names = [f"de-{i}" for i in range(40)]
    candidates = [[name, name.upper(), 2 - i / 40] for i, name in enumerate(names)]
    pairs = [[[name, name.upper()]] if i < 20 else [] for i, name in enumerate(names)]
    examples = encode_gold(pairs)
    kept = MINING.calibrate(candidates, examples, None)
    assert abs(len(kept) - 20) <= 4, "both halves find the place where gold ends"
    # Gold of one half alone says nothing about its own cut.
    ones = [pair if mining._half(pair[0][0]) == 0 else [] for pair in pairs if pair]
    kept = MINING.calibrate(candidates, encode_gold(ones), None)
    own = {name for name, _ in kept if mining._half(name) == 0}
    assert own == {name for name in names if mining._half(name) == 0}, "threshold 0 takes all"


def encode_gold(pairs: list[list[list[str]]]) -> Any:
    import pyarrow as pa

    return pa.table({"gold": pa.array(pairs, pa.list_(pa.list_(pa.string())))})
