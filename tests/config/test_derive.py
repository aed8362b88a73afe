"""What a sweep implies: whose training rows an intermediate shares, and what selects."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import (
    benchmark_of,
    confirm_seeds,
    most_confirmed,
    overlaps,
    reads,
    selection_notes,
    shared_rows,
)
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.tasks import lookup
from xstilts.tasks.benchmarks import BENCHMARKS, Benchmark


def sweep_with(**sections: Any) -> Sweep:
    head = {
        "name": "small",
        "benchmark": "custom",
        "recipe": "standard",
        "models": {"xlmr": {"path": "FacebookAI/xlm-roberta-base"}},
        "targets": ["xnli", "pawsx", "udpos", "xquad", "mlqa", "tydiqa", "tatoeba"],
    }
    return parse_sweep({**head, **sections}, "sweep")


@pytest.mark.parametrize(
    ("intermediate", "targets"),
    [
        ({"tasks": ["mnli"]}, {"xnli"}),
        ({"tasks": ["mnli_genres"], "filter": {"genre": "fiction"}}, {"xnli"}),
        ({"tasks": ["mnli"], "translated": True, "languages": ["de"]}, {"xnli"}),
        ({"tasks": ["anli_plus", "qqp"], "budget": {"examples": 10}}, {"xnli"}),
        ({"tasks": ["pawsx"]}, {"pawsx"}),
        ({"tasks": ["squad_v2"]}, {"xquad", "mlqa"}),
        ({"tasks": ["squad_v1"], "translated": True, "languages": ["th"]}, {"xquad", "mlqa"}),
        ({"tasks": ["klue_nli", "ocnli", "contract_nli"], "budget": {"examples": 9}}, set()),
        ({"tasks": ["tydiqa"]}, {"tydiqa"}),
        ({"tasks": ["xquad"]}, {"xquad", "mlqa"}),
        ({"tasks": ["qqp"]}, set()),
        ({"tasks": ["mlm"], "budget": {"examples": 10}}, set()),
    ],
)
def test_overlap_is_of_rows_in_whatever_copy(
    intermediate: dict[str, Any], targets: set[str]
) -> None:
    sweep = sweep_with(intermediates={"it": intermediate})
    assert {name for name in sweep.targets if overlaps(sweep, "it", name)} == targets
    assert not any(overlaps(sweep, "none", name) for name in sweep.targets)


def test_tasks_of_a_mixture_that_hold_the_same_rows_are_named() -> None:
    tasks = ["anli_plus", "mnli", "squad_v1", "squad_v2", "qqp"]
    sweep = sweep_with(intermediates={"all": {"tasks": tasks, "budget": {"examples": 10}}})
    assert shared_rows(sweep, "all") == [["anli_plus", "mnli"], ["squad_v1", "squad_v2"]]


def test_what_selects_and_is_scored_is_named() -> None:
    assert list(selection_notes(sweep_with())) == [
        "xquad: its dev set has the same articles as its test set, other paragraphs"
    ]
    apart = sweep_with(selection={"articles": "held_out"})
    assert not list(selection_notes(apart))
    told = list(selection_notes(sweep_with(evaluation={"split": "validation"})))
    assert told[:3] == [
        "xnli: selected on the rows that are scored (all languages, by translation)",
        "pawsx: selected on the rows that are scored (all languages, by translation)",
        "udpos: selected on the rows that are scored (English)",
    ]
    assert len(told) == 4 and told[3].startswith("xquad: its dev set has")


def test_held_out_articles_are_those_of_intermediates_and_targets() -> None:
    names = {"squad_v1": {"tasks": ["squad_v1"]}}
    shared, apart = (
        {
            (task.name, use): task.slices_of(use)[0].filter
            for task, use, _ in reads(sweep_with(intermediates=names, selection={"articles": how}))
            if task.name in ("squad_v1", "xquad")
        }
        for how in ("shared", "held_out")
    )
    other = "without any context of google/xquad validation"
    assert shared["squad_v1", "train"] == shared["xquad", "train"] == other
    assert shared["squad_v1", "dev"] == f"{other}, without 50% of titles"
    assert shared["xquad", "dev"] == f"{other}, 50% of titles"
    assert apart["squad_v1", "train"] == apart["xquad", "train"]
    assert apart["xquad", "train"] == f"{other}, without 5% of titles"
    assert apart["xquad", "dev"] == f"{other}, 5% of titles"
    assert apart["squad_v1", "dev"] == other


def test_a_benchmark_is_one_of_the_package_or_declared() -> None:
    assert benchmark_of(sweep_with()) is None, "custom is none"
    assert benchmark_of(sweep_with(benchmark="xtreme")) is BENCHMARKS["xtreme"]
    mine = {"name": "mine", "targets": ["panx", "xquad"]}
    declared = benchmark_of(sweep_with(benchmark=mine))
    assert declared == Benchmark("mine", ("panx", "xquad"), split="test")
    of_some = sweep_with(benchmark={**mine, "languages": ["de", "th", "yo"]})
    assert benchmark_of(of_some) == Benchmark(
        "mine", ("panx", "xquad"), {"panx": ("de", "th", "yo"), "xquad": ("de", "th")}, "test"
    )
    of_one = sweep_with(benchmark={**mine, "languages": {"panx": ["de"]}, "split": "validation"})
    found = benchmark_of(of_one)
    assert found == Benchmark("mine", ("panx", "xquad"), {"panx": ("de",)}, "validation")
    for sweep in (of_some, of_one, sweep_with(benchmark="xtreme")):
        stored = sweep.model_dump(mode="json", by_alias=True)
        assert parse_sweep(stored, "stored") == sweep
    assert sweep_with(benchmark="xtreme").model_dump(mode="json")["benchmark"] == "xtreme"


def test_every_benchmark_is_of_targets_that_have_its_split() -> None:
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        tasks = [lookup(target) for target in benchmark.targets]
        assert all(task.is_target for task in tasks)
        assert all(benchmark.split in task.splits for task in tasks if benchmark.split)
        scored = {task.name: task.languages for task in tasks}
        assert benchmark.lacks(tasks, scored, benchmark.split or "test") == ""


def test_fresh_seeds_are_counted_past_those_of_search() -> None:
    def sweep(used: list[int], **confirm: Any) -> Sweep:
        nli = {"nli": {"tasks": ["mini_nli"]}, "qa": {"tasks": ["mini_qa"]}}
        return sweep_with(
            intermediates=nli,
            targets=["mini_xnli", "mini_udpos"],
            seeds=used,
            search={"encoder": {"trials": 3}},
            confirm=confirm,
        )

    assert confirm_seeds(sweep([0, 1])) == (1000, 1001, 1002, 1003, 1004)
    assert confirm_seeds(sweep([1001], seeds=3)) == (1000, 1002, 1003)
    assert confirm_seeds(sweep([0], seeds=[5, 3, 9])) == (5, 3, 9)
    assert confirm_seeds(sweep([0]).model_copy(update={"confirm": None})) == ()
    # One leader a target and a baseline; more leaders than candidates there are not.
    assert most_confirmed(sweep([0], top=1, seeds=3)) == 9
    assert most_confirmed(sweep([0], top=5, seeds=3)) == 9
    assert most_confirmed(sweep([0]).model_copy(update={"confirm": None})) == 0
