"""Score a folder of predictions in a benchmark's submission layout exactly as its scorer does.

`<folder>/<task>/test-<language>.tsv` (QA and Mewsli-X: `.json`, XCOPA: `.jsonl`), labels in the
same layout. Files are read as the scorer of google-research/xtreme reads them (`evaluate.py` at
commit 838c13b, for XTREME and for XTREME-R), down to blank lines, so any input on which it gives a
number gives the same number here.

Of XTREME-R's ten tasks that scorer reads nine: for LAReQA it has no languages, and so no mean over
all tasks. Both are ours: `lareqa/predictions.json` has the ranking of every question, all
languages in one file, for its pool is one, and `lareqa/labels.json` their gold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from xstilts.errors import ConfigError, Problem
from xstilts.scores import metrics
from xstilts.scores.table import task_score
from xstilts.tasks import Task, lookup, suggest
from xstilts.tasks.benchmarks import BENCHMARKS, Benchmark, groups_of

Scores = dict[str, float]

XTREME = "xtreme"
SCORED = (XTREME, "xtreme-r")
"""The benchmarks whose scorer is known."""

LAREQA = "lareqa"
PREDICTIONS, LABELS = "predictions.json", "labels.json"
"""LAReQA's files: `{question id: [candidate ids, best first]}` and `{question id: [gold ids]}`."""


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One task: metrics by language, 0-100, their plain means over the languages, and the mean of
    those that count (exact match and F1 of QA, else one), which groups and the overall mean read.

    LAReQA's is a mean over questions; it is that of the languages where all have as many.
    """

    per_language: Mapping[str, Scores]
    average: Scores
    metric: float

    def to_official(self) -> dict[str, Any]:
        """As the official scorer writes it: by metric, then by language."""
        names = self.average
        of = {name: {x: y[name] for x, y in self.per_language.items()} for name in names}
        averages = {f"avg_{name}": value for name, value in self.average.items()}
        return {**of, **averages, "avg_metric": self.metric}


@dataclass(frozen=True, slots=True)
class Official:
    """All scores of a folder; groups and the overall mean only where all their tasks are. `notes`
    say, a line each, what of the folders is not scored and why."""

    tasks: Mapping[str, TaskScores]
    groups: Scores
    overall: float | None
    benchmark: str = XTREME
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict. Of XTREME tasks, groups and the overall mean, each task's `average`
        with its `metric`; of XTREME-R what the official scorer writes, groups and tasks side by
        side, and under `xstilts` what it does not have.
        """
        if self.benchmark == XTREME:
            tasks = {
                name: {
                    "average": {**scores.average, "metric": scores.metric},
                    "per_language": dict(scores.per_language),
                }
                for name, scores in self.tasks.items()
            }
            return {"tasks": tasks, "groups": self.groups, "overall": self.overall}
        whole = {name: scores.to_official() for name, scores in self.tasks.items()}
        own = {
            "benchmark": self.benchmark,
            "overall": self.overall,
            LAREQA: whole.pop(LAREQA, None),
        }
        return {**self.groups, **whole, "xstilts": own}


