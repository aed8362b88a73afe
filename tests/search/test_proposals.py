"""Proposals: distinct, remembered, the same after an interruption."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest

from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.config.study import ArmSpec, ContrastSpec, StudySpec
from xstilts.config.study_parts import of_part
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposal, Proposals, target_points

INTERMEDIATES = {
    "nli": {"tasks": ["mini_nli"]},
    "mix": {
        "tasks": ["mini_nli", "mini_qa"],
        "rates": "search",
        "budget": {"examples": 100},
    },
}
SPACE = {
    "intermediate.learning_rate": {"float": [1e-4, 1e-2], "log": True, "levels": 3},
    "intermediate.rates": {"simplex": True, "step": 0.25},
}


def make_sweep(trials: int, sampler: str = "tpe", **encoder: Any) -> Sweep:
    return parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"m": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "intermediates": INTERMEDIATES,
            "targets": ["mini_xnli", "mini_tatoeba"],
            "seeds": [0, 1],
            "search": {
                "encoder": {
                    "trials": trials,
                    "sampler": {"name": sampler, "seed": 3},
                    "space": SPACE,
                    **encoder,
                },
                "target": {
                    "trials": 2,
                    "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True, "levels": 5}},
                },
            },
        },
        "test",
    )


def ask_all(proposals: Proposals) -> list[dict[str, Any]]:
    points = []
    while (proposal := proposals.ask()) is not None:
        points.append(proposal.point)
    return points


def test_every_candidate_is_tried_first_and_the_baseline_before_all(tmp_path: Path) -> None:
    points = ask_all(Proposals(make_sweep(5), Journal(tmp_path / "j")))
    assert [point["intermediate"] for point in points[:3]] == ["none", "nli", "mix"]
    assert len(points) == 5
    assert set(points[0]) == {"intermediate", "model"}
    assert sum(points[2]["intermediate.rates"].values()) == pytest.approx(1)


def test_a_good_baseline_is_not_proposed_again_and_again(tmp_path: Path) -> None:
    rate = {"intermediate.learning_rate": {"float": [1e-4, 1e-2], "log": True}}
    proposals = Proposals(make_sweep(60, space={**SPACE, **rate}), Journal(tmp_path / "j"))
    names = []
    while (proposal := proposals.ask()) is not None:
        names.append(proposal.point["intermediate"])
        proposals.tell(proposal.config_id, 1.0 if names[-1] == "none" else 0.0)
    assert names.count("none") == 1
    assert len(names) == len(proposals._study.trials) == 60


def test_what_leaves_nothing_to_search_comes_first_and_once_for_each_model(tmp_path: Path) -> None:
    sweep = make_sweep(9, space={"intermediate.rates": SPACE["intermediate.rates"]})
    two = {name: next(iter(sweep.models.values())) for name in ("m", "n")}
    points = ask_all(Proposals(sweep.model_copy(update={"models": two}), Journal(tmp_path / "j")))
    assert [(point["intermediate"], point["model"]) for point in points[:4]] == [
        ("none", "m"),
        ("none", "n"),
        ("nli", "m"),
        ("nli", "n"),
    ]
    assert {point["intermediate"] for point in points[4:]} == {"mix"}


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_finite_space_is_exhausted_without_repeats(tmp_path: Path, sampler: str) -> None:
    # none, 3 learning rates of nli, 3 x 5 points of the mixture
    proposals = Proposals(make_sweep(50, sampler), Journal(tmp_path / "j"))
    points = ask_all(proposals)
    assert len(points) == 1 + 3 + 3 * 5
    assert len({str(sorted(point.items(), key=str)) for point in points}) == len(points)
    assert proposals.is_exhausted


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_an_interrupted_search_makes_the_same_proposals(tmp_path: Path, sampler: str) -> None:
    whole = Proposals(make_sweep(8, sampler), Journal(tmp_path / "whole"))
    undisturbed = []
    for value in range(8):
        proposal = whole.ask()
        assert proposal is not None
        undisturbed.append(proposal)
        whole.tell(proposal.config_id, float(value))
    resumed = []
    for value in range(8):
        # A new object for every proposal: the process died after each.
        proposals = Proposals(make_sweep(8, sampler), Journal(tmp_path / "parts"))
        proposal = proposals.ask()
        assert proposal is not None
        resumed.append(proposal)
        proposals.tell(proposal.config_id, float(value))
    assert resumed == undisturbed


def test_open_proposals_are_reissued(tmp_path: Path) -> None:
    first = Proposals(make_sweep(4), Journal(tmp_path / "j"))
    one = first.ask()
    assert one is not None
    second = Proposals(make_sweep(4), Journal(tmp_path / "j"))
    assert list(second.made) == [one.config_id]
    assert len(ask_all(second)) == 3
    second.tell(one.config_id, 1.0)
    second.tell(one.config_id, 2.0)  # a later outcome changes nothing
    storage = optuna.storages.JournalStorage(Journal(tmp_path / "j"))
    study = optuna.load_study(study_name=first._study.study_name, storage=storage)
    assert [t.value for t in study.trials if t.state.name == "COMPLETE"] == [1.0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_proposal_that_was_not_written_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """Killed after every draw, and in the middle of one: nothing of it is left."""
    undisturbed = ask_all(Proposals(make_sweep(6, sampler), Journal(tmp_path / "whole")))
    for count, point in enumerate(undisturbed):
        for place in ("_begin", "_waiting"):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(Proposals, place, killed)
                Proposals(make_sweep(6, sampler), Journal(tmp_path / "j")).ask()
                assert place == "_waiting", "the grid, the baseline: no sampler is asked"
        proposals = Proposals(make_sweep(6, sampler), Journal(tmp_path / "j"))
        if len(proposals.made) == count:
            proposals.ask()
        *_, proposal = proposals.made.values()
        assert proposal.point == point
        assert len(proposals.made) == len(proposals._study.trials) == count + 1
    assert ask_all(Proposals(make_sweep(6, sampler), Journal(tmp_path / "j"))) == []


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_what_can_no_longer_be_proposed_is_tried_once_as_it_can(tmp_path: Path) -> None:
    """An unfinished proposal of a space that has changed under it."""
    first = Proposals(make_sweep(3), Journal(tmp_path / "j"))
    points = ask_all(first)
    assert [point["intermediate"] for point in points] == ["none", "nli", "mix"]
    rate = {"intermediate.learning_rate": {"float": [1e-4, 1e-2], "log": True, "levels": 2}}
    second = Proposals(make_sweep(9, space={**SPACE, **rate}), Journal(tmp_path / "j"))
    again = second._study.user_attrs["again"]
    names = [point["intermediate"] for point in ask_all(second)]
    assert names[:3] == ["none", "nli", "mix"], "the open ones, whatever else they were"
    waited = [trial.user_attrs.get("waited") for trial in second._study.trials]
    assert [one for one in waited if one] == [dict(params) for params in again]


def test_a_failed_configuration_is_told_as_failed(tmp_path: Path) -> None:
    proposals = Proposals(make_sweep(1), Journal(tmp_path / "j"))
    proposal = proposals.ask()
    assert proposal is not None
    proposals.tell(proposal.config_id, None)
    assert proposals._study.trials[proposal.number].state.name == "FAIL"
    assert proposals.ask() is None


def worst_told(proposals: Proposals, config_id: str) -> float | None:
    return proposals._proposed()[config_id].value


def test_a_configuration_that_diverged_is_told_as_the_worst_that_is_known(tmp_path: Path) -> None:
    proposals = Proposals(make_sweep(4), Journal(tmp_path / "j"))
    one, other, third, fourth = (ask(proposals) for _ in range(4))
    # Nothing has finished: the score of chance, of three labels here.
    proposals.tell(one.config_id, None, diverged=True)
    assert worst_told(proposals, one.config_id) == pytest.approx(100 / 3)
    proposals.tell(other.config_id, 60.0)
    proposals.tell(third.config_id, 20.0)
    proposals.tell(fourth.config_id, None, diverged=True)
    assert worst_told(proposals, fourth.config_id) == 20.0
    # What was told stays, and what the study knows of it survives; a success counts after all.
    again = Proposals(make_sweep(4), Journal(tmp_path / "j"))
    again.tell(one.config_id, None, diverged=True)
    assert worst_told(again, one.config_id) == pytest.approx(100 / 3)
    again.tell(one.config_id, 70.0)
    again.tell(one.config_id, 5.0)
    assert worst_told(again, one.config_id) == 70.0
    assert len(again.made) == 4 and again.ask() is None


def ask(proposals: Proposals) -> Proposal:
    proposal = proposals.ask()
    assert proposal is not None
    return proposal


def test_the_inner_points_are_the_same_for_all_encoders_and_seeds() -> None:
    points = target_points(make_sweep(3))
    assert set(points) == {"mini_xnli"}
    assert points == target_points(make_sweep(3))
    (drawn,) = points.values()
    assert len(drawn) == 2 and drawn[0] != drawn[1]


def test_parts_of_a_study_are_searched_apart(tmp_path: Path) -> None:
    whole = make_sweep(100, "grid", space={"intermediate.rates": {"simplex": True}})
    whole = whole.model_copy(update={"intermediates": {"nli": whole.intermediates["nli"]}})
    models = {**whole.models, "large": whole.models["m"]}
    study = StudySpec(
        question="Which?",
        arms={name: ArmSpec(intermediates=(name,)) for name in ("nli", "none")},
        contrasts={"gain": ContrastSpec(arms=("nli", "none"), differ_in=("intermediate",))},
        primary=("gain",),
        models={"screen": ("m",), "full": ("large",)},
    )
    both = whole.model_copy(update={"models": models, "study": study})
    for part, model in (("screen", "m"), ("full", "large"), ("screen", "m")):
        proposals = Proposals(of_part(both, part), Journal(tmp_path / "journal"))
        ask_all(proposals)
        assert [x.point["model"] for x in proposals.made.values()] == [model, model]
        for config_id in proposals.made:
            proposals.tell(config_id, 50.0)
    everything = Proposals(both, Journal(tmp_path / "journal"))
    assert len(everything.made) == 4  # and nothing is left to run
    assert everything.ask() is None


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_space_that_has_grown_goes_on_from_what_is_known(tmp_path: Path, sampler: str) -> None:
    rates = {"intermediate.rates": {"simplex": True, "step": 1.0}}
    small = {"intermediate": {"choice": ["none", "nli"]}, **rates}
    first = Proposals(make_sweep(2, sampler, space=small), Journal(tmp_path / "journal"))
    done, open_ = first.ask(), first.ask()
    assert done and open_
    first.tell(done.config_id, 42.0)
    all_three = {"intermediate": {"choice": ["none", "nli", "mix"]}, **rates}
    large = make_sweep(3, sampler, space=all_three)
    for _ in range(2):  # a second launch takes nothing over twice
        grown = Proposals(large, Journal(tmp_path / "journal"))
        assert [(t.value, t.user_attrs["point"]) for t in grown._study.trials if t.value] == [
            (42.0, done.point)
        ]
    points = [done.point, *ask_all(grown)]
    assert sorted(point["intermediate"] for point in points) == ["mix", "nli", "none"]
    assert open_.point in points


@pytest.mark.parametrize("value", [1.0, None])
def test_a_journal_that_holds_the_baseline_as_a_choice_goes_on(
    tmp_path: Path, value: float | None
) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "j"))
    )
    before = optuna.create_study(storage=storage, study_name="s-before", direction="maximize")
    before.enqueue_trial({"intermediate": "none"})
    trial = before.ask()
    trial.suggest_categorical("intermediate", ["none", "nli", "mix"])
    trial.set_user_attr("point", {"intermediate": "none", "model": "m"})
    if value is not None:
        before.tell(trial, value)
    proposals = Proposals(make_sweep(3), Journal(tmp_path / "j"))
    points = ask_all(proposals)
    names = [point["intermediate"] for point in points]
    assert names == ["nli", "mix"] if value is not None else ["none", "nli", "mix"]
    assert all(trial.state.name != "WAITING" for trial in proposals._study.trials)
