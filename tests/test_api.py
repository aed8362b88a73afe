"""The Python API: its signatures and columns, which stay, and what its functions answer."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import xstilts
from xstilts.errors import ConfigError, StoreError
from xstilts.files import read_json, write_json
from xstilts.run.remembered import remember
from xstilts.tasks import lookup

from .benchmarks.results import TARGETS, write_storage
from .conftest import make_stage

QUICKSTART = "builtin:quickstart"

SIGNATURES = {
    "languages": "() -> 'pd.DataFrame'",
    "load_sweep": "(path: 'str | Path', overrides: 'Mapping[str, Any] | Sequence[str]' = (), "
    "*, part: 'str | None' = None) -> 'Sweep'",
    "plan": "(sweep: 'Sweep', *, bench: 'str | Path | None' = None, "
    "cluster: 'str | Path | None' = None, "
    "prices: 'Mapping[str, float] | None' = None, tell: 'Callable[[str], Any]' = TELL) "
    "-> 'Forecast'",
    "run_sweep": "(sweep: 'Sweep', *, address: 'str | None' = None, "
    "rehearse: 'bool | None' = None, retrain: 'bool' = False, progress: 'bool' = False) "
    "-> 'SweepResults'",
    "run_trial": "(sweep: 'Sweep', point: 'Mapping[str, Any] | None' = None, *, "
    "seed: 'int | None' = None, trial: 'str | None' = None, "
    "tell: 'Callable[[str], Any]' = TELL) -> 'TrialRecord'",
    "open_results": "(name_or_folder: 'str | Path', storage: 'str | Path | None' = None, *, "
    "with_plugins: 'bool' = False, tell: 'Callable[[str], Any]' = TELL) -> 'SweepResults'",
    "score_submission": "(predictions: 'str | Path', labels: 'str | Path', "
    "benchmark: 'str' = 'xtreme') -> 'Official'",
}
METHODS = {
    "predictions": "(self, target: 'str', trial: 'str | None' = None) -> 'pd.DataFrame'",
    "heatmap": "(self, by: \"Literal['language', 'intermediate']\" = 'language') -> 'Picture'",
    "warnings": "(self) -> 'list[str]'",
    "export_submission": "(self, trial: 'str', folder: 'Path') -> 'Exported'",
    "export_labels": "(self, trial: 'str', folder: 'Path') -> 'Exported'",
    "best_trial": "(self, target: 'str') -> 'str'",
}
TRIAL = {
    "trial": "category",
    "config_id": "category",
    "intermediate": "category",
    "model": "category",
    "seed": "Int64",
    "phase": "category",
}
PARAMETERS = {"param/intermediate.learning_rate": "float64", "param/target.epochs": "Int64"}
TRAINED = [name for name in TARGETS if "train" in lookup(lookup(name).head).splits]
COLUMNS = {
    "scores": {
        **TRIAL,
        "target": "category",
        "language": "category",
        "metric": "category",
        "value": "float64",
        "n": "Int64",
        "split": "category",
        **PARAMETERS,
        "cell": "category",
        "is_chosen": "bool",
    },
    "best": {
        "target": "str",
        "verdict": "str",
        "intermediate": "str",
        "ties": "object",
        "score": "float64",
        "none": "float64",
        "gain": "float64",
        "low": "float64",
        "high": "float64",
        "config_id": "str",
        "lr/intermediate": "float64",
        "lr/target": "float64",
        "dev": "float64",
        "selected_on": "str",
        "spread": "float64",
        "seeds": "Int64",
        "configs": "Int64",
        "best": "str",
        "p_best": "float64",
        "p_null": "float64",
        "collapsed": "object",
        "runs": "Int64",
        "hours_to_settle": "float64",
        "command": "str",
        "trials": "object",
        "rates": "object",
        "budget": "Int64",
        "expected": "float64",
    },
    "trials": {
        **TRIAL,
        "state": "category",
        "objective": "float64",
        "started": "datetime64[us, UTC]",
        "ended": "datetime64[us, UTC]",
        "seconds": "float64",
        "reused_seconds": "float64",
        "wait_s": "float64",
        "tokens": "Int64",
        "collapsed": "str",
        "undecided": "str",
        "error": "str",
        **PARAMETERS,
        **{f"rate/{task}": "float64" for task in ("mnli", "squad_v2", "hellaswag", "qqp")},
        "lr/intermediate": "float64",
        **{f"lr/target/{name}": "float64" for name in TRAINED},
        "rung": "float64",
    },
    "stages": {
        "trial": "category",
        "config_id": "category",
        "phase": "category",
        "stage": "str",
        "fingerprint": "str",
        "class": "category",
        "seconds": "float64",
        "tokens": "Int64",
        "reused": "bool",
        "steps": "Int64",
        "wait_s": "float64",
        "started": "datetime64[us, UTC]",
    },
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with ten trials over all of XTREME."""
    return write_storage(tmp_path_factory.mktemp("generated"), 10, 2)