def score_folder(predictions: Path, labels: Path, benchmark: str = XTREME) -> Official:
    """The scores of every task of the benchmark that both folders have.

    Raises:
        ConfigError: there is no scorer of that benchmark, the folders share no task, a language's
            file is missing or unreadable, or the numbers of examples differ.
    """
    if benchmark not in SCORED:
        rule = "no official scorer of it is known"
        raise ConfigError(
            [Problem("benchmark", rule, f'"{benchmark}"', suggest(benchmark, SCORED))]
        )
    entry = BENCHMARKS[benchmark]
    notes: list[str] = []
    tasks: dict[str, TaskScores] = {}
    for name in _shared(predictions, labels, entry.targets):
        if name != LAREQA:
            tasks[name] = _score_task(entry, name, predictions / name, labels / name)
        elif missing := _first_missing(predictions / name / PREDICTIONS, labels / name / LABELS):
            notes.append(f"{name}: not scored, there is no {missing}")
        else:
            tasks[name] = _score_lareqa(predictions / name / PREDICTIONS, labels / name / LABELS)
            if holes := [x for x in entry.languages[name] if x not in tasks[name].per_language]:
                notes.append(
                    f"{name}: {labels / name / LABELS} has no questions in {' '.join(holes)}"
                )
    if not tasks:
        rule = "must have a folder for at least one task that the labels have"
        repair = f"folders are named {', '.join(entry.targets)}"
        raise ConfigError([Problem(str(predictions), rule, f'labels "{labels}"', repair)])
    for other in SCORED:
        elsewhere = [name for name in BENCHMARKS[other].targets if name not in entry.targets]
        if left := _shared(predictions, labels, elsewhere):
            notes.append(f"{', '.join(left)}: not scored, of {other} and not of {benchmark}")
    means = {name: scores.metric for name, scores in tasks.items()}
    groups = {
        group: fmean(means[name] for name in names)
        for group, names in _groups(entry).items()
        if means.keys() >= set(names)
    }
    overall = fmean(means.values()) if len(means) == len(entry.targets) else None
    return Official(tasks, groups, overall, benchmark, tuple(notes))


def file_name(task: Task, language: str) -> str:
    """The name of a language's file in the submission layout."""
    form = _FORMS.get(task.name)
    return f"test-{language}.{form.ending if form else task.kind_spec.file_ending}"


def _shared(predictions: Path, labels: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if (predictions / name).is_dir() and (labels / name).is_dir()]


def _first_missing(*paths: Path) -> Path | None:
    return next((path for path in paths if not path.is_file()), None)


def _groups(benchmark: Benchmark) -> Mapping[str, Sequence[str]]:
    if benchmark.groups:
        return benchmark.groups
    found = groups_of([lookup(name) for name in benchmark.targets])
    return {group: [task.name for task in tasks] for group, tasks in found.items()}


