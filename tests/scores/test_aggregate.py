"""Averages of a trial: as XTREME takes them, and never over a hole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from xstilts.scores.aggregate import Averages, averages
from xstilts.scores.table import Score, ScoreTable
from xstilts.tasks import Source, Task, lookup
from xstilts.tasks.benchmarks import BENCHMARKS, Benchmark
from xstilts.tracking.tracker import metric_name

VALUE = {"en": 90.0, "qaa": 80.0, "qab": 70.0, "qac": 60.0, "qad": 50.0, "qae": 40.0, "qaf": 30.0}
"""A score by language; EM is 20 below. The mean is 60, without English 55."""

DEV = {"mini_xnli": 85.0, "mini_udpos": 95.0, "mini_xquad": 75.0}
TARGETS = tuple(lookup(name) for name in BENCHMARKS["mini"].targets)


def score(task: Task, language: str, split: str, metric: str, value: float) -> Score:
    lower = 20 if metric == "exact_match" else 0
    row = ("t", "c", "nli", "mini", 0, "cell", task.name, language, split, metric)
    return Score(*row, value - lower, n=10, is_chosen=True)


def table_of(targets: Sequence[Task], without: tuple[str, str, str] | None = None) -> ScoreTable:
    """A full table, without the rows of one (target, language, metric)."""
    rows = [
        score(task, language, "test", metric, VALUE[language])
        for task in targets
        for language in task.languages
        for metric in task.metrics
    ]
    rows += [
        score(task, "en", "dev", metric, DEV[task.name])
        for task in targets
        for metric in task.metrics
        if task.name in DEV
    ]
    kept = (row for row in rows if (row.target, row.language, row.metric) != without)
    return ScoreTable(kept)


class Told(NamedTuple):
    """Averages, by the names that the tracker gives them."""

    metrics: dict[str, float]
    missing: Sequence[str]

    @classmethod
    def of(cls, found: Averages) -> Told:
        return cls({metric_name(one): x for one, x in found.metrics.items()}, found.missing)


def averages_of(
    targets: Sequence[Task] = TARGETS,
    languages: Sequence[str] | None = None,
    benchmark: Benchmark | str = "mini",
    without: tuple[str, str, str] | None = None,
    split: str = "test",
) -> Told:
    wanted = {
        task.name: [x for x in task.languages if languages is None or x in languages]
        for task in targets
    }
    entry = BENCHMARKS.get(benchmark) if isinstance(benchmark, str) else benchmark
    return Told.of(averages(table_of(targets, without).chosen, targets, wanted, entry, split))


def test_target_is_the_mean_over_its_languages() -> None:
    metrics = averages_of().metrics
    assert metrics["mini_xnli/avg"] == metrics["mini_udpos/avg"] == 60
    assert metrics["mini_xnli/qac"] == 60 and metrics["mini_xnli/en"] == 90


def test_answers_count_as_the_mean_of_em_and_f1() -> None:
    metrics = averages_of().metrics
    assert metrics["mini_xquad/en"] == 80
    assert metrics["mini_xquad/avg"] == 50
    assert (metrics["mini_xquad/em/avg"], metrics["mini_xquad/f1/avg"]) == (40, 60)
    assert "mini_xnli/accuracy/avg" not in metrics, "one metric is the score itself"


def test_zero_shot_leaves_the_training_language_out() -> None:
    metrics = averages_of().metrics
    assert metrics["mini_xnli/zero_shot"] == 55
    assert metrics["mini_xquad/zero_shot"] == 45
    assert metrics["mini_tatoeba/zero_shot"] == metrics["mini_tatoeba/avg"] == 55


def test_groups_and_overall_are_means_of_targets() -> None:
    result = averages_of()
    metrics = result.metrics
    assert [metrics[f"group/{x}"] for x in ("classification", "tagging", "qa", "retrieval")] == [
        60,
        60,
        50,
        55,
    ]
    assert metrics["mini/avg"] == pytest.approx((60 + 60 + 50 + 55) / 4)
    assert metrics["mini/avg_no_retrieval"] == pytest.approx((60 + 60 + 50) / 3)
    assert metrics["mini/zero_shot"] == pytest.approx((55 + 55 + 45 + 55) / 4)
    assert not any(name.startswith("custom/") for name in metrics)
    assert list(result.missing) == []


def test_overall_is_a_mean_of_targets_and_not_of_groups() -> None:
    # Twice the same group: the mean of groups would be (60 + 50) / 2.
    targets = (lookup("mini_xnli"), lookup("mini_xquad"), lookup("mini_xquad"))
    metrics = averages_of(targets, benchmark="custom").metrics
    assert metrics["custom/avg"] == pytest.approx((60 + 50 + 50) / 3)


def test_dev_is_the_mean_over_targets_that_have_one() -> None:
    metrics = averages_of().metrics
    assert metrics["dev/mini_xquad"] == 65, "EM and F1 again"
    assert metrics["dev/avg"] == pytest.approx((85 + 95 + 65) / 3)
    assert "dev/mini_tatoeba" not in metrics
    only_retrieval = averages_of((lookup("mini_tatoeba"),))
    assert "dev/avg" not in only_retrieval.metrics


@pytest.mark.parametrize(
    "without", [("mini_xnli", "qac", "accuracy"), ("mini_xquad", "qac", "exact_match")]
)
def test_missing_language_leaves_no_average_and_a_reason(without: tuple[str, str, str]) -> None:
    target = without[0]
    result = averages_of(without=without)
    assert f"{target} lacks languages" in result.missing
    absent = {f"{target}/qac", f"{target}/avg", f"{target}/zero_shot", "mini/avg", "custom/avg"}
    absent.add("group/classification" if target == "mini_xnli" else "group/qa")
    assert not absent & set(result.metrics)
    assert result.metrics[f"{target}/qab"] > 0
    assert result.metrics["mini_udpos/avg"] == result.metrics["group/tagging"] == 60


def test_missing_dev_score_leaves_no_dev_average_and_a_reason() -> None:
    targets = (lookup("mini_xnli"), lookup("mini_udpos"))
    without = ("mini_udpos", "dev")
    rows = [row for row in table_of(targets).scores if (row.target, row.split) != without]
    wanted = {task.name: task.languages for task in targets}
    result = Told.of(averages(ScoreTable(rows).chosen, targets, wanted, None, "test"))
    assert "dev/mini_udpos" in result.missing
    assert result.metrics["dev/mini_xnli"] == 85
    assert not {"dev/avg", "dev/mini_udpos"} & set(result.metrics)


@pytest.mark.parametrize(
    ("targets", "languages", "reason"),
    [
        (TARGETS[:3], None, "mini/avg needs mini_tatoeba"),
        (TARGETS, ("en", "qaa", "qab"), "mini/avg needs mini_xnli in qac, qad, qae, qaf"),
    ],
)
def test_part_of_a_benchmark_has_a_custom_average_and_a_reason(
    targets: Sequence[Task], languages: Sequence[str] | None, reason: str
) -> None:
    result = averages_of(targets, languages)
    assert list(result.missing) == [reason]
    assert "custom/avg" in result.metrics and "mini/avg" not in result.metrics


def test_custom_benchmark_needs_no_reason() -> None:
    result = averages_of(TARGETS[:1], ("qaa",), benchmark="custom")
    assert result.metrics["custom/avg"] == result.metrics["custom/zero_shot"] == 80
    assert list(result.missing) == []


def test_an_own_benchmark_has_its_average_where_it_is_whole() -> None:
    mine = Benchmark("mine", ("mini_xnli", "mini_tatoeba"), split="test")
    targets = (lookup("mini_tatoeba"), lookup("mini_xnli"))
    result = averages_of(targets, benchmark=mine)
    assert list(result.missing) == []
    assert result.metrics["mine/avg"] == pytest.approx((55 + 60) / 2)
    assert result.metrics["mine/zero_shot"] == 55 and "mine/avg_no_retrieval" in result.metrics
    assert not any(name.startswith("custom/") for name in result.metrics)
    hole = averages_of(targets, benchmark=mine, without=("mini_xnli", "qac", "accuracy"))
    assert list(hole.missing) == ["mini_xnli lacks languages"]
    assert not {"mine/avg", "custom/avg"} & set(hole.metrics)


@pytest.mark.parametrize(
    ("entry", "split", "reason"),
    [
        ({"targets": ("mini_xnli", "mini_udpos")}, "test", "mine/avg needs mini_udpos"),
        ({"targets": ()}, "test", "mine/avg does not hold mini_xnli"),
        (
            {"languages": {"mini_xnli": ("en", "qaa", "qab")}},
            "test",
            "mine/avg needs mini_xnli in qab",
        ),
        ({"languages": {"mini_xnli": ("en",)}}, "test", "mine/avg does not hold mini_xnli in qaa"),
        ({}, "test", "mine/avg needs mini_xnli in qab, qac, qad, qae, qaf"),
        (
            {"languages": {"mini_xnli": ("en", "qaa")}, "split": "validation"},
            "test",
            "mine/avg is a score of the validation sets, not of test",
        ),
        ({"languages": {"mini_xnli": ("en", "qaa")}, "split": "test"}, "test", ""),
        ({"languages": {"mini_xnli": ("en", "qaa")}}, "validation", ""),
    ],
)
def test_what_is_not_the_whole_of_it_is_custom(
    entry: dict[str, Any], split: str, reason: str
) -> None:
    """The sweep scores one target in two languages."""
    mine = Benchmark(**{"name": "mine", "targets": ("mini_xnli",), **entry})
    scored = {"mini_xnli": ("en", "qaa")}
    assert mine.lacks(TARGETS[:1], scored, split) == reason
    result = averages_of(TARGETS[:1], ("en", "qaa"), benchmark=mine, split=split)
    assert list(result.missing) == ([reason] if reason else [])
    assert ("mine/avg" in result.metrics, "custom/avg" in result.metrics) == (
        not reason,
        bool(reason),
    )


def test_training_language_alone_has_no_zero_shot_average() -> None:
    metrics = averages_of(TARGETS[:1], ("en",), benchmark="custom").metrics
    assert metrics["custom/avg"] == 90
    assert not any(name.endswith("/zero_shot") for name in metrics)


def test_some_targets_of_a_sweep_have_no_average_over_them() -> None:
    """A trial that confirms what search chose scores those that it leads alone."""
    some = TARGETS[:1]
    languages = {task.name: task.languages for task in some}
    entry = BENCHMARKS["mini"]
    found = Told.of(averages(table_of(some).chosen, some, languages, entry, "test", is_whole=False))
    assert found.missing == [] and found.metrics["mini_xnli/avg"] == 60
    assert found.metrics["dev/mini_xnli"] == 85
    over = ("dev/avg", "custom/", "mini/", "group/")
    assert not [name for name in found.metrics if name.startswith(over)]


def test_xtreme_r_is_a_mean_over_ten_tasks_and_its_groups_are_its_own() -> None:
    benchmark = BENCHMARKS["xtreme-r"]
    entry = Task("x", "retrieval", Source("x/y"), ("en",), {}, ("accuracy",), group="retrieval")
    ten = [
        replace(entry, name=name, languages=benchmark.languages.get(name, ("en", "qaa")))
        for name in benchmark.targets
    ]
    languages = {task.name: task.languages for task in ten}
    values = {task.name: 10.0 * i for i, task in enumerate(ten)}

    def told(targets: Sequence[Task]) -> Told:
        rows = [
            Score(
                "t", "c", "no", "m", 0, "x", x.name, y, "test", "accuracy", values[x.name], 1, True
            )
            for x in targets
            for y in x.languages
        ]
        found = averages(ScoreTable(rows).chosen, targets, languages, whole, "test")
        return Told.of(found)

    # Of tasks that the benchmark does not name languages of, it has what their entries have.
    whole = replace(benchmark, languages={**languages})
    metrics = told(ten).metrics
    assert metrics["xtreme-r/avg"] == pytest.approx(sum(values.values()) / 10)
    retrieval = (values["tatoeba"] + values["mewslix"]) / 2
    assert metrics["group/retrieval"] == pytest.approx(retrieval), "LAReQA is in no group"
    assert metrics["group/classification"] == (values["xnli"] + values["xcopa"]) / 2
    assert metrics["group/multi_choice"] == values["xcopa"]
    nine = told([task for task in ten if task.name != "lareqa"])
    assert "xtreme-r/avg" not in nine.metrics and "custom/avg" in nine.metrics
    assert list(nine.missing) == ["xtreme-r/avg needs lareqa"]
    assert nine.metrics["group/retrieval"] == pytest.approx(retrieval)
