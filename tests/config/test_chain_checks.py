"""Wrong chains give one line each, before anything is read; a right one is what targets train."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import links_of, overlaps, reads
from xstilts.config.load import parse_sweep
from xstilts.config.own_tasks import find_task, tasks_named
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.errors import ConfigError

OF_CHOICE = "hellaswag, cosmosqa, commonsenseqa, siqa, copa, mini_choice"


def sweep_of(**changes: Any) -> Sweep:
    return parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "targets": ["xcopa", "xcopa_fixed", "xnli", "tatoeba"],
            **changes,
        },
        "s.yaml",
    )


def own(**changes: Any) -> dict[str, Any]:
    """A sweep whose target is a task of its own without training rows."""
    files = {"test": {"de": "a.jsonl"}}
    tasks = {"mine": {"kind": "choice", "files": files, **changes}}
    return {"tasks": tasks, "targets": ["mine"]}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"train": {"xcopa": ["siqa", "xcopa"]}},
            'train.xcopa[1]: xcopa would be trained in itself; got "xcopa"; name the task whose '
            "rows it is to be trained on",
        ),
        (
            {"train": {"xcopa": ["siqa", "cpoa"]}},
            'train.xcopa[1]: unknown task; got "cpoa"; did you mean "copa"? known: '
            + ", ".join(sorted(OF_CHOICE.split(", "))),
        ),
        (
            {"train": {"xcopa": ["mnli", "copa"]}},
            "train.xcopa[0]: the head is carried, and a link is of the kind of xcopa, choice; "
            f'got "mnli", of kind pair; known: {OF_CHOICE}',
        ),
        (
            {"train": {"xcopa": []}},
            "train.xcopa: a chain names the tasks that are trained on, one after the other; "
            "got []; name one at least, or leave it out",
        ),
        (
            {"train": {"tatoeba": ["mini_tatoeba"]}},
            'train.tatoeba[0]: a link has rows to train on; got "mini_tatoeba", which has none; '
            "drop it",
        ),
        (
            {"train": {"xcopa": ["siqa", "siqa"]}},
            'train.xcopa[1]: a link stands once; got "siqa"',
        ),
        (
            {"train": {"xcopa_fixed": ["siqa"]}},
            "train.xcopa_fixed: xcopa_fixed reads the stage of xcopa, and has no chain of its own; "
            "write it under train.xcopa, for both",
        ),
        (
            {"train": {"pawsx": ["qqp"]}},
            'train.pawsx: is a target of this sweep; got "pawsx"; known: tatoeba, xcopa, '
            "xcopa_fixed, xnli",
        ),
        (
            {"train": {"xnli": ["qqp"]}},
            "train.xnli[0]: the head is carried, and a link has the labels of xnli; got "
            "not_duplicate, duplicate instead of entailment, neutral, contradiction; give both the "
            "same, in this order",
        ),
        (
            {"targets": ["xquad"], "train": {"xquad": ["mlqa"]}},
            'train.xquad[0]: mlqa reads the stage of xquad; got "mlqa"; name xquad',
        ),
        (
            own(train=["xcopa"]),
            'tasks.mine.train[0]: xcopa is trained in a chain itself; got "xcopa"; name its links: '
            "siqa, copa",
        ),
        (
            own(train=["mine"]),
            'tasks.mine.train[0]: mine would be trained in itself; got "mine"; name the task whose '
            "rows it is to be trained on",
        ),
        (
            own(train=[]),
            "tasks.mine.train: a chain names the tasks that are trained on, one after the other; "
            "got []; name one at least, or leave it out",
        ),
        (
            own(train=["siqa"], files={"train": "b.jsonl", "test": {"de": "a.jsonl"}}),
            "tasks.mine.files.train: the rows are those of the tasks that `train` names; leave one "
            "of the two out",
        ),
        (
            {"intermediates": {"x": {"tasks": ["xcopa"]}}},
            "intermediates.x.tasks[0]: xcopa is trained in a chain, and has no rows of its own; "
            "name siqa or copa",
        ),
        (
            {"targets": ["xcopa"], "selection": {"pivot": ["th"]}},
            "selection.pivot: no target has a training stage that dev labels could select; got "
            "['xcopa']; leave it out",
        ),
    ],
)
def test_a_wrong_chain_gives_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        sweep_of(**changes)
    assert [str(problem) for problem in refused.value.problems] == [f"s.yaml: {line}"]


def names(sweep: Sweep, head: str) -> list[str]:
    return [link.name for link in links_of(sweep, head)]


def test_xcopa_is_trained_on_siqa_then_copa_unless_the_file_says_otherwise() -> None:
    sweep = sweep_of()
    assert names(sweep, "xcopa") == ["siqa", "copa"] and names(sweep, "xnli") == ["xnli"]
    assert find_task(sweep, "xcopa_fixed").head == "xcopa"
    assert {"siqa", "copa"} <= tasks_named(sweep)
    found = {(task.name, use, language) for task, use, language in reads(sweep)}
    for link in ("siqa", "copa"):
        assert {(link, "train", "en"), (link, "dev", "en")} <= found
    assert not any(task == "xcopa" and use in ("train", "dev") for task, use, _ in found)
    other = sweep_of(train={"xcopa": ["hellaswag"]})
    assert names(other, "xcopa") == ["hellaswag"]
    # What it learns and is selected by are the rows of the last link.
    task, last = find_task(other, "xcopa"), find_task(other, "hellaswag")
    for use in ("train", "dev"):
        assert task.origins_of(use) == last.origins_of(use)
    assert task.slices_of("test") == find_task(sweep, "xcopa").slices_of("test")


def test_a_task_of_ones_own_is_trained_in_a_chain() -> None:
    sweep = sweep_of(**own(train=["siqa", "copa"]))
    task = find_task(sweep, "mine")
    assert task.is_target and task.is_trained and task.chain == ("siqa", "copa")
    assert names(sweep, "mine") == ["siqa", "copa"]


def test_every_link_overlaps_with_an_intermediate_that_trains_on_its_rows() -> None:
    sweep = sweep_of(
        intermediates={name: {"tasks": [name]} for name in ("siqa", "copa", "hellaswag", "mnli")}
    )
    for target in ("xcopa", "xcopa_fixed"):
        found = [name for name in sweep.intermediates if overlaps(sweep, name, target)]
        assert found == ["siqa", "copa"]
    assert [x for x in sweep.intermediates if overlaps(sweep, x, "xnli")] == ["mnli"]


def test_dev_rows_of_xcopa_are_translations_of_the_dev_set_that_selects() -> None:
    assert not [line for line in selection_notes(sweep_of()) if line.startswith("xcopa")]
    sweep = sweep_of(evaluation={"split": "validation"}, targets=["xcopa", "xnli"])
    assert "xcopa: selected on the rows that are scored (all languages, by translation)" in [
        *selection_notes(sweep)
    ]
