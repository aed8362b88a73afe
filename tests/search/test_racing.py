"""A race over a sweep's trials: what it wants, what it tells, and that a kill changes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher

from tests.benchmarks.transfer_grids import play_trials, transfer_grid
from tests.trial_records import make_record
from xstilts.config.derive import languages_of
from xstilts.config.load import parse_sweep
from xstilts.config.own_tasks import find_task
from xstilts.files import derive_seed, read_json
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.store import Store
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposals, target_points
from xstilts.search.race import LEAST, MOST
from xstilts.search.race_scores import believed
from xstilts.search.racing import UNDER_WAY, Drawing, Race, UnderWay, decide
from xstilts.search.searcher import StageSearcher
from xstilts.tasks import lookup

TASKS = (
    "mini_nli",
    "mini_qa",
    "mini_choice",
    "mini_tatoeba",
    "mini_xnli",
    "mini_udpos",
    "mini_parallel",
)
SHARING = ("xquad", "mlqa")
"""Targets with one training stage."""

INTERMEDIATES = {name: {"tasks": [f"mini_{name}"]} for name in ("nli", "qa", "choice")}


def make_planner(trials: int = 6, **changes: Any) -> Planner:
    space = {"intermediate.epochs": {"choice": [1, 2, 3, 4]}}
    data = {
        "name": "s",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"m": {"path": "builtin:mini"}},
        "data": {"root": "builtin:mini"},
        "intermediates": INTERMEDIATES,
        "targets": ["mini_xnli", "mini_udpos"],
        "seeds": [0, 1, 2],
        "search": {
            "strategy": "race",
            "encoder": {"trials": trials, "space": space},
            **changes.pop("search", {}),
        },
        **changes,
    }
    sweep = parse_sweep(data, "test")
    rows, shas = {}, {}
    for name in (*TASKS, *SHARING):
        task = lookup(name)
        for use in task.splits:
            shas |= {source.hub_id: name for source in task.sources_of(use)}
            for language in task.languages_of(use):
                rows[row_key(task, use, language)] = 10
    labels = {"mini_udpos": ("N", "V")}
    inventory = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, shas, rows, labels)
    return Planner(sweep, inventory, target_points(sweep))


def value_of(trial: str, target: str) -> float:
    """What a run gives, by its name: candidates differ, so do seeds; less at lower rungs."""
    if "-r0." in trial:
        return value_of(trial.partition("-r0.")[0], target) - 20
    config = trial.rpartition("-")[0]
    true = derive_seed(0, config, target) % 1000 / 100
    return 60 + true + derive_seed(0, trial, target) % 1000 / 1000


def signal_of(plan: TrialPlan) -> float:
    """What a signal of a configuration's encoder gives."""
    return derive_seed(0, plan.config_id, "signal") % 1000 / 10


SIGNALS = {"signals": ["retrieval", "probe"], "parallel": "mini_parallel"}


class Records:
    """Trials as they would have been run."""

    def __init__(self, planner: Planner):
        self.planner = planner
        self.all: dict[str, TrialRecord] = {}
        self.history: list[tuple[str, tuple[str, ...]]] = []

    def run(self, plan: TrialPlan) -> None:
        """Finish a trial."""
        before = self.all.get(plan.trial_id)
        assert before is None or {*before.targets} <= {*plan.targets}, "a record loses no target"
        rows: list[dict[str, Any]] = []
        dev = {}
        for target in plan.targets:
            task = find_task(self.planner.sweep, target)
            value = value_of(plan.trial_id, target)
            cells = [("test", x) for x in languages_of(self.planner.sweep, task)]
            cells = [] if plan.is_short else cells
            if "dev" in task.splits:
                cells.append(("dev", "en"))
                dev[f"dev/{target}"] = value
            rows += [
                {"target": target, "split": split, "language": language, "metric": metric,
                 "value": value, "n": 100, "is_chosen": True}
                for split, language in cells
                for metric in task.metrics
            ]  # fmt: skip
        whole = len(dev) == len(self.planner.sweep.targets) and not plan.is_short
        objective = sum(dev.values()) / len(dev) if whole else None
        self.all[plan.trial_id] = make_record(
            plan.trial_id, config=plan.config_id, point=plan.point, seed=plan.seed,
            intermediate=plan.intermediate, targets=list(plan.targets), scores=rows,
            metrics={} if plan.is_short else dev, objective=objective,
            phase=plan.phase, rung=plan.rung,
            signals={signal.name: {"value": signal_of(plan)} for signal in plan.signals},
        )  # fmt: skip
        self.history.append((plan.trial_id, plan.targets))

    def read(self, plan: TrialPlan) -> TrialRecord | None:
        return self.all.get(plan.trial_id)

    def read_final(self, plan: TrialPlan) -> TrialRecord | None:
        record = self.read(plan)
        if record is None or record.state != "finished":
            return None
        return record if {row["target"] for row in record.scores} >= {*plan.targets} else None


