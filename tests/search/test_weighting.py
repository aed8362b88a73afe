"""What the sampler is told by dev/weighted: current values for all, the same after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import make_record
from xstilts.config.schema import Sweep
from xstilts.run.rounds import Dev, Rounds
from xstilts.search import proposals as module
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposals
from xstilts.search.weighting import dev_of, mean_dev

from ..conftest import make_places
from .test_proposals import make_sweep as make_search


def make_sweep(metric: str = "dev/weighted", trials: int = 9) -> Sweep:
    sweep = make_search(trials)
    objective = sweep.objective.model_copy(update={"metric": metric})
    return sweep.model_copy(update={"objective": objective})


def dev(number: int) -> dict[str, list[float]]:
    """A target that tells configurations apart, and one of larger numbers that does not."""
    return {"mini_xnli": [60.0 + number % 5, 0.1], "mini_x": [40.0 + 20 * (-1) ** number, 900.0]}


def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, float | None]]:
    """What the sampler is told each time it draws, by the number of the trial."""
    found = []
    real = module.weighted

    def noted(*arguments: Any) -> Any:
        trials = real(*arguments)
        found.append({trial.number: trial.value for trial in trials.values()})
        return trials

    monkeypatch.setattr(module, "weighted", noted)
    return found


def finish(proposals: Proposals, number: int) -> None:
    proposal = proposals.ask()
    assert proposal is not None
    scores: Dev = dev(number)
    proposals.tell(proposal.config_id, sum(one[0] for one in scores.values()) / 2, dev=scores)


def test_before_the_first_round_the_plain_mean_counts_then_all_are_measured_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch)
    proposals = Proposals(make_sweep(), Journal(tmp_path / "j"))
    for number in range(7):
        finish(proposals, number)
    first = next(one for one in found if len(one) == 3)
    assert [*first.values()] == [60, 40.5, 61]
    for one in found[-1], found[-2]:
        values = [*one.values()]
        # By the plain mean 0, 2, 4 would lie above 1, 3, 5.
        assert values[0] < values[1] < values[2] < values[3] < values[4]  # type: ignore[operator]
    assert [found[-1][i] for i in range(5)] == [found[-2][i] for i in range(5)], "one round"


def test_a_search_that_was_killed_tells_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch)
    places = make_places(tmp_path)
    proposals = Proposals(
        make_sweep(), Journal(tmp_path / "j"), Rounds.of(places, places.launch(1))
    )
    for number in range(6):
        finish(proposals, number)
    undisturbed = proposals.ask()
    assert undisturbed is not None
    expected = found[-1]
    # The same journal without the last proposal: killed before it was written.
    lines = (tmp_path / "j").read_text().splitlines(keepends=True)
    cut = next(i for i in reversed(range(len(lines))) if '"op_code":4' in lines[i])
    (tmp_path / "k").write_text("".join(lines[:cut]))
    places.launch(2).mkdir()
    again = Proposals(make_sweep(), Journal(tmp_path / "k"), Rounds.of(places, places.launch(2)))
    repeated = again.ask()
    assert repeated is not None and repeated.point == undisturbed.point
    assert found[-1] == expected and found[-1] is not expected


def test_what_diverged_is_told_as_the_worst_and_what_has_no_scores_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch)
    proposals = Proposals(make_sweep(), Journal(tmp_path / "j"))
    for number in range(5):
        finish(proposals, number)
    diverged, without = proposals.ask(), proposals.ask()
    assert diverged is not None and without is not None
    proposals.tell(diverged.config_id, None, diverged=True)
    proposals.tell(without.config_id, 50.0)
    proposals.ask()
    values = found[-1]
    assert values[diverged.number] == min(values[i] for i in range(5))  # type: ignore[type-var]
    assert without.number not in values


def test_the_plain_mean_stays_to_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch)
    proposals = Proposals(make_sweep("dev/avg"), Journal(tmp_path / "j"))
    for number in range(6):
        finish(proposals, number)
    assert found == []


def test_dev_scores_of_a_record_with_the_noise_of_their_rows() -> None:
    rows = [
        {"target": "mini_xnli", "split": split, "is_chosen": chosen, "n": n}
        for split, chosen, n in (("dev", True, 400), ("dev", False, 7), ("test", True, 9))
    ]
    record = make_record(scores=rows, metrics={"dev/mini_xnli": 80.0, "dev/avg": 80.0})
    assert dev_of(make_sweep(), record) == {"mini_xnli": [80.0, 80 * 20 / 400]}
    assert dev_of(make_sweep(), make_record(metrics={"dev/mini_xnli": 80.0})) == {}
    seeds = [{"a": [1.0, 2.0], "b": [1.0, 1.0]}, {"a": [3.0, 4.0]}]
    assert mean_dev(seeds) == {"a": [2, 3]} and mean_dev([]) == {}
