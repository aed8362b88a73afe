"""Slices: which rows of a split belong to a use, and that none of them is scored as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.mirror import declared_files
from xstilts.data.sources import Folders, count_rows, load_rows, sample
from xstilts.tasks import HeldOut, Slice, Source, Task, known_tasks, lookup

WriteDataset = Callable[..., Path]

QA = Source("toy/qa")
OTHER = Source("toy/other")
GROUPS = [f"article {i}" for i in range(60)]


def task_with(**splits: Slice) -> Task:
    return Task("toy", "pair", QA, ("en",), splits, ("accuracy",), labels=("no",))


@pytest.fixture
def folders(tmp_path: Path, write_dataset: WriteDataset) -> Folders:
    rows = {"title": [g for g in GROUPS for _ in range(2)], "label": ["no"] * 120}
    rows["context"] = [f"paragraph {i}" for i in range(120)]
    other = {"context": ["paragraph 3", "paragraph 4", "nowhere"]}
    return {
        "toy/qa": write_dataset(tmp_path, "toy/qa", {"default": {"train": rows}}),
        "toy/other": write_dataset(tmp_path, "toy/other", {"default": {"test": other}}),
    }


def contexts(folders: Folders, task: Task, use: str, cache: Path, **options: Any) -> list[str]:
    return load_rows(folders, task, use, "en", "0" * 64, cache, **options)["context"]


def test_held_out_groups_are_whole_and_the_rest_is_the_rest(
    folders: Folders, tmp_path: Path
) -> None:
    held = HeldOut("title", percent=20)
    task = task_with(train=Slice("train", without=held), dev=Slice("train", only=held))
    train, dev = (contexts(folders, task, use, tmp_path) for use in ("train", "dev"))
    assert not set(train) & set(dev) and len(train) + len(dev) == 120
    assert 8 <= len(dev) <= 48
    chosen = {g for g in GROUPS if held.holds(g)}
    assert len(dev) == 2 * len(chosen)
    assert count_rows(folders, task, "dev", "en") == len(dev)
    assert count_rows(folders, task, "train", "en") == len(train)


def test_rows_of_another_data_set_are_left_out(folders: Folders, tmp_path: Path) -> None:
    task = task_with(dev=Slice("train", unlike=(OTHER, "test", "context")))
    kept = contexts(folders, task, "dev", tmp_path)
    assert len(kept) == 118 == count_rows(folders, task, "dev", "en")
    assert not {"paragraph 3", "paragraph 4"} & set(kept)


def test_a_limit_takes_the_same_rows_everywhere(folders: Folders, tmp_path: Path) -> None:
    task = task_with(test=Slice("train"))
    few = contexts(folders, task, "test", tmp_path, limit=10)
    assert few == [f"paragraph {i}" for i in sample(120, 10)]
    # A larger sample holds the smaller one.
    assert set(sample(120, 10)) < set(sample(120, 20)) and sample(120, 500) == list(range(120))


REAL = [task for task in known_tasks() if not task.name.startswith("mini_")]


def uses(task: Task, folders: Folders) -> Iterator[tuple[str, str]]:
    """The uses and languages of a task that the mirror has."""
    for use in task.splits:
        declared = {
            (one.origin.hub_id, *key)
            for one in task.slices_of(use)
            if one.origin.hub_id in folders
            for key in declared_files(folders[one.origin.hub_id])
        }
        for language in task.languages_of(use):
            wanted = {
                (one.origin.hub_id, config, one.split)
                for one in task.slices_of(use)
                for config in one.origin.configs_of(language)
            }
            if wanted <= declared:
                yield use, language


@pytest.mark.parametrize("task", REAL, ids=lambda task: task.name)
def test_every_entry_reads_its_real_records(task: Task, records: Folders, tmp_path: Path) -> None:
    found = list(uses(task, records))
    assert found or task.name == "mlm", "Wikipedia alone has no records here"
    for use, language in found:
        if language in ("en", "de", "th", "zh"):
            columns = load_rows(records, task, use, language, "0" * 64, tmp_path)
            own = [values for name, values in columns.items() if "." not in name]
            assert {len(values) for values in own} == {count_rows(records, task, use, language)}


SCORED = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "tatoeba")


@pytest.mark.parametrize(
    "name", ["squad_v1", "squad_v2", "xquad", "tydiqa", "mnli", "anli_plus", "qqp", "xnli", "pawsx"]
)
def test_nothing_that_selects_is_scored(name: str, records: Folders, tmp_path: Path) -> None:
    """No paragraph or premise of a selection set stands in the English test set of a target."""
    column = "context" if lookup(name).kind == "span" else "premise"
    selecting = set(load_rows(records, lookup(name), "dev", "en", "0" * 64, tmp_path)[column])
    assert selecting
    for target in map(lookup, SCORED):
        if target.kind == lookup(name).kind:
            scored = load_rows(records, target, "test", "en", "0" * 64, tmp_path)[column]
            assert not selecting & set(scored), target.name


def test_without_the_rule_squad_dev_would_select_on_xquad(records: Folders, tmp_path: Path) -> None:
    """The overlap is real: the rule has something to leave out."""
    whole = Task("whole", "span", lookup("squad_v1").source, ("en",), {"dev": "validation"}, ())
    selecting = set(load_rows(records, whole, "dev", "en", "0" * 64, tmp_path)["context"])
    scored = load_rows(records, lookup("xquad"), "test", "en", "0" * 64, tmp_path)["context"]
    assert selecting & set(scored)
