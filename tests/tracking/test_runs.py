"""Records as runs: the names that MLflow shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import make_record
from xstilts.config.load import load_sweep
from xstilts.config.schema import Sweep
from xstilts.scores.aggregate import DEV, GROUP, ZERO_SHOT, Metric, mean_of
from xstilts.tracking.runs import trial_run
from xstilts.tracking.tracker import TrackedRun, metric_name

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"
RECORD: dict[str, Any] = {
    "point": {"intermediate": "mix"},
    "intermediate": "mix",
    "rates": {"mini_nli": 0.75, "mini_qa": 0.25},
    "examples": {"mini_nli": {"en": 75}, "mini_mlm": {"en": 20, "qaa": 5}},
    "learning_rate": 1e-3,
    "chosen": {"mini_xnli": {"learning_rate": 1e-4, "stage": "x"}},
    "recipes": {
        "intermediate": {
            "mini_nli": {"learning_rate": 1e-3, "batch_size": 16, "keep": "best"},
            "mini_qa": {"learning_rate": 1e-3, "batch_size": 8, "keep": "best"},
        },
        "target": {
            "mini_xnli": {"learning_rate": 8e-4, "batch_size": 16, "span_dropout": True},
            "mini_tatoeba": {"max_length": 64},
        },
    },
    "metrics": {"dev/avg": 50.0},
}


def run_of(sweep: Sweep | None = None, **changes: Any) -> TrackedRun:
    record = make_record("mix-1-s0", **{**RECORD, **changes})
    return trial_run(sweep or load_sweep(QUICKSTART), record, {}, ())


def test_drawn_examples_show_by_task_and_by_language_where_there_are_several() -> None:
    run = run_of()
    drawn = {point.key: point.value for point in run.metrics if "/examples/" in point.key}
    assert drawn == {
        "z/cost/examples/mini_nli": 75,
        "z/cost/examples/mini_mlm": 25,
        "z/cost/examples/mini_mlm/en": 20,
        "z/cost/examples/mini_mlm/qaa": 5,
    }


def test_costs_and_counts_come_last() -> None:
    run = run_of(metrics={"cost/hours": 0.0, "dev/avg": 50.0, "xnli/avg": 60.0})
    keys = list(dict.fromkeys(point.key.partition("/")[0] for point in run.metrics))
    assert keys == ["dev", "xnli", "z"]
    assert "z/cost/hours" in [point.key for point in run.metrics]


def test_parameters_are_the_same_in_every_run_of_a_sweep() -> None:
    mixed = run_of().params
    none = {"intermediate": "none", "rates": {}, "examples": {}, "learning_rate": None}
    baseline = run_of(**none, point={"intermediate": "none"})
    assert mixed["rate/mini_nli"] == "0.75" and baseline.params["rate/mini_nli"] == "0"
    assert {key for key in mixed if key.startswith("rate/")} == {
        key for key in baseline.params if key.startswith("rate/")
    }
    assert mixed["log10_lr/intermediate"] == "-3" and mixed["log10_lr/target/mini_xnli"] == "-4"
    assert "log10_lr/intermediate" not in baseline.params
    assert baseline.tags["xstilts.role"] == "baseline" and mixed["seed"] == "0"


def test_rates_are_there_plain_too_and_the_whole_recipe_by_stage() -> None:
    params = run_of().params
    assert {key: value for key, value in params.items() if key.startswith("lr/")} == {
        "lr/intermediate": "0.001",
        "lr/target/mini_xnli": "0.0001",
    }
    assert params["recipe"] == "mini"
    assert {key: value for key, value in params.items() if key.startswith("recipe/")} == {
        "recipe/intermediate/learning_rate": "0.001",
        "recipe/intermediate/mini_nli/batch_size": "16",
        "recipe/intermediate/mini_qa/batch_size": "8",
        "recipe/intermediate/keep": "best",
        "recipe/target/mini_xnli/learning_rate": "0.0008",
        "recipe/target/mini_xnli/batch_size": "16",
        "recipe/target/mini_xnli/span_dropout": "True",
        "recipe/target/mini_tatoeba/max_length": "64",
    }


def test_the_rate_of_every_link_of_a_chain_is_there() -> None:
    links = {"xcopa/siqa": {"learning_rate": 1e-5}, "xcopa": {"learning_rate": 1e-4}}
    chosen = {"xcopa": {"learning_rate": 1e-4, "stage": "x", "links": ["y"]}}
    params = run_of(recipes={"intermediate": {}, "target": links}, chosen=chosen).params
    rates = {name: value for name, value in params.items() if name.startswith("lr/target/")}
    assert rates == {"lr/target/xcopa": "0.0001", "lr/target/xcopa/siqa": "1e-05"}
    assert params["log10_lr/target/xcopa/siqa"] == "-5"
    assert params["recipe/target/xcopa/siqa/learning_rate"] == "1e-05"


def test_a_record_of_before_recipes_were_written_down_has_the_rates_alone() -> None:
    params = run_of(recipes={}).params
    assert params["lr/intermediate"] == "0.001"
    assert not any(key.startswith("recipe/") for key in params)


def test_what_a_file_says_instead_of_the_recipe_is_a_tag() -> None:
    plain = run_of().tags
    assert plain["recipe"] == "mini" and "recipe_overrides" not in plain
    said = load_sweep(QUICKSTART, ["recipe={name: mini, target: {batch_size: 8}}"])
    tags = run_of(said).tags
    assert tags["recipe"] == "mini"
    assert tags["recipe_overrides"] == '{"target":{"batch_size":8}}'


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (Metric("xquad", language="de"), "xquad/de"),
        (Metric("xquad", language=ZERO_SHOT), "xquad/zero_shot"),
        (mean_of("xtreme"), "xtreme/avg"),
        (mean_of("xquad", "em"), "xquad/em/avg"),
        (mean_of("tatoeba", "by_layer/03"), "tatoeba/by_layer/03"),
        (Metric("xquad", DEV), "dev/xquad"),
        (Metric("qa", GROUP), "group/qa"),
        # A plugin's metric may be called as anything is.
        (mean_of("mine", "dev"), "mine/dev/avg"),
    ],
)
def test_a_number_of_a_trial_has_one_name(metric: Metric, name: str) -> None:
    assert metric_name(metric) == name


def test_what_labels_selected_is_told_and_which_scores_are_not_zero_shot() -> None:
    usual = run_of().tags
    assert usual["selection"] == "dev of the training language" and "not_zero_shot" not in usual
    tags = run_of(load_sweep(QUICKSTART, ["selection.pivot=[qab, qaa]"])).tags
    assert tags["selection"] == "dev of the training language and of qab, qaa"
    assert tags["not_zero_shot"] == "qab, qaa"
    assert "selected with dev labels of qab, qaa" in tags["noncomparable"]


def test_probes_are_metrics_by_language_whose_step_is_the_layer() -> None:
    values = {"alignment/qaa": 9.0, **{f"alignment/qaa/{i:02d}": float(i) for i in range(25)}}
    run = run_of(probes={**values, "fertility/en": 1.5})
    told = [point for point in run.metrics if point.key.startswith("probe/")]
    plain = {point.key: point.value for point in told if "by_layer" not in point.key}
    assert plain == {"probe/alignment/qaa": 9.0, "probe/fertility/en": 1.5}
    layers = [point for point in told if point.key == "probe/by_layer/alignment/qaa"]
    assert len(plain) + len(layers) == len(told)
    # Of 24 layers every second, and the embeddings.
    assert [(point.step, point.value) for point in layers] == [(i, i) for i in range(0, 25, 2)]
    assert not [point for point in run_of().metrics if point.key.startswith("probe/")]