def _score_task(benchmark: Benchmark, task: str, predictions: Path, labels: Path) -> TaskScores:
    form = _FORMS[task]
    per_language: dict[str, Scores] = {}
    problems: list[Problem] = []
    for language in benchmark.languages.get(task) or lookup(task).languages:
        name = f"test-{language}.{form.ending}"
        try:
            per_language[language] = _score_file(form, language, predictions / name, labels / name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    first = next(iter(per_language.values()))
    average = {name: fmean(scores[name] for scores in per_language.values()) for name in first}
    return TaskScores(per_language, average, task_score(form.metrics, average))


def _score_file(form: _Form, language: str, predictions: Path, labels: Path) -> Scores:
    gold, predicted = (_read(path, form.read) for path in (labels, predictions))
    if form.unit and len(gold) != len(predicted):
        rule = f"must have as many {form.unit} as {labels}"
        got = f"{len(predicted)} {form.unit}, not {len(gold)}"
        raise ConfigError([Problem(str(predictions), rule, got)])
    try:
        return form.score(language, gold, predicted)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        rule = f"cannot be scored against {labels}"
        raise ConfigError([Problem(str(predictions), rule, f"{error}")]) from error


def _score_lareqa(predictions: Path, labels: Path) -> TaskScores:
    """Mean average precision over all questions; by language the mean over its questions."""
    gold, ranked = (_read(path, _read_lists) for path in (labels, predictions))
    if not gold or not all(gold.values()):
        got = next((f'"{name}": []' for name, ids in gold.items() if not ids), "{}")
        raise ConfigError([Problem(str(labels), "every question must have a gold candidate", got)])
    if missing := [name for name in gold if name not in ranked]:
        rule = f"must have a ranking for every question of {labels}"
        got = f"{len(gold) - len(missing)} of {len(gold)}, none for {', '.join(missing[:3])}"
        raise ConfigError([Problem(str(predictions), rule, got)])
    values = {name: metrics.average_precision(ids, ranked[name]) for name, ids in gold.items()}
    by_language: dict[str, list[float]] = {}
    for name, value in values.items():
        by_language.setdefault(name.rpartition("_")[2], []).append(value)
    per_language = {language: {_MAP: fmean(found)} for language, found in by_language.items()}
    score = fmean(values.values())
    return TaskScores(per_language, {_MAP: score}, score)


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        rule = "must be there and readable"
        raise ConfigError([Problem(str(path), rule, f"{reason}")]) from error


def read_lines(path: Path) -> list[str]:
    """Lines without blanks around them; a blank line is a line."""
    with path.open(encoding="utf-8") as stream:
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


def _read_choices(path: Path) -> list[Any]:
    """The `label` of the object on every line, of whatever type; a blank line is no JSON."""
    return [json.loads(line)["label"] for line in read_lines(path)]


def _read_json(path: Path) -> Any:
    with path.open(encoding="utf-8-sig") as stream:
        value = json.load(stream)
    return value.get("data", value) if isinstance(value, dict) else value


def _read_lists(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8-sig") as stream:
        value = json.load(stream)
    if not isinstance(value, dict):
        raise ValueError("no object of question ids")
    for name, ids in value.items():
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError(f'"{name}" has no list of candidate ids')
    return value


def _accuracy(language: str, gold: list[Any], predicted: list[Any]) -> Scores:
    return {"accuracy": metrics.accuracy(gold, predicted)}


def _chunks(language: str, gold: list[list[str]], predicted: list[list[str]]) -> Scores:
    return metrics.chunk_scores(gold, predicted)


def _pairs(language: str, gold: list[str], predicted: list[str]) -> Scores:
    sets = [{tuple(line.split("\t")) for line in lines} for lines in (gold, predicted)]
    return metrics.overlap_scores(*sets)


def _answers(
    rules: str, language: str, gold: Sequence[Mapping[str, Any]], predicted: Any
) -> Scores:
    """`predicted` is any JSON that says whether it holds an id: a list holds none."""
    questions = [
        question
        for article in gold
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    answered = [question["id"] in predicted for question in questions]
    both = list(zip(questions, answered, strict=True))
    return metrics.answer_scores(
        [[one["text"] for one in question["answers"]] if known else [] for question, known in both],
        [predicted[question["id"]] if known else None for question, known in both],
        metrics.normalizer(rules, language),
    )


def _ranks(language: str, gold: Mapping[str, Sequence[str]], predicted: Any) -> Scores:
    """Of several gold entities the first counts; a file without any has a score of 0."""
    ranks = [
        metrics.reciprocal_rank(entities[0].strip(), predicted.get(name, []))
        for name, entities in gold.items()
    ]
    return {_MAP: fmean(ranks) if ranks else 0.0}


@dataclass(frozen=True, slots=True)
class _Form:
    """What the files of a task are: their ending, how one is read, how two are scored, what of
    them must be as many; and the metrics whose mean is the task's score."""

    ending: str
    read: Callable[[Path], Any]
    score: Callable[[str, Any, Any], Scores]
    metrics: tuple[str, ...]
    unit: str = ""


_MAP = "map@20"
_LABEL = _Form("tsv", read_lines, _accuracy, ("accuracy",), "lines")
_TAGS = _Form("tsv", read_sentences, _chunks, ("f1",), "sentences")
_ANSWER = _Form("json", _read_json, partial(_answers, "squad"), ("exact_match", "f1"))

_FORMS: Mapping[str, _Form] = {
    **dict.fromkeys(("xnli", "pawsx", "tatoeba"), _LABEL),
    "xcopa": replace(_LABEL, ending="jsonl", read=_read_choices),
    **dict.fromkeys(("udpos", "panx"), _TAGS),
    "bucc2018": _Form("tsv", read_lines, _pairs, ("f1",)),
    **dict.fromkeys(("xquad", "tydiqa"), _ANSWER),
    "mlqa": replace(_ANSWER, score=partial(_answers, "mlqa")),
    "mewslix": _Form("json", _read_json, _ranks, (_MAP,)),
}
