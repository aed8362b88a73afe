"""What a sweep implies: whose training rows an intermediate shares, and what selects."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import (
    benchmark_holes,
    benchmark_of,
    confirm_seeds,
    languages_of,
    most_confirmed,
    overlaps,
    reads,
    shared_rows,
    task_of,
)
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.tasks.benchmarks import BENCHMARKS, Benchmark

XQUAD = BENCHMARKS["xtreme"].languages["xquad"]


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


def test_all_languages_are_those_of_the_benchmark() -> None:
    def languages(benchmark: Any, **sections: Any) -> dict[str, tuple[str, ...]]:
        sweep = sweep_with(benchmark=benchmark, **sections)
        tasks = (task_of(sweep, name) for name in sweep.targets)
        return {task.name: languages_of(sweep, task) for task in tasks}

    def added(benchmark: Any, **sections: Any) -> dict[str, set[str]]:
        usual = languages("custom")
        found = languages(benchmark, **sections)
        return {name: set(found[name]) - set(usual[name]) for name in found}

    some = ["xnli", "udpos", "xquad", "tatoeba"]
    none: dict[str, set[str]] = {name: set() for name in some}
    assert added("xtreme", targets=some) == added("mini", targets=some) == none
    # One of your own means what it meant before there were more languages.
    mine = {"name": "mine", "targets": some, "languages": ["de", "ro"]}
    assert added(mine, targets=some) == none
    assert added("xtreme-r", targets=some) == {
        "xnli": set(),
        "udpos": {"lt", "pl", "ro", "uk", "wo"},
        "xquad": {"ro"},
        "tatoeba": {"az", "lt", "pl", "ro", "uk"},
    }
    # Those before come first, in their order: rows of evaluations keep their places.
    usual, more = languages("custom"), languages("xtreme-r")
    assert all(more[name][: len(usual[name])] == usual[name] for name in usual)
    # What a file names it has, whatever its benchmark.
    assert languages("custom", targets=["xquad"], languages=["ro", "en"]) == {"xquad": ("en", "ro")}
    by_target = {"udpos": ["wo"]}
    assert languages("xtreme-r", targets=some, languages=by_target)["udpos"] == ("wo",)
    assert added("xtreme-r", targets=some, languages=by_target)["xquad"] == {"ro"}


def test_why_an_average_will_not_be_the_benchmarks_is_told_before_work() -> None:
    nine = list(BENCHMARKS["xtreme"].targets)
    assert benchmark_holes(sweep_with(targets=["xnli"])) == []
    assert benchmark_holes(sweep_with(benchmark="xtreme", targets=nine)) == []
    fewer = sweep_with(benchmark="xtreme", targets=nine, languages={"mlqa": ["de", "en"]})
    (line,) = benchmark_holes(fewer)
    assert line.startswith("benchmark: xtreme/avg needs mlqa in ar, es, hi, vi, zh; the average")
    more = sweep_with(benchmark="xtreme", targets=nine, languages={"xquad": [*XQUAD, "ro"]})
    (line,) = benchmark_holes(more)
    assert line.startswith("benchmark: xtreme/avg does not hold xquad in ro; ")
    (line,) = benchmark_holes(sweep_with(benchmark="xtreme-r", targets=["udpos"]))
    assert line.startswith("benchmark: xtreme-r/avg needs lareqa, mewslix, mlqa, panx, ")


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
