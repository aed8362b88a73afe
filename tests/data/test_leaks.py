"""No row that is scored, or that selects for a target, is trained on, whichever tasks meet.

Over all pairs of tasks, on real records and on the miniature benchmark. Rows are compared by their
ids where these are global, and by normalised text. Texts of fewer than eight words recur by chance,
and published splits of one data set share rows of their own: both are counted, not failed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.hub_layout import declared_files
from xstilts.data.sources import Folders, load_rows
from xstilts.tasks import Task, known_tasks
from xstilts.tasks.intermediate import MINI_LANGUAGES

from .reading import REAL, uses

LONG = 8
SCORED = ("test", "validation")
TRAINING_LANGUAGES = ("en", "de", "zh")
"""Languages of translated and MLM text that are compared; targets are compared in all."""


@dataclass(frozen=True)
class Rows:
    """The rows of one use: ids that are global, long and short texts."""

    task: str
    use: str
    origins: frozenset[tuple[str, str]]
    ids: set[str] = field(default_factory=set)
    long: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)

    def is_published_beside(self, other: Rows) -> bool:
        """Whether the two are different splits of one data set, as it publishes them."""
        mine, theirs = ({name for name, _ in rows.origins} for rows in (self, other))
        return bool(mine & theirs) and not self.origins & other.origins


def texts_of(task: Task, columns: Mapping[str, list[Any]]) -> Iterator[str]:
    if task.kind == "pair":
        yield from map(" ".join, zip(columns["premise"], columns["hypothesis"], strict=True))
    elif task.kind == "choice":
        for prompt, choices in zip(columns["prompt"], columns["choices"], strict=True):
            yield " ".join([prompt, *choices])
    elif task.kind == "tagging":
        yield from map(" ".join, columns["tokens"])
    elif task.kind == "span":
        yield from columns["context"]
    elif task.kind == "retrieval":
        yield from columns["source_sentence"]
    elif task.kind == "mining":
        yield from (*columns["sentence"], *columns["en.sentence"])
    elif task.kind == "dual_encoder":  # of a mention the entity may be any text's
        yield from columns["query"]
    else:
        yield from columns["text"]


def normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def read(task: Task, use: str, languages: list[str], folders: Folders) -> Rows:
    found = Rows(task.name, use, task.origins_of(use))
    for language in languages:
        columns = load_rows(folders, task, use, language)
        if task.kind == "span":  # most others count their rows, which is no name
            found.ids.update(map(str, columns["id"]))
        elif task.kind == "dual_encoder":  # of questions in other languages their own
            found.ids.update(columns.get("item", columns["id"]))
        for text in map(normalised, texts_of(task, columns)):
            (found.long if text.count(" ") + 1 >= LONG else found.short).add(text)
    return found


def all_rows(folders: Folders, tasks: list[Task]) -> list[Rows]:
    found = []
    for task in tasks:
        by_use: dict[str, list[str]] = {}
        for use, language in uses(task, folders):
            if use in SCORED or language in (*TRAINING_LANGUAGES, *MINI_LANGUAGES):
                by_use.setdefault(use, []).append(language)
        found += [read(task, use, languages, folders) for use, languages in by_use.items()]
        if task.translations and task.translations.hub_id in folders:
            translated = task.variant(translated=True, where=None)
            languages = [x for x in task.translated_languages if x in TRAINING_LANGUAGES]
            if ("de", "train") in declared_files(folders[task.translations.hub_id]):
                found.append(read(translated, "train", languages, folders))
    return found


def leaks(rows: list[Rows]) -> tuple[list[str], Counter[tuple[str, str, str]]]:
    """What leaks, a line each, and what is only counted."""
    targets = {task.name for task in known_tasks() if task.is_target}
    judging = {"train": ("dev", *SCORED), "dev": ("test",)}
    failed, counted = [], Counter[tuple[str, str, str]]()
    for seen in rows:
        for scored in rows:
            if scored.task not in targets or scored.use not in judging.get(seen.use, ()):
                continue
            pair = f"{seen.task} {seen.use}", f"{scored.task} {scored.use}"
            ids, long = seen.ids & scored.ids, seen.long & scored.long
            if seen.is_published_beside(scored):
                counted[*pair, "its own"] += len(long)
            elif ids or long:
                example = sorted(long or ids)[0]
                failed.append(f"{pair}: {len(ids)} ids, {len(long)} texts, such as {example!r}")
            counted[*pair, "short"] += len(seen.short & scored.short)
    return failed, +counted


@pytest.fixture(scope="module")
def real_rows(records: Folders) -> list[Rows]:
    return all_rows(records, REAL)


def test_no_real_record_leaks(real_rows: list[Rows]) -> None:
    trained = {rows.task for rows in real_rows if rows.use == "train"}
    assert {"squad_v1", "xquad", "tydiqa", "mnli", "xnli", "pawsx", "anli_plus"} <= trained
    failed, counted = leaks(real_rows)
    for (seen, scored, why), count in sorted(counted.items()):
        print(f"{seen:24} {scored:24} {why:8} {count}")
    assert not failed, "\n".join(failed)


def test_nor_where_whole_articles_are_held_out(records: Folders) -> None:
    tasks = [task.held_apart() for task in REAL if task.apart]
    rows = all_rows(records, tasks)
    assert {("xquad", "dev"), ("xquad", "train"), ("squad_v1", "train")} <= {
        (found.task, found.use) for found in rows
    }
    failed, _ = leaks(rows)
    assert not failed, "\n".join(failed)


def test_intermediates_and_targets_select_on_different_articles_of_squad(
    real_rows: list[Rows],
) -> None:
    dev = {rows.task: rows for rows in real_rows if rows.use == "dev"}
    assert dev["xquad"].ids == dev["mlqa"].ids
    for name in ("squad_v1", "squad_v2"):
        assert dev[name].ids and not dev[name].ids & dev["xquad"].ids
        assert not dev[name].long & dev["xquad"].long


def test_nothing_of_the_miniature_benchmark_leaks(shared_mini: Path) -> None:
    folders = {f"xstilts/{path.name}": path for path in (shared_mini / "xstilts").iterdir()}
    tasks = [task for task in known_tasks() if task.name.startswith("mini_")]
    rows = all_rows(folders, tasks)
    assert {task.name for task in tasks} == {found.task for found in rows}
    failed, _ = leaks(rows)
    assert not failed, "\n".join(failed)


def test_a_leak_would_be_seen(real_rows: list[Rows]) -> None:
    xquad = next(rows for rows in real_rows if (rows.task, rows.use) == ("xquad", "test"))
    copied = Rows("mnli", "train", frozenset({("mnli", "train")}), long={min(xquad.long)})
    assert len(leaks([copied, xquad])[0]) == 1
