"""Training rows in several languages with the same items in each, or each item in one alone, from
the sweep file to the rows that are encoded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import parse_sweep
from xstilts.data.natural import read
from xstilts.errors import ConfigError
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Rows, Train, fingerprint
from xstilts.run.inputs import take_inventory
from xstilts.search.proposals import target_points
from xstilts.tasks import Source, Task, further

from ..conftest import make_places

LANGUAGES = ("aa", "bb", "cc")
ROWS = 20
LACKS = {"aa": {1, 2}, "bb": {2, 3, 4}, "cc": {19}}
"""Questions that a translation into a language has lost."""


def pairs(language: str, count: int = ROWS) -> dict[str, list[Any]]:
    text = [f"{language} {i}" for i in range(count)]
    return {"premise": text, "hypothesis": text, "label": ["x", "y"] * (count // 2)}


def questions(language: str) -> dict[str, list[Any]]:
    kept = [i for i in range(ROWS) if i not in LACKS[language]]
    context = [f"{language} {i} word" for i in kept]
    answers = [{"text": [language], "answer_start": [0]} for _ in kept]
    # Not in the order of another language.
    rows = sorted(zip(kept, context, answers, strict=True), key=lambda row: (row[0] * 7) % ROWS)
    numbers, contexts, given = (list(column) for column in zip(*rows, strict=True))
    ids = [f"q{i}" for i in numbers]
    return {"id": ids, "context": contexts, "question": contexts, "answers": given}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Path:

    folder = tmp_path_factory.mktemp("shared")
    for source in shared_mini.iterdir():
        (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture
def planner(
    root: Path,
    tmp_path: Path,
    write_dataset: Any,
    declare: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    entries, places = list(further.ENTRIES), make_places(tmp_path)
    uneven = {"aa": 20, "bb": 18, "cc": 20}
    uses = {"train": "train", "test": "test"}
    for name, make in (
        ("pairs", pairs),
        ("questions", questions),
        ("uneven", lambda x: pairs(x, uneven[x])),
    ):
        kind, labels = ("span", ()) if name == "questions" else ("pair", ("x", "y"))
        source = Source(f"me/{name}", config="{language}")
        metrics = ("f1",) if kind == "span" else ("accuracy",)
        entries.append(
            Task(name, kind, source, LANGUAGES, uses, metrics, labels=labels, train_language="aa")
        )
        if not (root / "me" / name).exists():
            columns = {x: make(x) for x in LANGUAGES}
            configs = {x: {"train": own, "test": own} for x, own in columns.items()}
            write_dataset(root, f"me/{name}", configs)

        declare(entries[-1])
    monkeypatch.setattr(further, "ENTRIES", entries)

    def planned(**spec: Any) -> Planner:
        document = {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(root)},
            "intermediates": {"many": {"languages": list(LANGUAGES), **spec}},
            "targets": ["mini_xnli"],
        }
        sweep = parse_sweep(document, "s.yaml")
        inventory = take_inventory(sweep, places)
        return Planner(sweep, inventory, target_points(sweep))

    return planned


def rows_of(planner: Planner) -> tuple[Train, Rows]:
    stage = planner.plan({"intermediate": "many", "model": "mini"}, 0).encoder
    assert isinstance(stage, Train)
    (part,) = stage.parts
    return stage, part.train


def numbers(planner: Planner) -> dict[str, list[int]]:
    """The items that are read of every language."""
    _, rows = rows_of(planner)
    folders = {name: Path(folder) for name, folder in planner.inventory.folders.items()}
    column = "context" if rows.task == "questions" else "premise"
    found = {}
    for language, count in rows.rows:
        texts = read(folders, rows, language, rows.limit)[column]
        assert len(texts) == count and all(text.startswith(language) for text in texts)
        found[language] = sorted(int(text.split()[1]) for text in texts)
    return found


@pytest.mark.parametrize("task", ["pairs", "questions"])
def test_the_items_of_languages_are_the_same_or_none_of_them(planner: Any, task: str) -> None:
    parallel = numbers(planner(tasks=[task], items="parallel", examples=5))
    assert len(parallel["aa"]) == 5 and len({*map(tuple, parallel.values())}) == 1
    disjoint = numbers(planner(tasks=[task], items="disjoint", examples=4))
    every = [item for own in disjoint.values() for item in own]
    assert len(every) == len({*every}) == 12
    # Without a number all that there are, divided evenly: questions that every language has.
    there = set(range(ROWS)).difference(*(LACKS.values() if task == "questions" else ()))
    whole = numbers(planner(tasks=[task], items="disjoint"))
    assert {len(own) for own in whole.values()} == {len(there) // 3}
    assert {item for own in whole.values() for item in own} <= there
    assert all(len({*own}) == len(own) for own in whole.values())


def test_only_other_rows_are_another_stage(planner: Any) -> None:
    plain = fingerprint(rows_of(planner(tasks=["pairs"], examples=4))[0])
    # Rows that join by their place are parallel wherever they are capped.
    assert fingerprint(rows_of(planner(tasks=["pairs"], examples=4, items="parallel"))[0]) == plain
    disjoint = planner(tasks=["pairs"], examples=4, items="disjoint")
    assert fingerprint(rows_of(disjoint)[0]) != plain
    by_id = [planner(tasks=["questions"], examples=4, **own) for own in ({}, {"items": "parallel"})]
    first, second = (fingerprint(rows_of(own)[0]) for own in by_id)
    assert first != second


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"tasks": ["pairs"], "items": "disjoint", "examples": 7}, "intermediates.many.examples: "
         "pairs has 20 items for 3 languages, 6 for each where none is in two; got 7; write 6 or "
         "less"),
        ({"tasks": ["uneven"], "items": "parallel"}, "intermediates.many.items: uneven: which rows "
         "of its languages are one item cannot be told: they have no ids, and as many rows only "
         "where all were translated (aa 20, bb 18, cc 20); leave `items` out"),
        ({"tasks": ["pairs"], "items": "disjoint", "languages": ["aa"]}, "intermediates.many.items"
         ": items are shared, or not, by several languages; got languages: ['aa']; write lang"),
        ({"tasks": ["pairs"], "items": "apart"}, "intermediates.many.items: "),
    ],
)  # fmt: skip
def test_items_that_cannot_be_had_are_one_line(
    planner: Any, spec: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)) as raised:
        planner(**spec)
    assert len(raised.value.problems) == 1
