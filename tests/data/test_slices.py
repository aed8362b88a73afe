"""Slices: which rows of a split belong to a use, and that none of them is scored as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Value

from xstilts.data.samples import sample
from xstilts.data.sources import Folders, count_rows, divided_otherwise, load_rows
from xstilts.errors import DataError
from xstilts.tasks import HeldOut, Slice, Source, Task, lookup

from .reading import REAL, uses

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


def contexts(folders: Folders, task: Task, use: str, **options: Any) -> list[str]:
    return load_rows(folders, task, use, "en", **options)["context"]


def test_held_out_groups_are_whole_and_the_rest_is_the_rest(folders: Folders) -> None:
    held = HeldOut("title", percent=20)
    task = task_with(train=Slice("train", without=held), dev=Slice("train", only=held))
    train, dev = (contexts(folders, task, use) for use in ("train", "dev"))
    assert not set(train) & set(dev) and len(train) + len(dev) == 120
    assert 8 <= len(dev) <= 48
    chosen = {g for g in GROUPS if held.holds(g)}
    assert len(dev) == 2 * len(chosen)
    assert count_rows(folders, task, "dev", "en") == len(dev)
    assert count_rows(folders, task, "train", "en") == len(train)


def test_rows_of_another_data_set_are_left_out(folders: Folders) -> None:
    task = task_with(dev=Slice("train", unlike=(OTHER, "test", "context")))
    kept = contexts(folders, task, "dev")
    assert len(kept) == 118 == count_rows(folders, task, "dev", "en")
    assert not {"paragraph 3", "paragraph 4"} & set(kept)


def test_a_limit_takes_the_same_rows_everywhere(folders: Folders) -> None:
    task = task_with(test=Slice("train"))
    few = contexts(folders, task, "test", limit=10)
    assert few == [f"paragraph {i}" for i in sample(120, 10)]
    # A larger sample holds the smaller one.
    assert set(sample(120, 10)) < set(sample(120, 20)) and sample(120, 500) == list(range(120))


NO_RECORDS = ("mlm", "mewslix", "ccg", "mnli_genres", "scinli", "mednli", "ntrex")
"""Wikipedia, what is licensed, the copy of MNLI that keeps genres, and what could not be had: the
importers' tests read files of their forms."""


@pytest.mark.parametrize("task", REAL, ids=lambda task: task.name)
def test_every_entry_reads_its_real_records(task: Task, records: Folders) -> None:
    found = list(uses(task, records))
    assert found or task.name in NO_RECORDS
    for use, language in found:
        if language in ("en", "de", "th", "zh"):
            columns = load_rows(records, task, use, language)
            own = [values for name, values in columns.items() if "." not in name]
            assert {len(values) for values in own} == {count_rows(records, task, use, language)}


SCORED = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "tatoeba")


@pytest.mark.parametrize(
    "name", ["squad_v1", "squad_v2", "xquad", "tydiqa", "mnli", "anli_plus", "qqp", "xnli", "pawsx"]
)
def test_nothing_that_selects_is_scored(name: str, records: Folders) -> None:
    """No paragraph or pair of a selection set stands in the English test set of a target."""
    task = lookup(name)

    def items(of: Task, use: str) -> set[Any]:
        rows = load_rows(records, of, use, "en")
        if of.kind == "span":
            return set(rows["context"])
        # PAWS-X as published has sentences of its dev set in its test set, in other pairs.
        return set(zip(rows["premise"], rows["hypothesis"], strict=True))

    selecting = items(task, "dev")
    assert selecting
    targets = [target for target in map(lookup, SCORED) if target.kind == task.kind]
    compared = [target for target in targets if ("test", "en") in uses(target, records)]
    assert compared
    for target in compared:
        assert not selecting & items(target, "test"), target.name


def test_without_the_rule_squad_dev_would_select_on_xquad(records: Folders) -> None:
    """The overlap is real: the rule has something to leave out."""
    whole = Task("whole", "span", lookup("squad_v1").source, ("en",), {"dev": "validation"}, ())
    selecting = set(load_rows(records, whole, "dev", "en")["context"])
    scored = load_rows(records, lookup("xquad"), "test", "en")["context"]
    assert selecting & set(scored)


