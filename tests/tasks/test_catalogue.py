"""Tasks and their catalogue."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from xstilts.tasks import Source, Task, known_tasks, lookup, suggest
from xstilts.tasks.kinds import KINDS


def test_names_are_unique_and_found() -> None:
    names = [task.name for task in known_tasks()]
    assert len(names) == len(set(names))
    assert [lookup(name).name for name in names] == names
    with pytest.raises(KeyError):
        lookup("mini_xnil")


@pytest.mark.parametrize("task", known_tasks(), ids=lambda task: task.name)
def test_entry_is_whole(task: Task) -> None:
    assert task.description
    assert len(set(task.languages)) == len(task.languages)
    assert len(set(task.labels)) == len(task.labels)
    if task.is_target:
        assert task.metrics and {"validation", "test"} <= set(task.splits)
    else:
        is_text = task.kind == "retrieval"
        assert task.is_trained != is_text, "an intermediate is trained, parallel text is not"
    assert not task.trained_as or lookup(task.trained_as).splits["train"] == task.splits["train"]
    if task.kind in ("retrieval", "mining"):
        assert not task.is_trained
        assert "dev" not in task.splits, "retrieval is never selected on itself"
        assert task.train_language not in task.languages
    elif task.is_target and task.source.copies != "copa":  # which has no English test set
        assert task.train_language in task.languages


def test_training_and_selection_read_the_training_language_alone() -> None:
    target = lookup("mini_xnli")
    assert target.languages_of("train") == target.languages_of("dev") == ("en",)
    assert target.languages_of("test") == target.languages
    assert lookup("mini_mlm").languages_of("train") == lookup("mini_mlm").languages


def test_source_names_the_configuration_of_a_language() -> None:
    assert Source("x/y", config="{language}.v2").config_of("qaa") == "qaa.v2"
    assert Source("x/y").config_of("qaa") == "default"


def test_task_is_frozen_and_checks_itself() -> None:
    task = lookup("mini_xnli")
    with pytest.raises(FrozenInstanceError):
        task.version = 2
    for wrong in ({"kind": "pairs"}, {"group": "nli"}, {"labels": ()}, {"languages": ()}):
        with pytest.raises(AssertionError, match="mini_xnli"):
            replace(task, **wrong)
    assert task.kind in KINDS


def test_suggestion_names_the_nearest_and_all() -> None:
    known = ["panx", "xnli", "xquad"]
    assert suggest("xnil", known) == 'did you mean "xnli"? known: panx, xnli, xquad'
    assert suggest("zzzzz", known) == "known: panx, xnli, xquad"
