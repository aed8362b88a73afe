"""Tables of a race, which has holes: who may be the best, in what order, and what is not known."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xstilts.config.derive import languages_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.report.comparison import entries_of, ranks_of
from xstilts.report.documents import as_json
from xstilts.report.frames import best_frame, scores_frame, trials_frame
from xstilts.report.live import render, watching
from xstilts.report.record_table import record_table
from xstilts.report.results import Results
from xstilts.report.standings import Follower, RungStanding, Standing, standings
from xstilts.report.sweep_results import SweepResults
from xstilts.report.tables import grid_table, race_table, search_table, tables
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.trial_states import TrialStates

from ..conftest import make_places, make_stage, make_sweep
from ..trial_records import entry_json, make_record, record_json

TARGETS = ("mini_xnli", "mini_udpos")
RUNS: dict[tuple[str, int], dict[str, float]] = {
    ("none", 0): {"mini_xnli": 50.0, "mini_udpos": 70.0},
    ("none", 1): {"mini_xnli": 51.0, "mini_udpos": 71.0},
    ("none", 2): {"mini_xnli": 52.0, "mini_udpos": 72.0},
    ("nli", 0): {"mini_xnli": 60.0, "mini_udpos": 71.5},
    ("nli", 1): {"mini_xnli": 61.0},
    ("nli", 2): {"mini_xnli": 60.5},
    ("qa", 0): {"mini_xnli": 30.0, "mini_udpos": 78.0},
    ("qa", 1): {"mini_xnli": 30.5, "mini_udpos": 77.0},
    ("qa", 2): {"mini_xnli": 31.0},
    ("choice", 0): {"mini_xnli": 61.5},
}
"""Dev by intermediate and seed: choice has one run on one target, and the highest score there."""


def make(strategy: str = "race", **changes: Any) -> Sweep:
    intermediates = {name: {"tasks": [f"mini_{name}"]} for name in ("nli", "qa", "choice")}
    return make_sweep(
        intermediates=intermediates,
        targets=list(TARGETS),
        languages=["en"],
        seeds=[0, 1, 2],
        search={"strategy": strategy, "encoder": {"trials": 4}, **changes},
    )


def scored(sweep: Sweep, target: str) -> tuple[str, ...]:
    return languages_of(sweep, find_task(sweep, target))


def record_of(sweep: Sweep, name: str, seed: int, dev: dict[str, float]) -> dict[str, Any]:
    rows = [
        {"trial": f"{name}-s{seed}", "config": name, "cell": "", "intermediate": name, "model": "m",
         "target": target, "language": language, "split": split, "metric": metric,
         "value": value, "n": 100, "seed": seed, "is_chosen": True}
        for target, value in dev.items()
        for split, languages in (("dev", ["en"]), ("test", scored(sweep, target)))
        for language in languages
        for metric in find_task(sweep, target).metrics
    ]  # fmt: skip
    metrics = {**{f"dev/{target}": value for target, value in dev.items()}, "cost/hours": 0.1}
    return record_json(
        f"{name}-s{seed}", config=name, seed=seed, intermediate=name, scores=rows,
        metrics=metrics, targets=list(dev), point={"intermediate": name},
    )  # fmt: skip


def results_of(places: Places, sweep: Sweep) -> Results:
    records = [record_of(sweep, *run, dev) for run, dev in RUNS.items()]
    for record in records:
        folder = places.trials / record["trial"]
        folder.mkdir(exist_ok=True)
        write_json(folder / "record.json", record)
        status = {"stage": "", "done": 1.0, "started": record["started"], "updated": 150.0}
        write_json(folder / "status.json", status)
    return Results(
        sweep,
        places,
        places.launch(1),
        [make_record(**record) for record in records],
    )


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return results_of(make_places(tmp_path), make())


def test_who_was_not_run_may_be_the_best(results: Results) -> None:
    first, second = standings(results.sweep, results.trials)
    assert (first.target, first.runs, first.candidates, first.parked) == ("mini_xnli", 7, 3, 0)
    assert first.left == 2, "qa is far behind, choice has one run and a high one"
    assert (second.runs, second.parked, second.left) == (3, 1, 3)
    assert standings(make("all"), results.trials) == []
    baseline = [one for one in results.trials if one.intermediate == "none"]
    assert standings(results.sweep, baseline) == []
    # With less confidence more is excluded.
    assert standings(make(confidence=0.51), results.trials)[0].left == 1


def test_the_order_is_that_of_the_belief_with_two_runs_ahead_of_one(results: Results) -> None:
    ranks = ranks_of(results.sweep, results.trials)
    assert sorted(ranks["mini_xnli"], key=ranks["mini_xnli"].__getitem__) == [
        "nli",
        "none",
        "qa",
        "choice",
    ]
    assert sorted(ranks["mini_udpos"], key=ranks["mini_udpos"].__getitem__) == ["qa", "none", "nli"]
    entries = entries_of(results.sweep, results.trials)
    assert [entry.seeds for entry in entries["mini_xnli"].values()] == [3, 3, 3, 1]
    assert {best.target: best.best.config for best in results.best} == {
        "mini_xnli": "nli",
        "mini_udpos": "qa",
    }
    assert all(best.baseline and best.baseline.seeds == 3 for best in results.best)
    assert ranks_of(make("all"), results.trials) == {}


def test_a_baseline_without_all_its_runs_is_no_baseline_yet(results: Results) -> None:
    trials = [one for one in results.trials if one.trial != "none-s2"]
    assert all("none" not in row for row in ranks_of(results.sweep, trials).values())


def test_what_was_not_run_is_a_hole_and_nothing_is_averaged_over_it(results: Results) -> None:
    table = grid_table(results)
    assert table.header == ("target", "none", "nli", "qa", "choice")
    by_target = {row[0]: row[1:] for row in table.rows}
    assert by_target["mini_udpos"] == ["71.0", "71.5", "77.5", "-"]
    assert by_target["mini_xnli"][-1] == "61.5"
    assert by_target["mean"][-1] == "-" and "-" not in by_target["mean"][:-1]
    assert "at most 3" in search_table(results).note


def test_the_report_has_the_race(results: Results) -> None:
    table = race_table(results)
    assert table is not None
    assert table.rows == [["mini_xnli", "7", "3", "0", "2"], ["mini_udpos", "3", "3", "1", "3"]]
    assert "95 % confidence" in table.note and "race" in tables(results)
    assert as_json(results)["race"][0]["left"] == 2
    whole = Results(make("all"), results.places, results.folder, results.records)
    assert race_table(whole) is None and "race" not in as_json(whole)
    frame = best_frame(
        results.verdicts, record_table(results.sweep, results.places), results.sweep, results.places
    )
    assert frame.set_index("target")["best"].to_dict() == {"mini_xnli": "nli", "mini_udpos": "qa"}


def test_the_views_show_who_is_left(results: Results) -> None:
    sweep, states = results.sweep, TrialStates(results.places)
    race = Follower(sweep, results.places).look(states.look())
    console = Console(file=io.StringIO(), width=80)
    console.print(render(sweep, [], 10.0, 10, 0, race))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0 of at most 12 trials" in text and "left" not in text.partition("\n")[0]
    assert "mini_xnli 2 of 3 (7 runs)" in text and "mini_udpos 3 of 3 (3 runs)" in text


def test_a_trial_that_ends_again_is_told_again(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xstilts.report.live.REFRESH_S", 0.01)
    monkeypatch.setattr("xstilts.report.standings.STANDINGS_EVERY_S", 0.01)
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    with watching(console, results.sweep, TrialStates(results.places)):
        assert "finished" not in stream.getvalue()
        more = record_of(results.sweep, "choice", 0, {"mini_xnli": 61.5, "mini_udpos": 60.0})
        write_json(results.places.trials / "choice-s0" / "record.json", {**more, "ended": 300.0})
        end = time.monotonic() + 20
        while "may be the best" not in stream.getvalue() and time.monotonic() < end:
            time.sleep(0.02)
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "choice-s0: finished" in line]
    assert "mini_udpos 3 of 3 (4 runs)" in lines[-1]


def test_standings_are_worked_out_once_in_a_while_and_at_the_end(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counting(*args: Any) -> list[Standing]:
        calls.append(1)
        return standings(*args)

    monkeypatch.setattr("xstilts.report.standings.standings", counting)
    race, states = Follower(results.sweep, results.places), TrialStates(results.places)
    before = race.look(states.look())
    more = record_of(results.sweep, "choice", 0, {"mini_xnli": 61.5, "mini_udpos": 60.0})
    write_json(results.places.trials / "choice-s0" / "record.json", {**more, "ended": 300.0})
    for _ in range(20):
        assert race.look(states.look()) == before and len(calls) == 1
    assert race.look(states.look(), at_once=True) != before and len(calls) == 2
    assert race.look(states.look()) == race.look(states.look(), at_once=True)
    assert len(calls) == 2, "nothing has ended since"


def test_predictions_are_of_the_runs_that_a_target_has(results: Results) -> None:
    places, told = results.places, results.sweep.model_dump(mode="json", by_alias=True)
    for name, content in ((TARGET_POINTS, {}), (INVENTORY, {}), (SWEEP, told)):
        write_json(places.launch(1) / name, content)
    for record in results.records:
        stage = f"evaluate-{record.trial}"
        files = {f"predictions/{name}/test-en.tsv": "NOUN\n" for name in record.targets or ()}
        make_stage(places.storage, stage, files)
        content = {**record.record, "stages": [entry_json(stage)]}
        write_json(places.trials / record.trial / "record.json", content)
    found = SweepResults(places).predictions("mini_udpos")
    assert sorted(found["trial"].unique()) == ["qa-s0", "qa-s1"]


def test_trials_that_do_not_have_a_target_are_not_counted_for_it(results: Results) -> None:
    records = [replace(one, collapsed=["mini_udpos"]) if one.trial == "nli-s0" else one
               for one in results.records]  # fmt: skip
    lines = Results(results.sweep, results.places, results.folder, records).warnings()
    assert any(line.startswith("mini_udpos: 1 of 6 trials collapsed") for line in lines)


SHORT = {"nli": 55.0, "qa": 25.0, "choice": 99.0}
"""What a lower rung gave on mini_xnli: choice seems best there."""


def with_rungs(places: Places) -> Results:
    """The same race with runs at a rung of 0.1, of which nothing is a result."""
    sweep = make(rungs=[0.1, 1])
    whole = results_of(places, sweep)
    short = []
    for name, value in SHORT.items():
        told = record_of(sweep, name, 0, {"mini_xnli": value})
        rows = [row for row in told["scores"] if row["split"] == "dev"]
        trial = f"{name}-s0-r0.1"
        told |= {"trial": trial, "phase": "rung", "rung": 0.1, "objective": None}
        told |= {
            "scores": [{**row, "trial": trial} for row in rows],
            "metrics": {"rung/dev/mini_xnli": value, "cost/hours": 0.1},
        }
        folder = places.trials / trial
        folder.mkdir()
        write_json(folder / "record.json", told)
        write_json(
            folder / "status.json", {"stage": "", "done": 1.0, "started": 90.0, "updated": 95.0}
        )
        short.append(make_record(**told))
    return Results(sweep, places, whole.folder, [*whole.records, *short])


def test_a_lower_rung_is_in_no_table_and_chooses_nothing(results: Results, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = with_rungs(make_places(tmp_path / "other"))
    assert len(other.short) == 3 and other.searched == results.searched
    plain, own = tables(results), tables(other)
    assert plain.keys() == own.keys()
    for name in plain.keys() - {"race", "trials"}:
        assert own[name].rows == plain[name].rows, name
    for name in ("best", "grid", "languages"):
        assert as_json(other)[name] == as_json(results)[name]
    assert {t: told.verdict for t, told in other.verdicts.items()} == {
        t: told.verdict for t, told in results.verdicts.items()
    }
    assert other.warnings() == results.warnings()
    table = record_table(other.sweep, other.places)
    assert {one.trial for one in table.trials} == {one.trial for one in results.trials}
    assert "-r0.1" not in "".join(scores_frame(table)["trial"].unique())
    trials = trials_frame(table, other.sweep).set_index("trial")
    short = [one.trial for one in other.short]
    assert (trials["phase"] == "rung").sum() == 3
    assert trials.loc[short, "rung"].eq(0.1).all() and trials.drop(short)["rung"].eq(1).all()


def test_how_far_a_rung_orders_candidates_is_told_by_target(tmp_path: Path) -> None:
    results = with_rungs(make_places(tmp_path))
    first, second = standings(results.sweep, results.trials, results.short)
    # Whole runs: qa 31, nli 60.5, choice 61.5, in the order of the rung.
    assert first.rungs == (RungStanding(0.1, 1.0, 3),)
    assert second.rungs == (RungStanding(0.1, None, 0),)
    assert (first.runs, second.runs) == (7, 3), "its runs are none of these"
    table = race_table(results)
    assert table is not None and table.header[-1] == "rung 0.1"
    assert [row[-1] for row in table.rows] == ["+1.00 (3)", "-"]
    assert "rank correlation" in table.note
    states = TrialStates(results.places)
    told = Follower(results.sweep, results.places).look(states.look())
    assert str(told[0]) == "mini_xnli 2 of 3 (7 runs, rung 0.1 +1.00 (3))"
    assert str(told[1]) == "mini_udpos 3 of 3 (3 runs)"
    console = Console(file=io.StringIO(), width=80)
    console.print(render(results.sweep, [], 10.0, 10, 0, told))
    assert "0 of at most 15 trials" in console.file.getvalue()  # type: ignore[attr-defined]
