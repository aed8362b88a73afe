"""Rounds of dev/weighted: begun at 4, 8, 16 configurations, written before they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.files import read_json
from xstilts.run.rounds import WEIGHTS, Rounds, read_rounds

from ..conftest import make_places


def dev(count: int) -> dict[str, list[float]]:
    """Configurations of which `told` differ by ten points and `noise` by one, both within three."""
    return {
        f"c{i}": {"told": [50.0 + 10 * i, 9.0], "noise": [60.0 + (-1) ** i, 9.0]}
        for i in range(count)
    }  # type: ignore[misc]


def test_a_round_is_fixed_until_the_number_has_doubled() -> None:
    rounds = Rounds()
    assert rounds.current("m", dev(3)) is None
    first = rounds.current("m", dev(4))
    assert first is not None and first.configurations == ["c0", "c1", "c2", "c3"]
    weights = dict(zip(first.targets, first.weights, strict=True))
    assert weights == {"noise": 0, "told": 1}, "a spread below sampling tells nothing apart"
    assert rounds.current("m", dev(5)) is first and rounds.current("m", dev(7)) is first
    second = rounds.current("m", dev(8))
    assert second is not None and len(second.configurations) == 8 and second.means != first.means
    assert rounds.current("other", dev(3)) is None, "dev scores of other targets or seeds"


def test_scores_are_standardised_and_weighted() -> None:
    first = Rounds().current("m", dev(4))
    assert first is not None
    found = first.scores([*dev(6).values()])
    assert found[:4] == pytest.approx([-1.161895, -0.387298, 0.387298, 1.161895])
    assert found[5] > found[4] > found[3], "what came after the round has values too"


def test_what_was_written_is_what_goes_on(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    before = Rounds.of(places, places.launch(1)).current("m", dev(4))
    assert before is not None and read_rounds(places) == [before]
    assert read_json(places.launch(1) / WEIGHTS)[0]["configurations"] == [*dev(4)]
    places.launch(2).mkdir()
    again = Rounds.of(places, places.launch(2))
    other = {name: {**one, "told": [1.0, 9.0]} for name, one in dev(6).items()}
    assert again.current("m", other) == before, "though other scores have come since"
    assert not (places.launch(2) / WEIGHTS).exists()
    assert again.current("m", dev(9)) != before
    assert len(read_rounds(places)) == 2


def test_targets_that_not_all_have_weigh_nothing() -> None:
    known = dev(4)
    del known["c2"]["noise"]  # type: ignore[attr-defined]
    first = Rounds().current("m", known)
    assert first is not None and first.targets == ["told"]
    assert Rounds().current("m", {name: {} for name in "abcd"}) is None