def open_race(
    storage: Path, planner: Planner, records: Records, folder: Path | None = None
) -> tuple[StageSearcher, Race, Proposals]:
    """As a launch opens it, from what lies on disk."""
    proposals = Proposals(planner.sweep, Journal(storage / "journal"))
    known: list[Any] = []
    if folder is not None and (folder / UNDER_WAY).exists():
        known = read_json(folder / UNDER_WAY)
    race = Race(
        planner,
        list(proposals.made.values()),
        records.read_final,
        records.read,
        UnderWay(known, folder),
    )
    store = Store(storage)
    return StageSearcher(proposals, planner, store, records.read_final, race=race), race, proposals


def drive(
    storage: Path, planner: Planner, workers: int = 1, kills: random.Random | None = None
) -> tuple[Records, Proposals]:
    """Run a race to its end, the trial that began first ending first; killed now and then."""
    records = Records(planner)
    searcher, race, proposals = open_race(storage, planner, records, storage)
    running: dict[str, TrialPlan] = {}
    number = 0
    while True:
        if kills is not None and kills.random() < 0.4:
            searcher, race, proposals = open_race(storage, planner, records, storage)
            running = {}
        config = None
        while len(running) < workers:
            number += 1
            config = searcher.suggest(f"t{number}")
            if not isinstance(config, dict):
                break
            running[f"t{number}"] = planner.plan(**config["trial"])
        if not running:
            assert config == Searcher.FINISHED and race.is_over()
            return records, proposals
        if kills is not None and kills.random() < 0.3:
            continue  # the next round begins with what is under way, or after a kill without it
        trial = next(iter(running))
        records.run(running.pop(trial))
        searcher.on_trial_complete(trial, {"outcome": "finished"})


def test_the_first_decision_gives_every_candidate_a_trial_with_all_targets() -> None:
    seen = np.full((4, 3, 2), np.nan)
    found = decide(seen, [], np.ones((4, 3), dtype=bool), 0)
    assert sorted(found.first) == [Drawing(row, 0, (0, 1, 2)) for row in range(4)]
    assert not found.further
    # What runs is drawn: nobody waits for it, and nobody runs it twice.
    then = decide(seen, found.first, np.ones((4, 3), dtype=bool), 0)
    assert not then.first and then.further
    assert all(drawing.draw == 1 for drawing in then.further)


def test_what_cannot_run_is_not_wanted_and_stops_nobody() -> None:
    available = np.ones((4, 2), dtype=bool)
    available[1] = available[:, 1] = False
    seen = np.full((4, 2, 3), np.nan)
    found = decide(seen, [], available, 0)
    assert sorted(found.first) == [Drawing(row, 0, (0,)) for row in (0, 2, 3)]
    seen[[0, 2, 3], 0, 0] = 50.0, 51.0, 60.0
    found = decide(seen, [], available, 0)
    assert found.further == (Drawing(3, 1, (0,)),) and not found.first


def test_a_target_that_comes_later_is_opened_without_the_model() -> None:
    seen = np.full((3, 2, 2), np.nan)
    seen[:, 0] = [[50, 51], [60, 61], [55, 56]]
    found = decide(seen, [], np.ones((3, 2), dtype=bool), 0)
    assert sorted(found.first) == [Drawing(row, 0, (1,)) for row in range(3)]


