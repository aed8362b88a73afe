"""Mining: margins by hand, blocks that change nothing, thresholds fitted on other gold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.kinds import mining, neighbours
from xstilts.kinds.mining import best_threshold, mine
from xstilts.kinds.neighbours import nearest
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


def small_blocks(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, groups: int, candidates: int
) -> None:
    for name, value in (
        ("BLOCK_ROWS", rows),
        ("BLOCK_COLUMNS", columns),
        ("GROUPS", groups),
        ("CANDIDATES", candidates),
        ("SCANNED_ROWS", 5),
    ):
        monkeypatch.setattr(neighbours, name, value)


def ranked(queries: np.ndarray, index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of every query by a full sort; the lowest position first among equals."""
    products = queries @ index.T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, order, 1), order


@pytest.mark.parametrize("rows", [1, 7, 16, 64])
@pytest.mark.parametrize("columns", [3, 16, 64])
@pytest.mark.parametrize("groups", [4, 8, 100])
def test_blocks_change_nothing(
    rows: int, columns: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, rows, columns, groups, candidates=11)
    sources, targets = unit(53, 1), unit(61, 2)
    for found, expected in zip(
        nearest(sources, targets, 4),
        (ranked(sources.numpy(), targets.numpy(), 4), ranked(targets.numpy(), sources.numpy(), 4)),
        strict=True,
    ):
        assert np.allclose(found[0], expected[0], atol=1e-6)
        assert (found[1] == expected[1]).all()
        assert (found[0].dtype, found[1].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("candidates", [5, 2**18])
@pytest.mark.parametrize("levels", [0, 1, 3])
def test_of_equal_products_the_lowest_position_counts(
    levels: int, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, 16, 20, 4, candidates)
    random = np.random.default_rng(levels)
    # Small whole numbers: their products are exact, and many are equal, zero among them.
    sources = random.integers(-levels, levels + 1, (70, 3)).astype(np.float32)
    targets = random.integers(-levels, levels + 1, (90, 3)).astype(np.float32)
    forward, backward = nearest(torch.from_numpy(sources), torch.from_numpy(targets), 4)
    for found, expected in (
        (forward, ranked(sources, targets, 4)),
        (backward, ranked(targets, sources, 4)),
    ):
        assert (found[0] == expected[0]).all() and (found[1] == expected[1]).all()


def test_a_small_pool_has_fewer_neighbours() -> None:
    forward, backward = nearest(unit(2, 1), unit(3, 2), 4)
    assert forward[1].shape == (2, 3) and backward[1].shape == (3, 2)
    assert [sorted(row) for row in forward[1].tolist()] == [[0, 1, 2]] * 2


def test_a_vector_that_is_no_number_is_nobodys_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 8, 16, 4, candidates=64)
    sources, targets = unit(40, 1), unit(16, 2)
    targets[[1, 6, 11]] = torch.nan
    values, positions = nearest(sources, targets, 4)[0]
    others = np.delete(np.arange(16), [1, 6, 11])
    expected = ranked(sources.numpy(), targets.numpy()[others], 4)
    assert (positions == others[expected[1]]).all() and np.allclose(values, expected[0], atol=1e-6)


def test_the_length_of_a_vector_means_nothing(tiny_tokenizer: Any) -> None:
    """And what the model gave stays as it was."""
    encoded, vectors = encode(tiny_tokenizer), list(unit(6, 1).numpy())
    longer = [vector * (i + 1) for i, vector in enumerate(vectors)]
    before = np.stack(longer)
    expected, found = (MINING.decode(given, encoded, TASK) for given in (vectors, longer))
    assert expected and [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected], rel=1e-5)
    assert (np.stack(longer) == before).all()


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


def test_the_threshold_of_the_scored_gold_is_told_beside() -> None:
    """It is at least as good as any that has not seen the gold."""
    names = [f"s{i}" for i in range(40)]
    candidates = [[a, a.replace("s", "t"), 2.0 - i / 40] for i, a in enumerate(names)]
    right = {i for i in range(40) if i < 20 or i % 5 == 0}
    examples = encode_gold([[candidates[i][:2]] if i in right else [] for i in range(40)])
    told = MINING.at_golds_threshold(candidates, examples)
    taken = [pair for pair in candidates if pair[2] >= told["gold_threshold/margin"]]
    assert told["gold_threshold/f1"] == MINING.score(taken, examples, TASK, "de")["f1"]
    for cut in (pair[2] for pair in candidates):
        kept = [pair for pair in candidates if pair[2] >= cut]
        assert MINING.score(kept, examples, TASK, "de")["f1"] <= told["gold_threshold/f1"]
    crossed = MINING.calibrate(candidates, examples, None)
    assert MINING.score(crossed, examples, TASK, "de")["f1"] <= told["gold_threshold/f1"]
