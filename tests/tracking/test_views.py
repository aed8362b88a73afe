"""Views as tags of an experiment. Whether MLflow's page reads them is seen in `test_opening.py`."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from xstilts.config.load import load_sweep
from xstilts.tracking.mlflow import MlflowTracker
from xstilts.tracking.tracker import Point, TrackedRun
from xstilts.tracking.views import View, sweep_views

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"
NINE = QUICKSTART.with_name("phang2020.yaml")
METRICS = ("dev/avg", "dev/mini_xnli", "mini_xnli/qaa", "z/cost/hours", "train/mini_xnli/loss")


def views(metrics: tuple[str, ...] = METRICS) -> dict[str, View]:
    return {view.key: view for view in sweep_views(load_sweep(QUICKSTART), metrics)}


def test_a_tag_holds_the_view_packed_as_mlflows_page_packs_it() -> None:
    for key, view in views().items():
        name, text = view.tag
        assert name == f"mlflow.sharedViewState.{key}"
        envelope = json.loads(text)
        assert envelope["name"] == view.name
        packed = envelope["state"].removeprefix("deflate;")
        assert json.loads(zlib.decompress(base64.b64decode(packed))) == view.state
        assert view.tag == views()[key].tag, "written again, nothing changes"


def test_runs_are_sorted_by_the_objective_and_show_scores_from_the_left() -> None:
    state = views()["runs"].state
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`dev/avg`", False)
    columns = [column.strip("`").partition(".`")[2] for column in state["selectedColumns"]]
    assert columns == state_names(state["columnOrder"])
    assert columns[:6] == [
        "intermediate", "lr/intermediate", "dev/avg", "mini/avg", "custom/avg", "search_gain/avg",
    ]  # fmt: skip
    assert columns[6:10] == [f"mini_{name}/avg" for name in ("xnli", "udpos", "xquad", "tatoeba")]
    assert "lr/target/mini_xnli" in columns and "lr/target/mini_tatoeba" not in columns


def test_the_first_page_is_of_the_best_runs_where_all_would_load_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, reached = load_sweep(QUICKSTART), [70.00006, 61.5, 70.00007, 80.25, 12.0]
    assert [view.key for view in sweep_views(sweep, METRICS, reached)][:2] == ["runs", "compare"]
    monkeypatch.setattr("xstilts.tracking.views.FEWEST_FIRST", 2)
    monkeypatch.setattr("xstilts.tracking.views.FIRST_VALUES", 3 * len(METRICS))
    first, every, *_ = sweep_views(sweep, METRICS, reached)
    assert (first.key, first.name) == ("runs", "The best 3 runs by dev/avg")
    assert (every.key, every.name) == ("all", "All runs by dev/avg")
    assert first.state == {**every.state, "searchFilter": first.state["searchFilter"]}
    tracker = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "s", tmp_path / "mlartifacts")
    for number, value in enumerate(reached):
        points = [Point("dev/avg", value, 0, 1)]
        tracker.write(TrackedRun(f"t{number}", f"t{number}", "finished", 0, 1, metrics=points))
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.search_runs([tracker.experiment()], first.state["searchFilter"])
    assert {run.info.run_name for run in found} == {"t0", "t2", "t3"}


def state_names(columns: list[str]) -> list[str]:
    return [column.strip("`").partition(".`")[2] for column in columns]


def test_intermediates_are_compared_on_the_objective_first() -> None:
    state = views()["compare"].state
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "intermediate"}]
    assert state["compareRunCharts"][0]["metricKey"] == "dev/avg"
    assert sections(state)[0] == ("Objective", True)
    # Two charts beside one another: of three the titles are cut.
    assert {one["columns"] for one in state["compareRunSections"] if one["display"]} == {2}


def test_sections_that_mlflow_adds_are_folded() -> None:
    folded = [name for name, is_shown in sections(views()["compare"].state) if not is_shown]
    assert folded == ["dev", "mini_xnli", "train/mini_xnli", "z/cost"]


def test_heat_maps_come_first() -> None:
    state = views()["heatmaps"].state
    assert state["searchFilter"] == "tags.`xstilts.role` = 'summary'"
    assert state["compareRunCharts"][0]["imageKeys"] == ["heat maps/intermediates"]
    assert sections(state)[0] == ("heat maps", True)


def sections(state: Any) -> list[tuple[str, bool]]:
    return [(one["name"], one["display"]) for one in state["compareRunSections"]]


def test_a_link_says_what_the_experiment_is_for() -> None:
    link = views()["compare"].link("http://127.0.0.1:5000/", "7")
    assert link == (
        "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning"
        "&viewStateShareKey=compare&compareRunsMode=CHART"
    )


@pytest.mark.parametrize("layers", [0, 24])
def test_the_views_of_nine_targets_fit_in_tags(layers: int) -> None:
    sweep = load_sweep(NINE)
    names = [
        f"{target}/{metric}/{language:03d}"
        for target in sweep.targets
        for metric in ("f1", "em", "accuracy", *(f"by_layer/{i:02d}" for i in range(layers)))
        for language in range(40)
    ]
    for view in sweep_views(sweep, names):
        assert len(view.tag[1]) < 5000