def test_before_there_is_a_model_a_run_counts_as_the_mean_of_its_target() -> None:
    seen = np.full((3, 2, 2), np.nan)
    seen[0, 0] = 40, 60
    seen[1, 1, 0] = seen[2, 1, 0] = 70
    assert believed(seen)[:, 0].tolist() == [50, 50, 50]
    assert believed(seen)[:, 1] == pytest.approx([70, 70, 70])


@pytest.mark.parametrize("workers", [1, 6])
def test_trials_of_many_targets_spend_what_the_policy_does(workers: int) -> None:
    grid = transfer_grid(0, candidates=12, targets=8)
    dev = grid.dev[:, :, 0, :3]
    seen, trials = play_trials(dev, workers, 0)
    assert 12 < trials < np.isfinite(seen).sum()
    counts = np.isfinite(seen).sum(2)
    assert (counts > 0).all()
    beyond = (counts - 1).sum(0)
    assert (beyond >= np.floor(LEAST * 12)).all() and (beyond <= MOST * 12 + 2).all()
    high = dev.mean(2) >= np.median(dev.mean(2), 0)
    assert counts[high].mean() > counts[~high].mean()


def test_a_race_ends_with_fewer_runs_and_every_baseline(storage: Path) -> None:
    planner = make_planner()
    records, proposals = drive(storage, planner, workers=2)
    runs = [(r.intermediate, t, r.seed) for r in records.all.values() for t in r.targets]
    assert len(runs) < 6 * 2 * 3
    assert sorted(run for run in runs if run[0] == "none") == [
        ("none", target, seed) for target in ("mini_udpos", "mini_xnli") for seed in (0, 1, 2)
    ]
    assert len({r.config for r in records.all.values()}) == 6
    assert len(proposals.made) == 6
    for config in proposals.made:
        own = {r.seed: r.targets for r in records.all.values() if r.config == config}
        assert 0 in own and {*own[0]} == {"mini_xnli", "mini_udpos"}
        if 2 in own:
            assert {*own[2]} <= {*own[1]}, "the nth run has the nth seed"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_race_that_is_killed_decides_as_one_that_is_not(tmp_path: Path, workers: int) -> None:
    planner = make_planner()
    folders = [tmp_path / name for name in ("whole", "killed", "often")]
    for folder in folders:
        folder.mkdir()
    whole, asked = drive(folders[0], planner, workers)
    for number, folder in enumerate(folders[1:]):
        killed, again = drive(folder, planner, workers, random.Random(number))
        assert killed.history == whole.history
        assert [*again.made] == [*asked.made]


def test_the_study_hears_the_whole_and_what_was_given_fewer_runs_as_pruned(storage: Path) -> None:
    records, proposals = drive(storage, make_planner())
    trials = {trial.user_attrs["point"]["intermediate"]: [] for trial in proposals._study.trials}
    ends: dict[str, list[Any]] = trials
    for trial, config in zip(proposals._study.trials, proposals.made, strict=True):
        own = [r for r in records.all.values() if r.config == config]
        ends[trial.user_attrs["point"]["intermediate"]].append(trial.state.name)
        seen = [value_of(r.trial, t) for r in own for t in r.targets]
        if len(seen) == 6:
            assert trial.state.name == "COMPLETE"
            assert trial.value == pytest.approx(np.mean([r.objective for r in own]))
        else:
            assert trial.state.name == "PRUNED"
            by_target = [
                np.mean([value_of(r.trial, t) for r in own if t in r.targets])
                for t in ("mini_xnli", "mini_udpos")
            ]
            assert trial.value == pytest.approx(np.mean(by_target))
    assert ends["none"] == ["COMPLETE"]
    assert "PRUNED" in [state for states in ends.values() for state in states]