def without_address(signature: inspect.Signature) -> str:
    """A signature as text, whose bound methods do not show where they lie."""
    told = [
        one.replace(default=inspect.Parameter.empty) if one.name == "tell" else one
        for one in signature.parameters.values()
    ]
    has_tell = "tell" in signature.parameters
    text = str(signature.replace(parameters=told)) if has_tell else str(signature)
    return text.replace("tell: 'Callable[[str], Any]'", "tell: 'Callable[[str], Any]' = TELL")


def test_the_public_names_and_signatures_are_these() -> None:
    assert set(xstilts.__all__) == {
        *SIGNATURES,
        *("Forecast", "Official", "Sweep", "SweepResults", "TrialRecord"),
        *("ConfigError", "SweepStopped", "XstiltsError", "__version__"),
    }
    for name, signature in SIGNATURES.items():
        assert without_address(inspect.signature(getattr(xstilts, name))) == signature, name
    for name, signature in METHODS.items():
        assert str(inspect.signature(getattr(xstilts.SweepResults, name))) == signature, name
    assert set(xstilts.__all__) <= set(dir(xstilts))
    with pytest.raises(AttributeError, match="nothing"):
        xstilts.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy_and_names_stay_functions() -> None:
    code = """
import sys, xstilts
heavy = {"torch", "pandas", "pyarrow", "numpy", "pydantic", "ray", "mlflow", "optuna"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
xstilts.open_results, xstilts.Forecast
assert not heavy & set(sys.modules), heavy & set(sys.modules)
function = xstilts.plan
import xstilts.plan.plan
from xstilts import plan
from xstilts.plan import stage
assert xstilts.plan is plan is function and callable(plan) and stage.Train
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_columns_and_their_sorts_are_these(generated: Path) -> None:
    results = xstilts.open_results(generated)
    for name, wanted in COLUMNS.items():
        frame = getattr(results, name)
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == wanted, name
        assert list(frame.columns) == list(wanted), name
        assert len(frame) > 0, name
        for column in wanted:
            documented = column.split("/")[0]
            assert f"`{documented}" in (getattr(type(results), name).__doc__ or ""), column


def test_the_table_of_languages_is_a_frame_that_says_where_it_is_from() -> None:
    table = xstilts.languages()
    assert table.index.name == "code" and table.loc["tr", "c_wals"] == pytest.approx(0.7755)
    sorts = {name: str(table[name].dtype) for name in ("family", "joshi_class", "c_wals")}
    assert sorts == {"family": "string", "joshi_class": "Int64", "c_wals": "float64"}
    assert table["c_wals"].isna()["kk"] and table["joshi_class"].isna()["qaa"]
    assert {*table.columns, "code"} == set(table.attrs["about"]) == set(table.attrs["source"])


def test_three_lines_reach_a_table_and_what_it_says_is_what_reports_say(generated: Path) -> None:
    results = xstilts.open_results("generated", generated.parents[1])
    best = results.best.set_index("target")
    assert list(best.index) == TARGETS
    for one in results.details.best:
        row = best.loc[one.target]
        assert (row["intermediate"], row["score"]) == (one.best.intermediate, one.best.score)
        assert row["gain"] == pytest.approx(one.gain)
        assert (row["verdict"], row["ties"]) == ("not confirmed", ())
        assert pd.isna(row["low"]) and pd.isna(row["high"])
        # The same number from the score table, by hand: a mean of metrics, then of languages.
        rows = results.scores.query("split == 'test' and is_chosen and target == @one.target")
        rows = rows[rows["metric"].isin(lookup(one.target).metrics)]
        rows = rows[rows["config_id"] == one.best.config]
        by_language = rows.groupby("language", observed=True)["value"].mean()
        assert by_language.mean() == pytest.approx(one.best.score)


def test_what_a_user_changes_in_a_frame_changes_no_other(generated: Path) -> None:
    results = xstilts.open_results(generated)
    frame = results.scores
    frame.loc[:, "value"] = 0.0
    assert results.scores["value"].min() > 0


def test_stages_tell_what_was_computed_and_trials_what_it_cost(tmp_path: Path) -> None:
    folder = write_storage(tmp_path, 2, 0)
    path = next(folder.glob("trials/*/record.json"))
    record = read_json(path)
    record["stages"][0] |= {"is_reused": True, "seconds": 1000.0, "tokens": 5}
    record |= {"state": "failed", "error": "no luck", "collapsed": ["xnli", "panx"]}
    write_json(path, record)
    results = xstilts.open_results(folder)
    trial = results.trials.set_index("trial").loc[record["trial"]]
    own = record["stages"][1:]
    assert trial["seconds"] == pytest.approx(sum(stage["seconds"] for stage in own))
    assert trial["tokens"] == sum(stage["tokens"] for stage in own)
    assert trial["reused_seconds"] == 1000.0
    assert tuple(trial[["state", "error", "collapsed"]]) == ("failed", "no luck", "xnli, panx")
    stages = results.stages
    assert stages["reused"].sum() == 1
    assert set(stages["class"]) == {"intermediate", "target", "evaluate"}
    assert record["config"] not in set(results.best["config_id"])


def test_predictions_are_those_of_the_best_configuration(tmp_path: Path) -> None:
    folder = write_storage(tmp_path, 2, 0)
    written = {
        "xnli": {"de": "entailment\nneutral\n"},
        "udpos": {"de": "NOUN\nVERB\n\nADJ\n"},
        "xquad": {"de": '{"q1": "Berlin", "q2": ""}'},
        "bucc2018": {"de": "de-1\ten-7\n"},
        "tatoeba": {"deu": "1\n0\n"},
    }
    files = {
        f"predictions/{name}/test-{language}.{'json' if name == 'xquad' else 'tsv'}": text
        for name, texts in written.items()
        for language, text in texts.items()
    }
    for path in folder.glob("trials/*/record.json"):
        record = read_json(path)
        name = f"evaluate-{record['config']}"
        make_stage(tmp_path, name, files)
        record["stages"] = [{**record["stages"][0], "name": name}]
        write_json(path, record)
    results = xstilts.open_results(folder)
    found = {name: results.predictions(name) for name in written}
    best = results.best.set_index("target")["config_id"]
    for name, frame in found.items():
        assert list(frame.columns) == ["trial", "language", "item", "prediction"]
        (trial,) = frame["trial"].unique()
        assert best[name][-8:] in trial
    assert list(found["xnli"]["prediction"]) == ["entailment", "neutral"]
    assert list(found["udpos"]["prediction"]) == [["NOUN", "VERB"], ["ADJ"]]
    assert list(found["xquad"]["item"]) == ["q1", "q2"]
    assert found["bucc2018"].loc[0, ["item", "prediction"]].tolist() == ["de-1", "en-7"]
    assert found["tatoeba"].loc[0, ["language", "item", "prediction"]].tolist() == ["deu", 0, "1"]
    other = next(name for name in results.trials["trial"] if name != trial)
    assert set(results.predictions("tatoeba", other)["trial"]) == {other}
    with pytest.raises(StoreError, match="panx: its predictions are no longer in the store"):
        results.predictions("panx")
    with pytest.raises(ConfigError, match='no target of generated; got "xnly"; did you mean'):
        results.predictions("xnly")
    with pytest.raises(ConfigError, match="no finished trial of generated"):
        results.predictions("xnli", "../x")


def test_heat_maps_are_pictures_a_notebook_shows(generated: Path, tmp_path: Path) -> None:
    results = xstilts.open_results(generated)
    for by in ("language", "intermediate"):
        picture = results.heatmap(by)  # type: ignore[arg-type]
        assert picture._repr_png_().startswith(b"\x89PNG")
        picture.save(tmp_path / f"{by}.png")
    assert "matplotlib.pyplot" not in sys.modules
    axes = results.heatmap("intermediate").figure.axes[0]
    assert axes.get_xticklabels()[0].get_text() == "none"
    with pytest.raises(ConfigError, match="is language or intermediate"):
        results.heatmap("target")  # type: ignore[arg-type]


def test_the_map_of_languages_is_that_of_the_report(generated: Path) -> None:
    results = xstilts.open_results(generated)
    axes = results.heatmap().figure.axes[0]
    texts = {text.get_text() for text in axes.texts} - {""}
    wanted = {f"{x:.1f}" for row in results.details.languages.values() for x in row.values()}
    assert texts == wanted


def test_a_name_is_found_as_the_commands_find_it(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="no sweep of that name"):
        xstilts.open_results("generated")
    remember(generated.parents[1])
    told: list[str] = []
    assert xstilts.open_results("generated", tell=told.append).folder == generated
    assert told == [f"--storage {generated.parents[1]}: that of the last sweep"]
    (tmp_path / "runs").symlink_to(generated.parents[1])
    told.clear()
    assert xstilts.open_results("generated", tell=told.append).folder == generated
    assert told == []
    assert xstilts.open_results(str(generated)).folder == generated
    for wrong in ("../x", generated.parent, tmp_path):
        with pytest.raises(ConfigError, match="is a plain name"):
            xstilts.open_results(wrong)


def test_sweep_files_are_loaded_with_overrides_and_told_with_all_problems(tmp_path: Path) -> None:
    changed = xstilts.load_sweep(QUICKSTART, {"search.encoder.trials": 3, "seeds": [4, 5]})
    assert (changed.search.encoder.trials, changed.seeds) == (3, (4, 5))
    assert xstilts.load_sweep(QUICKSTART, ["seeds=[4, 5]"]).seeds == (4, 5)
    assert isinstance(changed, xstilts.Sweep)
    with pytest.raises(xstilts.ConfigError) as caught:
        xstilts.load_sweep(QUICKSTART, {"targets": ["mini_xnly"], "seeds": [0, 0]})
    assert len(caught.value.problems) >= 2
    assert any('did you mean "mini_xnli"' in problem.repair for problem in caught.value.problems)


def test_a_forecast_is_what_the_command_prints(tmp_path: Path, shared_mini: Path) -> None:
    changes = {"storage": str(tmp_path / "runs"), "data.root": str(shared_mini)}
    told: list[str] = []
    forecast = xstilts.plan(xstilts.load_sweep(QUICKSTART, changes), tell=told.append)
    summary: Any = forecast.summary
    assert forecast.num_trials == forecast.num_configurations * forecast.num_seeds > 0
    assert forecast.stages["target"].most == summary["stages"]["target"]["most"] > 0
    assert (forecast.hours, forecast.num_done, told) == (None, 0, [])
    assert set(forecast.tasks["task"]) >= {"mini_nli", "mini_xnli"}
    assert list(forecast.tasks.columns)[:4] == ["stage", "task", "rows", "examples"]


def test_a_race_is_forecast_with_what_is_expected_and_all_at_most(
    tmp_path: Path, shared_mini: Path
) -> None:
    changes = {
        "storage": str(tmp_path / "runs"),
        "data.root": str(shared_mini),
        "targets": ["mini_xnli", "mini_udpos"],
        "intermediates": {name: {"tasks": [f"mini_{name}"]} for name in ("nli", "qa", "choice")},
        "seeds": [0, 1, 2],
        "search": {"encoder": {"trials": 4}},
    }
    whole = xstilts.plan(xstilts.load_sweep(QUICKSTART, changes)).summary["stages"]
    changes["search.strategy"] = "race"
    forecast = xstilts.plan(xstilts.load_sweep(QUICKSTART, changes))
    raced = forecast.summary["stages"]
    for name, bounds in whole.items():
        assert name == "done" or raced[name]["most"] == bounds["most"]
    # Three candidates: two or three runs beyond their first ones, and the baseline's three.
    assert raced["target"]["expected"] == [2 * (3 + 3 + 2), 2 * (3 + 3 + 3)]
    assert raced["intermediate"]["expected"] == [3 + 2, 3 * 3]
    assert forecast.stages["target"].least == 16 and forecast.stages["target"].most == 24
    # What a budget may be a share of: every intermediate as their mean, and every target.
    rows, stages = forecast.summary["tasks"], forecast.summary["stages"]
    of_targets = [row["tokens"] for row in rows if row["stage"].startswith("target")]
    others = sum(row["tokens"] for row in rows) - sum(of_targets)
    names = {row["stage"] for row in rows if not row["stage"].startswith("target")}
    most = others / len(names) * stages["intermediate"]["most"]
    most += sum(of_targets) / len(of_targets) * stages["target"]["most"]
    assert forecast.summary["tokens"] == {"most": pytest.approx(most, abs=1), "is_counted": False}
    # With a rung each candidate has a short run, and a target opens with those of whole ones.
    changes["search.rungs"] = [0.1, 1]
    rungs = xstilts.plan(xstilts.load_sweep(QUICKSTART, changes)).summary
    (short,) = rungs["rungs"]
    assert (short["rung"], short["intermediate"]["most"], short["target"]["most"]) == (0.1, 3, 6)
    told = [forecast.summary["intermediate_examples"], rungs["intermediate_examples"]]
    each = told[0]["shared"] / 9
    for own, added in zip(told, (0, 0.3), strict=True):
        assert own["alone"] == pytest.approx(2 * 9 * each, abs=1)
        assert own["least"] == pytest.approx((5 + added) * each, abs=1)
        assert own["most"] == pytest.approx((9 + added) * each, abs=1)


def test_a_trial_runs_in_this_process(tmp_path: Path, shared_mini: Path) -> None:
    changes = {
        "storage": str(tmp_path / "runs"),
        "data.root": str(shared_mini),
        "targets": ["mini_xnli", "mini_tatoeba"],
        "languages": ["en", "qaa"],
        "intermediates": {},
        "confirm": None,
        "search": {"encoder": {"space": {"target.epochs": {"choice": [0.05]}}}},
    }
    sweep = xstilts.load_sweep(QUICKSTART, changes)
    done = xstilts.run_trial(sweep)
    assert (done.state, done.intermediate, done.seed) == ("finished", "none", sweep.seeds[0])
    assert done.metrics["mini_tatoeba/avg"] > 0
    assert xstilts.run_trial(sweep, trial=done.trial).record["scores"] == done.record["scores"]
    with pytest.raises(ConfigError, match="is not in the search space"):
        xstilts.run_trial(sweep, {"intermediate": "nly"})
    with pytest.raises(ConfigError, match="is one of the file's seeds"):
        xstilts.run_trial(sweep, seed=99)


def test_a_submission_is_scored(tmp_path: Path) -> None:
    for folder in ("predictions", "labels"):
        (tmp_path / folder / "pawsx").mkdir(parents=True)
        for language in lookup("pawsx").languages:
            path = tmp_path / folder / "pawsx" / f"test-{language}.tsv"
            path.write_text("0\n1\n" if folder == "labels" else "0\n0\n")
    scores = xstilts.score_submission(tmp_path / "predictions", tmp_path / "labels")
    assert isinstance(scores, xstilts.Official)
    assert scores.tasks["pawsx"].metric == 50.0


def test_the_command_line_asks_the_same_functions() -> None:
    """What `sweep`, `run`, `plan`, `score`, `export` and `report` do is not done a second time."""
    source = "".join(path.read_text() for path in Path(xstilts.__file__).parent.glob("cli/*.py"))
    for below in ("search.launch", "run.single", "run.export ", "scores.official", "load_results"):
        assert below not in source, below