def test_translated_rows_come_from_their_own_data_set(records: Folders) -> None:
    mnli, xnli = lookup("mnli"), lookup("xnli").source
    german = mnli.variant(translated=True, where=None)
    rows = load_rows(records, german, "train", "de")
    plain = Task("t", "pair", xnli, ("de",), {"train": "train"}, (), labels=mnli.labels)
    assert rows["premise"] == load_rows(records, plain, "train", "de")["premise"]
    assert german.splits["dev"] == mnli.splits["dev"], "what selects stays English"
    assert mnli.variant(translated=False, where=None) is mnli


def test_a_filter_keeps_the_rows_with_a_value(folders: Folders) -> None:
    task = task_with(train=Slice("train")).variant(False, ("title", GROUPS[3]))
    assert contexts(folders, task, "train") == ["paragraph 6", "paragraph 7"]
    assert count_rows(folders, task, "train", "en") == 2
    wrong = task_with(train=Slice("train")).variant(False, ("genre", "fiction"))
    with pytest.raises(DataError, match="has no column 'genre'; it has context, label, title"):
        contexts(folders, wrong, "train")


def test_slices_are_joined_and_rows_without_a_label_dropped(
    tmp_path: Path, write_dataset: WriteDataset
) -> None:
    one = {"premise": ["a", "b"], "hypothesis": ["x", "y"], "label": [0, -1], "uid": ["1", "2"]}
    other = {"premise": ["c"], "hypothesis": ["z"], "label": [1]}
    features = {"premise": Value("string"), "hypothesis": Value("string")}
    label = ClassLabel(names=["no", "yes"])
    folders = {
        "toy/one": write_dataset(
            tmp_path,
            "toy/one",
            {"default": {"train": one}},
            features={**features, "label": label, "uid": Value("string")},
        ),
        "toy/two": write_dataset(
            tmp_path,
            "toy/two",
            {"default": {"train": other}},
            features={**features, "label": label},
        ),
    }
    source = Source("toy/one")
    joined = (Slice("train", labelled="label"), Slice("train", Source("toy/two")))
    task = Task("t", "pair", source, ("en",), {"train": joined}, (), labels=("no", "yes"))
    rows = load_rows(folders, task, "train", "en")
    assert rows == {"premise": ["a", "c"], "hypothesis": ["x", "z"], "label": ["no", "yes"]}
    assert count_rows(folders, task, "train", "en") == 2


def test_rows_that_all_lie_on_one_side_are_divided_by_the_second_column(
    tmp_path: Path, write_dataset: WriteDataset
) -> None:
    rows = {"title": ["only"] * 40, "context": [f"paragraph {i // 2}" for i in range(40)]}
    folders = {"toy/qa": write_dataset(tmp_path, "toy/qa", {"default": {"train": rows}})}
    held = HeldOut("title", percent=50, otherwise="context")
    task = task_with(train=Slice("train", without=held), dev=Slice("train", only=held))
    train, dev = (contexts(folders, task, use) for use in ("train", "dev"))
    assert train and dev and not set(train) & set(dev) and len(train) + len(dev) == 40
    assert divided_otherwise(folders, task, "dev") == (
        "toy: toy/qa train has too few titles and is divided by context"
    )
    whole = task_with(dev=Slice("train", only=HeldOut("title", percent=50)))
    assert len(contexts(folders, whole, "dev")) in (0, 40)
    assert not divided_otherwise(folders, whole, "dev")


def test_what_is_left_out_is_left_out_of_both_sides(folders: Folders) -> None:
    held = HeldOut("title", percent=50, otherwise="context")
    unlike = (OTHER, "test", "context")
    task = task_with(
        train=Slice("train", unlike=unlike, without=held),
        dev=Slice("train", unlike=unlike, only=held),
    )
    train, dev = (contexts(folders, task, use) for use in ("train", "dev"))
    assert len(train) + len(dev) == 118 and not {"paragraph 3", "paragraph 4"} & {*train, *dev}
    assert count_rows(folders, task, "dev", "en") == len(dev)
    assert not divided_otherwise(folders, task, "dev")