def test_the_sampler_hears_beliefs_before_configurations_end(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xstilts.search import proposals as module

    told: list[dict[str, Any]] = []
    real = module.weighted

    def noted(*arguments: Any) -> Any:
        told.append(arguments[0])
        return real(*arguments)

    monkeypatch.setattr(module, "weighted", noted)
    drive(storage, make_planner())
    last = told[-1]
    assert [trial.state.name for trial in last.values()].count("COMPLETE") >= 4
    assert [*told[-2]] == [*last][: len(told[-2])], "in the order in which they were proposed"
    for trial in last.values():
        if trial.state.name == "COMPLETE":
            assert 55 < trial.value < 75 and trial.user_attrs["dev"].keys() == {
                "mini_xnli",
                "mini_udpos",
            }


def test_a_trial_is_planned_again_with_all_that_it_has_had(storage: Path) -> None:
    planner = make_planner(2)
    records = Records(planner)
    searcher, race, proposals = open_race(storage, planner, records)
    for _ in range(3):
        searcher.suggest("x")
    (candidate,) = [p for p in proposals.made.values() if p.point["intermediate"] != "none"] or [
        proposals.ask()
    ]
    assert candidate is not None
    records.run(planner.plan(candidate.point, 0, targets=["mini_xnli"]))
    _, race, _ = open_race(storage, planner, records)
    assert [plan.intermediate for plan in race.owed] == ["none"] * 3
    ((first,), _) = race.wanted()
    assert (first.seed, first.targets) == (0, ("mini_xnli", "mini_udpos"))


def test_a_trial_that_failed_is_not_wanted_again_where_it_failed(storage: Path) -> None:
    planner = make_planner(3)
    records = Records(planner)
    searcher, race, proposals = open_race(storage, planner, records)
    failed = None
    for number in range(40):
        config = searcher.suggest(f"t{number}")
        if not isinstance(config, dict):
            break
        plan = planner.plan(**config["trial"])
        if failed is None and plan.intermediate != "none":
            failed = plan
            searcher.on_trial_complete(f"t{number}", {"outcome": "failed", "objective": None})
        else:
            assert failed is None or plan.config_id != failed.config_id
            records.run(plan)
            searcher.on_trial_complete(f"t{number}", {"outcome": "finished"})
    assert config == Searcher.FINISHED and failed is not None
    state = {
        config_id: trial.state.name
        for config_id, trial in zip(proposals.made, proposals._study.trials, strict=True)
    }
    assert state[failed.config_id] == "FAIL"
    # The next launch tries it again.
    _, race, _ = open_race(storage, planner, records)
    assert not race.is_over()


def test_a_target_without_a_dev_set_runs_with_all_others(storage: Path) -> None:
    targets = ["mini_xnli", "mini_udpos", "mini_tatoeba"]
    records, _ = drive(storage, make_planner(targets=targets))
    for record in records.all.values():
        held = "mini_tatoeba" in record.targets
        assert held == ({*record.targets} >= {"mini_xnli", "mini_udpos"})
    assert any("mini_tatoeba" in r.targets for r in records.all.values() if r.seed)


def test_what_failed_on_one_target_is_not_run_again_for_the_mean_of_all(storage: Path) -> None:
    """A run of a target without a dev set is one of all others, also of that on which it failed."""
    planner = make_planner(2, targets=["mini_xnli", "mini_udpos", "mini_tatoeba"])
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    for number in range(3):
        plan = planner.plan(**searcher.suggest(f"t{number}")["trial"])
        records.run(plan)
        searcher.on_trial_complete(f"t{number}", {"outcome": "finished"})
    first = planner.plan(**searcher.suggest("t3")["trial"])
    assert first.intermediate != "none"
    own = planner.plan(first.point, 0, targets=["mini_xnli"])
    later = planner.plan(first.point, 0, targets=["mini_xnli", "mini_udpos"])
    race.begin(own)
    records.run(own)
    race.end(own, is_over=True)
    race.begin(later)
    race.end(later, is_over=True)  # it failed: its record has no more than before
    assert not [plan for plans in race.wanted() for plan in plans if plan.trial_id == own.trial_id]


def test_an_imagined_run_is_none_that_is_wanted_again(storage: Path) -> None:
    planner = make_planner(3)
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    plans = [planner.plan(**searcher.suggest(f"t{i}")["trial"]) for i in range(5)]
    assert [plan.seed for plan in plans] == [0, 1, 2, 0, 0]
    # All first runs are under way; further ones are wanted all the same.
    first, further = race.wanted()
    assert not first and further
    more = planner.plan(**searcher.suggest("t5")["trial"])
    assert more.seed == 1 and more.intermediate != "none"


def test_where_all_that_have_dev_have_run_the_others_are_scored_for_no_more_training(
    storage: Path,
) -> None:
    planner = make_planner(2, targets=["mini_xnli", "mini_udpos", "mini_tatoeba"])
    records = Records(planner)
    _, _, proposals = open_race(storage, planner, records)
    proposals.ask()
    candidate = proposals.ask()
    assert candidate is not None
    records.run(planner.plan(candidate.point, 0, targets=["mini_xnli"]))
    records.run(planner.plan(candidate.point, 0, targets=["mini_xnli", "mini_udpos"]))
    _, race, _ = open_race(storage, planner, records)
    own = [plan for plan in race.owed if plan.config_id == candidate.config_id]
    assert [plan.targets for plan in own] == [("mini_xnli", "mini_udpos", "mini_tatoeba")]


@pytest.mark.parametrize("end", [{"error": True}, {"result": {"outcome": "stopped"}}])
def test_a_trial_whose_process_is_lost_is_handed_out_before_others(
    storage: Path, end: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = make_planner(3)
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    configs = [searcher.suggest(f"t{i}") for i in range(4)]
    searcher.on_trial_complete("t1", **end)
    monkeypatch.setattr(searcher, "_not_before", 0.0)
    assert searcher.suggest("t4") == configs[1] and not race.owed


def test_a_target_that_shares_its_training_with_one_that_was_run_is_raced_too(
    storage: Path,
) -> None:
    before = make_planner(3, targets=["xquad"])
    records, _ = drive(storage, before)
    planner = make_planner(3, targets=[*SHARING])
    records.planner = planner
    _, race, proposals = open_race(storage, planner, records)
    while proposals.ask() is not None:
        pass
    _, race, _ = open_race(storage, planner, records)
    assert {plan.targets for plan in race.owed} == {SHARING}, "the baseline"
    first, _ = race.wanted()
    assert {plan.config_id for plan in first} == {
        p.config_id for p in proposals.made.values() if p.point["intermediate"] != "none"
    }
    assert {(plan.seed, plan.targets) for plan in first} == {(0, SHARING)}


@pytest.mark.parametrize("workers", [1, 3])
def test_signals_are_told_before_any_target_is_run_and_order_them(
    storage: Path, workers: int
) -> None:
    planner = make_planner(6, search=SIGNALS)
    records, _ = drive(storage, planner, workers)
    trials = [entry for entry in records.history if not entry[0].startswith("none")]
    assert [targets for _, targets in trials[:5]] == [()] * 5
    assert all(trial.endswith("-s0") for trial, _ in trials[:5])
    assert all(targets for _, targets in trials[5:])
    plans = {trial: records.all[trial] for trial, _ in trials}
    assert {r.seed for r in plans.values() if r.signals} == {0}, "those of the first seed"
    if workers == 1:
        # The best, the last and those between them open a target; they are begun by their signals.
        by_signal = sorted((trial for trial, _ in trials[:5]), key=lambda one: -_told(plans[one]))
        opened = [by_signal[place] for place in (0, 1, 3, 4)]
        assert [trial for trial, _ in trials[5:9]] == opened
    # Nobody is left out: all have the runs that they have without signals.
    assert all(r.targets for r in plans.values() if r.seed == 0)


def _told(record: TrialRecord) -> float:
    return record.signals["retrieval/mini_parallel"]["value"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_race_with_signals_that_is_killed_decides_as_one_that_is_not(
    tmp_path: Path, workers: int
) -> None:
    planner = make_planner(search=SIGNALS)
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole, _ = drive(folders[0], planner, workers)
    killed, _ = drive(folders[1], planner, workers, random.Random(5))
    assert killed.history == whole.history


def test_a_signal_that_cannot_be_told_is_not_asked_for_again(storage: Path) -> None:
    planner = make_planner(3, search=SIGNALS)
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    failed = None
    for number in range(40):
        config = searcher.suggest(f"t{number}")
        if not isinstance(config, dict):
            break
        plan = planner.plan(**config["trial"])
        if failed is None and not plan.targets:
            failed = plan
            searcher.on_trial_complete(f"t{number}", {"outcome": "failed", "objective": None})
        else:
            assert failed is None or plan.config_id != failed.config_id
            records.run(plan)
            searcher.on_trial_complete(f"t{number}", {"outcome": "finished"})
    assert config == Searcher.FINISHED and failed is not None and race.is_over()
