"""The item part of noise from stored outcomes: as the statistics have it, whatever is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xstilts.report import item_noise as module
from xstilts.report.item_noise import item_noise
from xstilts.run.outcomes import Items, outcomes_path, write_outcomes
from xstilts.run.store import Store
from xstilts.scores.items import item_covariance
from xstilts.scores.outcomes import Outcomes

from ..conftest import make_places, make_stage

ARMS = np.array([0, 0, 1, 1])


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_places(tmp_path).storage


def put(storage: Path, name: str, languages: dict[str, Items]) -> None:
    result = make_stage(storage, name, {"x": "x"})
    write_outcomes(storage, "t", languages)
    outcomes_path(result, "t").parent.mkdir()
    outcomes_path(storage, "t").rename(outcomes_path(result, "t"))


def accuracy(hits: np.ndarray, keys: list[str | None] | None = None) -> Items:
    ones = np.ones(len(hits))
    own = keys or [str(i) for i in range(len(hits))]
    return Items(Outcomes.of({"accuracy": [(hits, ones, ones)]}), own)


def hits(count: int) -> np.ndarray:
    """(runs, languages, items): items differ in difficulty, so that runs go together."""
    random = np.random.default_rng(0)
    return (random.random((4, 2, count)) < random.beta(2, 1, count)).astype(float)


def test_means_have_the_covariance_of_their_joined_items(storage: Path) -> None:
    drawn = hits(50)
    for i, (en, qaa) in enumerate(drawn):
        # One item has no other language.
        keys = [*map(str, range(49)), None]
        put(storage, f"e{i}-1", {"en": accuracy(en), "qaa": accuracy(qaa, keys)})
    found = item_noise(Store(storage), "t", ["accuracy"], [f"e{i}-1" for i in range(4)], ARMS)
    assert found is not None
    items = np.concatenate([np.arange(50), [*range(49), 50]])
    expected = item_covariance(100 * drawn.reshape(4, -1), items, np.repeat([0, 1], 50))
    assert found[0] == pytest.approx(expected) and found[1] == 51


def test_runs_without_outcomes_vary_as_the_others_do(storage: Path) -> None:
    for i, (en, qaa) in enumerate(hits(50)):
        if i not in (1, 2):
            put(storage, f"e{i}-1", {"en": accuracy(en), "qaa": accuracy(qaa)})
    put(storage, "e1-1", {"en": accuracy(np.ones(3))})  # of other items
    names = ["e0-1", "e1-1", "", "e3-1"]
    found = item_noise(Store(storage), "t", ["accuracy"], names, ARMS)
    assert found is not None
    covariance = found[0]
    assert covariance[1, 1] == covariance[2, 2] == (covariance[0, 0] + covariance[3, 3]) / 2
    assert covariance[0, 1] == covariance[1, 2] == covariance[0, 3] and covariance[0, 3] > 0
    alone = item_noise(Store(storage), "t", ["accuracy"], ["e0-1", "", "", ""], ARMS)
    assert alone is None, "nothing to compare with"
    assert item_noise(Store(storage), "t", ["accuracy"], [""] * 4, ARMS) is None


def f1(count: int) -> list[Items]:
    """F1 of a corpus where every sentence has ten chunks: then it is the mean of the sentences."""
    tens = np.full(count, 10.0)
    return [
        Items(Outcomes.of({"f1": [(np.round(10 * own[0]), tens, tens)]}), [None] * count)
        for own in np.random.default_rng(1).random((4, 1, count)) ** 0.5
    ]


def test_a_corpus_is_resampled_in_blocks_where_it_is_large(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = f1(400)
    for i, own in enumerate(drawn):
        put(storage, f"e{i}-1", {"en": own})
    names = [f"e{i}-1" for i in range(4)]
    counts = np.stack([own.outcomes.counts["f1"][:, 0, 0] for own in drawn])
    exact = item_covariance(10 * counts)
    for blocks in (1000, 200):
        monkeypatch.setattr(module, "MOST_BLOCKS", blocks)
        found = item_noise(Store(storage), "t", ["f1"], names, ARMS)
        assert found is not None and found[1] == min(blocks, 400)
        assert np.diag(found[0]) == pytest.approx(np.diag(exact), rel=0.3)


def test_too_few_sentences_have_no_item_part(storage: Path) -> None:
    for i, own in enumerate(f1(99)):
        put(storage, f"e{i}-1", {"en": own})
    names = [f"e{i}-1" for i in range(4)]
    assert item_noise(Store(storage), "t", ["f1"], names, ARMS) is None


def test_outcomes_that_cannot_be_read_are_none(storage: Path) -> None:
    for i, (en, _) in enumerate(hits(50)):
        put(storage, f"e{i}-1", {"en": accuracy(en)})
    result = Store(storage).result("e0-1")
    assert result is not None
    outcomes_path(result, "t").write_bytes(b"torn")
    names = [f"e{i}-1" for i in range(4)]
    found = item_noise(Store(storage), "t", ["accuracy"], names, ARMS)
    assert found is not None and found[0].shape == (4, 4)
