"""Score a folder of predictions in XTREME's submission layout exactly as its scorer does.

`<folder>/<task>/test-<language>.tsv` (QA: `.json`), labels in the same layout. Files are read as
the scorer of google-research/xtreme reads them (`evaluate.py` at commit 838c13b), down to blank
lines, so any input on which it gives a number gives the same number here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from xstilts.errors import ConfigError, Problem
from xstilts.scores import metrics
from xstilts.scores.table import task_score
from xstilts.tasks import Task, lookup
from xstilts.tasks.benchmarks import BENCHMARKS, groups_of

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One task: metrics by language, 0-100, their plain means over the languages, and the mean of
    those that count (exact match and F1 of QA, else one), which groups and the overall mean read.
    """

    per_language: Mapping[str, Scores]
    average: Scores
    metric: float


@dataclass(frozen=True, slots=True)
class Official:
    """All scores of a folder; groups and the overall mean only where all their tasks are."""

    tasks: Mapping[str, TaskScores]
    groups: Scores
    overall: float | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; `average` has, as the official scorer's, the task's `metric` too."""
        tasks = {
            name: {
                "average": {**scores.average, "metric": scores.metric},
                "per_language": dict(scores.per_language),
            }
            for name, scores in self.tasks.items()
        }
        return {"tasks": tasks, "groups": self.groups, "overall": self.overall}


def score_folder(predictions: Path, labels: Path) -> Official:
    """The scores of every XTREME task that both folders have.

    Raises:
        ConfigError: the folders share no task, a language's file is missing or unreadable, or the
            numbers of examples differ.
    """
    names = BENCHMARKS["xtreme"].targets
    found = [name for name in names if (predictions / name).is_dir() and (labels / name).is_dir()]
    if not found:
        rule = "must have a folder for at least one task that the labels have"
        repair = f"folders are named {', '.join(names)}"
        raise ConfigError([Problem(str(predictions), rule, f'labels "{labels}"', repair)])
    tasks = {name: _score_task(lookup(name), predictions / name, labels / name) for name in found}
    means = {name: scores.metric for name, scores in tasks.items()}
    groups = {}
    for group, members in groups_of([lookup(name) for name in names]).items():
        if all(task.name in means for task in members):
            groups[group] = fmean(means[task.name] for task in members)
    overall = fmean(means.values()) if len(means) == len(names) else None
    return Official(tasks, groups, overall)


def file_name(task: Task, language: str) -> str:
    """The name of a language's file in the submission layout."""
    return f"test-{language}.{task.kind_spec.file_ending}"


def _score_task(task: Task, predictions: Path, labels: Path) -> TaskScores:
    per_language: dict[str, Scores] = {}
    problems: list[Problem] = []
    for language in task.languages:
        name = file_name(task, language)
        try:
            per_language[language] = _score_file(task, language, predictions / name, labels / name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    first = next(iter(per_language.values()))
    average = {name: fmean(scores[name] for scores in per_language.values()) for name in first}
    return TaskScores(per_language, average, task_score(task.metrics, average))


def _score_file(task: Task, language: str, predictions: Path, labels: Path) -> Scores:
    reader, scorer = _RULES[task.kind]
    gold, predicted = (_read(path, reader) for path in (labels, predictions))
    unit = {"label": "lines", "tags": "sentences"}.get(task.kind_spec.prediction)
    if unit is not None and len(gold) != len(predicted):
        rule = f"must have as many {unit} as {labels}"
        got = f"{len(predicted)} {unit}, not {len(gold)}"
        raise ConfigError([Problem(str(predictions), rule, got)])
    try:
        return scorer(task, language, gold, predicted)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        rule = f"cannot be scored against {labels}"
        raise ConfigError([Problem(str(predictions), rule, f"{error}")]) from error


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        rule = "must be there and readable"
        raise ConfigError([Problem(str(path), rule, f"{reason}")]) from error


def read_lines(path: Path) -> list[str]:
    """Lines without blanks around them; a blank line is a line."""
    with path.open(encoding="utf-8-sig") as stream:
        return [line.strip() for line in stream]


def read_sentences(path: Path) -> list[list[str]]:
    """Tags by sentence; each blank line ends one, so two in a row hold an empty sentence."""
    sentences: list[list[str]] = []
    tags: list[str] = []
    for line in read_lines(path):
        if line:
            tags.append(line)
        else:
            sentences.append(tags)
            tags = []
    return [*sentences, tags] if tags else sentences


def _read_json(path: Path) -> Any:
    with path.open(encoding="utf-8-sig") as stream:
        value = json.load(stream)
    return value.get("data", value) if isinstance(value, dict) else value


def _accuracy(task: Task, language: str, gold: list[str], predicted: list[str]) -> Scores:
    return {"accuracy": metrics.accuracy(gold, predicted)}


def _chunks(task: Task, language: str, gold: list[list[str]], predicted: list[list[str]]) -> Scores:
    return metrics.chunk_scores(gold, predicted)


def _pairs(task: Task, language: str, gold: list[str], predicted: list[str]) -> Scores:
    sets = [{tuple(line.split("\t")) for line in lines} for lines in (gold, predicted)]
    return metrics.overlap_scores(*sets)


def _answers(
    task: Task, language: str, gold: Sequence[Mapping[str, Any]], predicted: Mapping[str, str]
) -> Scores:
    questions = [
        question
        for article in gold
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return metrics.answer_scores(
        [[answer["text"] for answer in question["answers"]] for question in questions],
        [predicted.get(question["id"]) for question in questions],
        metrics.normalizer(task.normalization, language),
    )


_RULES: Mapping[str, tuple[Callable[[Path], Any], Callable[..., Scores]]] = {
    "pair": (read_lines, _accuracy),
    "tagging": (read_sentences, _chunks),
    "retrieval": (read_lines, _accuracy),
    "mining": (read_lines, _pairs),
    "span": (_read_json, _answers),
}
