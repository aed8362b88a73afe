"""Verdicts of a sweep's targets from finished trials: what confirms, what is exported, what is said
where nothing is known."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.report.documents import as_json
from xstilts.report.frames import BEST
from xstilts.report.publish import publish_sweep
from xstilts.report.results import Results, load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.report.tables import verdict_table
from xstilts.report.verdict_table import verdict_lines
from xstilts.report.verdicts import TargetVerdict, target_verdicts
from xstilts.run.confirmation import CHOICE
from xstilts.run.outcomes import Items, outcomes_path, write_outcomes
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.scores.best import TrialScores
from xstilts.scores.outcomes import Outcomes

from ..conftest import make_places, make_stage, make_sweep
from ..trial_records import entry_json, record_json
from .test_report import Kept

SEEDS = (1000, 1001, 1002, 1003, 1004)
NOISE = (-0.6, -0.25, 0.05, 0.2, 0.6)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return make_places(tmp_path)


@pytest.fixture
def sweep() -> Sweep:
    return make_sweep(
        intermediates={name: {"tasks": ["mini_nli"]} for name in ("nli", "qa", "mix")},
        targets=["mini_xnli", "mini_tatoeba"],
        languages=["en", "qaa"],
        seeds=[0, 1],
    )


def trial(name: str, seed: int, score: float, **changes: Any) -> TrialScores:
    """Of the only configuration of an intermediate: its score on mini_xnli, its dev score."""
    own: dict[str, Any] = {"dev": {"mini_xnli": score, "avg": score}, "hours": {"mini_xnli": 0.5}}
    own |= {"scores": {"mini_xnli": score}, **changes}
    return TrialScores(f"{name}-c-s{seed}", f"{name}-c", name, "m", seed, **own)


SEARCH = {"none": 70.0, "nli": 76.0, "qa": 66.0, "mix": 60.0}


def searched(**scores: float) -> list[TrialScores]:
    found = {**SEARCH, **scores}.items()
    return [trial(name, seed, score + seed - 0.5) for name, score in found for seed in (0, 1)]


def confirmed(**means: float) -> list[TrialScores]:
    return [
        trial(name, seed, mean + np.roll(NOISE, i)[j], dev={})
        for i, (name, mean) in enumerate(means.items())
        for j, seed in enumerate(SEEDS)
    ]


def choose(places: Places, *leaders: str, target: str = "mini_xnli") -> None:
    chosen = [
        {"config": f"{name}-c", "intermediate": name, "point": {}, "dev": 1.0, "target_point": {}}
        for name in (*leaders, "none")
    ]
    own = {"first": chosen[0]["config"], "leaders": chosen[:-1], "baseline": chosen[-1]}
    choice = {"search": "x", "seeds": list(SEEDS), "targets": {target: own}}
    write_json(places.launch(1) / CHOICE, choice)


def verdict_of(
    sweep: Sweep, places: Places, search: list[TrialScores], fresh: list[TrialScores]
) -> TargetVerdict:
    return target_verdicts(sweep, places, search, fresh)["mini_xnli"]


def test_fresh_seeds_alone_confirm(sweep: Sweep, places: Places) -> None:
    choose(places, "nli", "qa")
    told = verdict_of(sweep, places, searched(), confirmed(nli=74, qa=70.2, none=70))
    said = told.verdict
    assert (said.verdict, said.best, said.ties) == ("best", "nli", ("nli",))
    assert (said.score, said.none, said.gain) == pytest.approx((74, 70, 4))
    assert said.low is not None and said.high is not None and 3 < said.low < 4 < said.high < 5
    assert (said.runs, said.seeds, told.config) == (5, 5, "nli-c")
    assert told.trials == tuple(f"nli-c-s{seed}" for seed in SEEDS)
    assert told.exported == "nli-c-s1000" and told.is_confirmed
    flattered = verdict_of(sweep, places, searched(nli=99), confirmed(nli=74, qa=70.2, none=70))
    assert flattered.verdict.gain == pytest.approx(4), "what search thought of it changes nothing"


def test_search_alone_confirms_nothing(sweep: Sweep, places: Places) -> None:
    told = verdict_of(sweep, places, searched(), [])
    said = told.verdict
    assert (said.verdict, said.best, said.gain) == ("not confirmed", "nli", 6)
    assert said.gain_name == "search gain"
    assert (said.low, said.high, said.p_best, said.p_null, said.ties) == (None,) * 4 + ((),)
    assert (told.trials, told.exported) == (("nli-c-s0", "nli-c-s1"), "nli-c-s0")
    # Nor do runs with fresh seeds of which no choice is written.
    fresh = confirmed(nli=74, none=70)
    assert verdict_of(sweep, places, searched(), fresh) == told


def test_where_none_is_as_good_none_is_exported(sweep: Sweep, places: Places) -> None:
    choose(places, "nli")
    harms = verdict_of(sweep, places, searched(), confirmed(nli=66, none=70))
    assert (harms.verdict.verdict, harms.exported) == ("harms", "none-c-s1000")
    assert harms.trials[0] == "nli-c-s1000", "it stands on the candidate's"
    alike = verdict_of(sweep, places, searched(), confirmed(nli=70.4, none=70))
    assert (alike.verdict.verdict, alike.exported) == ("within noise", "nli-c-s1000")


def test_a_run_that_collapsed_is_not_exported(sweep: Sweep, places: Places) -> None:
    choose(places, "nli")
    fresh = confirmed(nli=74, none=70)
    fresh[0] = trial("nli", 1000, 33.0, dev={}, collapsed=["mini_xnli"])
    told = verdict_of(sweep, places, searched(), fresh)
    assert told.exported == "nli-c-s1001"
    assert told.verdict.collapsed == {"nli": (1, 5), "none": (0, 5)}
    assert told.verdict.score is not None and told.verdict.score > 73


def test_nothing_learnt_is_said_so(sweep: Sweep, places: Places) -> None:
    choose(places, "nli")
    lost = {"collapsed": ["mini_xnli"]}
    search = [trial(name, seed, 33.0, **lost) for name in SEARCH for seed in (0, 1)]
    fresh = [trial(name, s, 33.0, dev={}, **lost) for name in ("nli", "none") for s in SEEDS]
    told = verdict_of(sweep, places, search, fresh)
    said = told.verdict
    assert (said.verdict, said.gain, said.score, said.none) == ("not confirmed", *[None] * 3)
    assert said.collapsed == {"nli": (5, 5), "none": (5, 5)} and told.was_tried
    assert (said.low, said.p_null, said.hours_to_settle) == (None, None, None)


def test_a_target_without_whole_configurations_has_no_best(sweep: Sweep, places: Places) -> None:
    told = target_verdicts(sweep, places, searched(), [])["mini_tatoeba"]
    assert (told.verdict.verdict, told.verdict.best, told.exported) == ("not confirmed", None, None)


def test_search_whose_best_is_none_gains_nothing(sweep: Sweep, places: Places) -> None:
    told = verdict_of(sweep, places, searched(none=80), [])
    assert (told.verdict.best, told.verdict.gain, told.exported) == ("none", 0, "none-c-s0")
    assert told.verdict.hours_to_settle is None


def test_no_baseline_no_gain(sweep: Sweep, places: Places) -> None:
    search = [one for one in searched() if one.intermediate != "none"]
    said = verdict_of(sweep, places, search, []).verdict
    assert (said.best, said.score, said.none, said.gain) == ("nli", 76, None, None)


def test_a_confirmation_that_learnt_too_little_says_so(sweep: Sweep, places: Places) -> None:
    stored(places, sweep, {"nli": 74, "none": 33}, collapsed=["mini_xnli"])
    text = " ".join(" ".join(shown(load_results(places))).split())
    assert "collapsed: 5 of 5 runs of nli, 5 of 5 runs of none" in text
    assert "too few runs with fresh seeds learnt to confirm or refute it" in text
    assert "xstilts confirm" not in text, "it was done"


# From here on from the storage: records, outcomes, forms.


def stored(places: Places, sweep: Sweep, score: dict[str, float], **changes: Any) -> None:
    """The launch, a trial of search each, and five that confirm nli and none."""
    for name in (TARGET_POINTS, INVENTORY):
        write_json(places.launch(1) / name, {})
    write_json(places.launch(1) / SWEEP, sweep.model_dump(mode="json", by_alias=True))
    for name, value in SEARCH.items():
        for seed in (0, 1):
            put(places, name, seed, value + seed - 0.5)
    choose(places, "nli")
    for i, (name, value) in enumerate(score.items()):
        for j, seed in enumerate(SEEDS):
            put(places, name, seed, value + float(np.roll(NOISE, i)[j]), phase="confirm", **changes)


def put(places: Places, name: str, seed: int, score: float, **changes: Any) -> None:
    about = f"{name}-c-s{seed}"
    evaluation = f"evaluate-mini_xnli-{name}{seed}"
    splits = [("dev", "en"), ("test", "en"), ("test", "qaa")]
    rows = [
        {"target": "mini_xnli", "split": split, "language": language, "metric": "accuracy",
         "value": score, "n": 100, "is_chosen": True, "cell": "", "trial": about,
         "config": f"{name}-c", "intermediate": name, "model": "m", "seed": seed}
        for split, language in splits
    ]  # fmt: skip
    confirms = {"mini_xnli": {}} if changes.get("phase") else None
    record = record_json(
        about, config=f"{name}-c", intermediate=name, seed=seed, point={"intermediate": name},
        scores=rows, metrics={"cost/hours": 0.1}, confirms=confirms,
        stages=[entry_json(evaluation, seconds=36.0)],
        rates={} if name == "none" else {"mini_nli": 0.75, "mini_qa": 0.25},
        examples={} if name == "none" else {"mini_nli": {"en": 1200}, "mini_qa": {"en": 400}},
        learning_rate=None if name == "none" else 5e-4,
        chosen={"mini_xnli": {"learning_rate": 8e-4, "stage": "x"}}, **changes,
    )  # fmt: skip
    (places.trials / about).mkdir()
    write_json(places.trials / about / "record.json", record)


@pytest.fixture
def results(places: Places, sweep: Sweep) -> Results:
    stored(places, sweep, {"nli": 74, "none": 70})
    return load_results(places)


TOLD = {
    "verdict", "best", "ties", "score", "none", "gain", "low", "high", "p_best", "p_null",
    "collapsed", "runs", "seeds", "hours_to_settle", "command",
}  # fmt: skip


def test_the_json_has_all_of_a_verdict(results: Results) -> None:
    told = json.loads(json.dumps(as_json(results)))["targets"]
    assert list(told) == ["mini_xnli", "mini_tatoeba"]
    one = told["mini_xnli"]
    assert one.keys() >= TOLD
    assert (one["verdict"], one["best"], one["seeds"]) == ("best", "nli", 5)
    assert one["collapsed"] == {"best": [0, 5], "none": [0, 5]}
    assert one["command"].startswith("xstilts export s best --model mini_xnli ")
    assert one["rates"] == {"mini_nli": 0.75, "mini_qa": 0.25}
    assert (one["learning_rates"], one["budget"]) == ({"intermediate": 5e-4, "target": 8e-4}, 1600)
    assert one["trials"] == [f"nli-c-s{seed}" for seed in SEEDS]
    nothing = told["mini_tatoeba"]
    assert nothing["verdict"] == "not confirmed"
    known = {"verdict", "ties", "collapsed", "runs", "seeds", "trials", "rates", "learning_rates"}
    assert {name for name, value in nothing.items() if value is not None} == known


def test_the_frame_has_the_same_names(results: Results, places: Places) -> None:
    frame = SweepResults(places).best
    assert {*BEST} >= TOLD and list(frame) == list(BEST)
    (line,) = frame.to_dict("records")
    told = as_json(results)["targets"]["mini_xnli"]
    for name in TOLD - {"ties"}:
        assert line[name] == told[name] or (line[name] != line[name] and told[name] is None), name
    assert line["intermediate"] == "nli" and line["ties"] == ("nli",)
    assert line["spread"] == pytest.approx(np.std(NOISE, ddof=1)) and line["dev"] == 76


def shown(results: Results, width: int = 80) -> list[str]:
    console = Console(width=width, file=StringIO(), record=True)
    console.print(verdict_table(results).rich())
    for line in verdict_lines(results):
        console.print(line, markup=False)
    return console.export_text().splitlines()


def test_a_terminal_of_80_columns_cuts_nothing(results: Results) -> None:
    lines = shown(results)
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    (line,) = (x for x in lines if x.strip().startswith("mini_xnli "))
    assert line.split()[:6] == ["mini_xnli", "best", "nli", "74.0", "70.0", "+4.0"]
    text = " ".join(" ".join(lines).split())
    assert "mini_xnli: nli (mini_nli 0.75, mini_qa 0.25), 1,600 examples at 5.0e-04, target" in text
    assert "nli-c-s1000, -s1001, -s1002, -s1003, -s1004" in text
    assert "xstilts export s best --model mini_xnli" in text
    assert "mini_tatoeba: no configuration has all its seeds" in text


def test_gains_of_search_are_called_so(places: Places, sweep: Sweep) -> None:
    stored(places, sweep, {})
    text = " ".join(shown(load_results(places)))
    assert "not confirmed" in text and "+6.0 search gain" in " ".join(text.split())
    assert "xstilts confirm s --storage" in text


def test_the_tracker_has_confirmed_gains_apart(results: Results) -> None:
    tracker = Kept()
    results.places.report.mkdir()
    publish_sweep(tracker, results)
    values = {
        name: {point.key: point.value for point in run.metrics}
        for name, run in tracker.runs.items()
    }
    assert values["summary"]["gain/mini_xnli"] == pytest.approx(4)
    assert values["summary"]["search_gain/mini_xnli"] == pytest.approx(6)
    assert values["nli-c-s1000"]["gain/mini_xnli"] == pytest.approx(74 - 0.6 - 70)
    assert values["nli-c-s0"]["search_gain/mini_xnli"] == pytest.approx(5.5)
    assert "gain/mini_xnli" not in values["nli-c-s0"]
    tags = {name: run.tags.get("verdict/mini_xnli") for name, run in tracker.runs.items()}
    own = {f"nli-c-s{seed}" for seed in SEEDS}
    assert {name for name, word in tags.items() if word == "best"} == own | {"summary"}
    assert {word for name, word in tags.items() if name not in own | {"summary"}} == {None}


def outcomes(places: Places, name: str, seed: int, hits: np.ndarray) -> None:
    """What the items of an evaluation gave, in both languages alike."""
    ones = np.ones(len(hits))
    keys = [str(i) for i in range(len(hits))]
    one = Items(Outcomes.of({"accuracy": [(hits, ones, ones)]}), keys)
    result = make_stage(places.storage, f"evaluate-mini_xnli-{name}{seed}", {"x": "x"})
    write_outcomes(places.storage, "mini_xnli", {"en": one, "qaa": one})
    path = outcomes_path(result, "mini_xnli")
    path.parent.mkdir()
    outcomes_path(places.storage, "mini_xnli").rename(path)


def test_few_items_widen_the_interval(results: Results, places: Places) -> None:
    before = results.verdicts["mini_xnli"].verdict
    random = np.random.default_rng(0)
    for name, share in (("nli", 0.74), ("none", 0.70)):
        for seed in SEEDS:
            outcomes(places, name, seed, (random.random(60) < share).astype(float))
    after = load_results(places).verdicts["mini_xnli"].verdict
    assert after.gain == before.gain
    widths = [one.high - one.low for one in (before, after) if one.high and one.low]
    assert widths[1] > 3 * widths[0]


def test_an_intermediate_that_a_race_has_not_run_is_in_the_set_of_ties(places: Places) -> None:
    intermediates = {name: {"tasks": ["mini_nli"]} for name in ("nli", "qa", "mix")}
    changes = {"intermediates": intermediates, "languages": ["en", "qaa"], "seeds": [0, 1]}
    choose(places, "nli")
    search = [one for one in searched(qa=40, mix=41) if one.intermediate != "mix"]
    told = {}
    for strategy in ("all", "race"):
        sweep = make_sweep(**changes, search={"strategy": strategy})
        said = verdict_of(sweep, places, search, confirmed(nli=74, none=70)).verdict
        told[strategy] = said.verdict, said.ties
    assert told == {"all": ("best", ("nli",)), "race": ("ties", ("nli", "mix"))}
