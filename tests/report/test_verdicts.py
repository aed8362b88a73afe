"""Verdicts of a sweep's targets from finished trials: what confirms, what is exported, what is said
where nothing is known."""

from __future__ import annotations

import json
import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.report.documents import as_json, as_markdown
from xstilts.report.frames import BEST
from xstilts.report.notes import experiment_note
from xstilts.report.page import page
from xstilts.report.publish import publish_sweep
from xstilts.report.results import Results, load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.report.tables import verdict_table
from xstilts.report.verdict_table import use_lines, verdict_lines
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
    told = "fresh seeds: nli (0 of 5 learnt), none (0 of 5 learnt): too few to confirm or refute it"
    assert told in text and "too few with fresh seeds learnt." in text
    assert "no fresh seeds" not in text, "they were run"


def test_what_too_few_fresh_runs_scored_is_said(sweep: Sweep, places: Places) -> None:
    one = {"seeds": (0,), "targets": ("mini_xnli",)}
    stored(places, sweep.model_copy(update=one), {"nli": 74})
    for name in SEARCH:
        shutil.rmtree(places.trials / f"{name}-c-s1")
    for seed in SEEDS[:3]:
        lost = {"collapsed": [] if seed == SEEDS[0] else ["mini_xnli"]}
        put(places, "none", seed, 50.0, phase="confirm", **lost)
    (line,) = (x for x in verdict_lines(load_results(places)) if x.startswith("mini_xnli: "))
    assert line.startswith("mini_xnli: use nli (mini_nli 0.75, mini_qa 0.25), 1,600 examples at ")
    assert (
        ", as search has it; nli-c-s0; fresh seeds: nli 74.0 (5 of 5 learnt), none 50.0 (1 of 3 "
        in line
    )
    assert line.endswith(
        "not known how many seeds would settle it: of none 1 of 3 runs learnt, and their spread "
        "takes two"
    )


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
    use = "mini_xnli: use nli (mini_nli 0.75, mini_qa 0.25), 1,600 examples at 5.0e-04, target at"
    assert f"{use} 8.0e-04; nli-c-s1000" in text
    assert "nli-c-s1000, -s1001, -s1002, -s1003, -s1004" in text
    assert "xstilts export s best --model mini_xnli" in text
    assert "mini_tatoeba: no configuration has all its seeds" in text


def test_gains_of_search_are_called_so(places: Places, sweep: Sweep) -> None:
    stored(places, sweep, {})
    text = " ".join(shown(load_results(places)))
    assert "not confirmed" in text and "+6.0 search gain" in " ".join(text.split())
    # All seeds that a forecast asks for are fresh here; it is of search's own spread.
    text = " ".join(text.split())
    assert re.search(r"about \d+ more fresh seeds would settle it, about \d+ minutes of nli", text)
    assert re.search(r"xstilts confirm s --seeds \d+ --storage", text)


def test_none_where_it_is_exported_comes_first_with_its_rates(places: Places, sweep: Sweep) -> None:
    stored(places, sweep, {"nli": 69.9, "none": 70})
    results = load_results(places)
    lines = verdict_lines(results)
    start = "mini_xnli: use none, target at 8.0e-04; none-c-s1000; nli (mini_nli 0.75"
    assert lines[0].startswith(start) and ", is not told apart from it: nli-c-s1000, -s" in lines[0]
    assert as_markdown(results).count(start) == 1
    assert lines[3:] == ["", "mini_tatoeba: no configuration has all its seeds"]
    assert use_lines(results)[0] == "mini_xnli: use none, target at 8.0e-04"
    assert f"- {use_lines(results)[0]}\n" in experiment_note(results)
    # What it takes to go on: the seeds of before are read, so that they count.
    settling = results.verdicts["mini_xnli"].verdict.settling
    assert settling is not None and settling.more is not None and settling.hours is not None
    assert f"about {settling.more} more fresh seeds would settle it, about " in lines[0]
    assert f"xstilts confirm s --seeds {5 + settling.more} --storage" in lines[2]
    assert results.verdicts["mini_xnli"].verdict.hours_to_settle == settling.hours
    first = page(results)
    assert first.index("use none, target at 8.0e-04") < first.index("is not told apart from it")
    assert "xstilts confirm s --seeds" in first and "--trial none-c-s1000" in first
    assert "--trial nli-c-s1000" not in first, "of each target what is exported"


def test_whoever_has_no_fresh_seeds_is_named_with_what_compares_them(
    places: Places, sweep: Sweep
) -> None:
    stored(places, sweep, {"nli": 66, "none": 70})
    (line,) = (x for x in verdict_lines(load_results(places)) if x.startswith("mini_xnli: "))
    assert "use none, target at 8.0e-04" in line and ", is worse: nli-c-s1000" in line
    assert (
        "nli is not known to be better than qa, which has no fresh seeds: confirm --top 2" in line
    )


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
