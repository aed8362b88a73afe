"""What a sweep implies: whose training rows an intermediate shares, and what selects."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import overlaps, reads, selection_notes, shared_rows
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep


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
