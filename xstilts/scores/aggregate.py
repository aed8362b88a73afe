"""Averages of one trial, as XTREME takes them, and never over a hole.

Task score: plain mean over languages, for QA the mean of EM and F1. Group: mean of its tasks.
Overall: mean of tasks, not of groups. An average whose parts are not all there is absent, and
`missing` says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from xstilts.scores.table import ChosenScores
from xstilts.tasks import Task
from xstilts.tasks.benchmarks import CUSTOM, Benchmark, groups_of

AVERAGE = "avg"
"""Stands for the mean of the targets that have a dev set, among their names."""

METRIC_KEYS = {"exact_match": "em", "f1": "f1", "accuracy": "accuracy"}


@dataclass(frozen=True, slots=True)
class Averages:
    """Metrics by their MLflow name, 0-100, and why averages are absent."""

    metrics: Mapping[str, float]
    missing: Sequence[str] = field(default_factory=list)


def averages(
    table: ChosenScores,
    targets: Sequence[Task],
    languages: Mapping[str, Sequence[str]],
    benchmark: Benchmark | None,
    split: str,
    is_whole: bool = True,
) -> Averages:
    """All averages of one trial's table.

    Args:
        table: the trial's scores.
        targets: the sweep's targets.
        languages: the languages that each target is to be evaluated in.
        benchmark: what the sweep file names; its average is written only if it is whole. None
            where the file names none.
        split: what was scored.
        is_whole: whether `targets` are all of the sweep's; of some there is no average.
    """
    metrics: dict[str, float] = {}
    missing: list[str] = []
    for task in targets:
        found = _target_metrics(table, task, languages[task.name])
        metrics |= found
        if f"{task.name}/avg" not in found:
            missing.append(f"{task.name} lacks languages")
    _add_dev(metrics, table, targets, missing)
    if not is_whole:
        metrics.pop(f"dev/{AVERAGE}", None)
        return Averages(metrics, missing)
    tasks = [task for task in targets if f"{task.name}/avg" in metrics]
    for group, wanted in groups_of(targets).items():
        if all(task in tasks for task in wanted):
            metrics[f"group/{group}"] = fmean(metrics[f"{task.name}/avg"] for task in wanted)
    if len(tasks) == len(targets):
        reason = benchmark.lacks(targets, languages, split) if benchmark else ""
        missing += [reason] if reason else []
        _add_overall(metrics, CUSTOM if benchmark is None or reason else benchmark.name, targets)
    return Averages(metrics, missing)


def average_of(score: Mapping[str, float], languages: Sequence[str]) -> float | None:
    """The mean of a target's scores over its languages; None where one of them is missing."""
    if any(language not in score for language in languages):
        return None
    return fmean(score[language] for language in languages)


def _target_metrics(table: ChosenScores, task: Task, languages: Sequence[str]) -> dict[str, float]:
    """Per-language scores, their average and the zero-shot average of one target."""
    found = table.score_by_language(task.name, task.metrics)
    score = {language: found[language] for language in languages if language in found}
    metrics = {f"{task.name}/{language}": value for language, value in score.items()}
    average = average_of(score, languages)
    if average is None:
        return metrics
    metrics[f"{task.name}/avg"] = average
    zero_shot = [value for language, value in score.items() if language != task.train_language]
    if zero_shot:
        metrics[f"{task.name}/zero_shot"] = fmean(zero_shot)
    names = table.metrics_of(task.name)
    if len(names) == 1:
        return metrics
    for metric in names:
        values = table.evaluation(task.name, metric)
        if set(values) == set(languages):
            key = METRIC_KEYS.get(metric, metric)
            # A profile of layers has a number for each, which is a mean already.
            name = f"{task.name}/{key}" if "/" in key else f"{task.name}/{key}/avg"
            metrics[name] = fmean(values.values())
    return metrics


def _add_dev(
    metrics: dict[str, float],
    table: ChosenScores,
    targets: Sequence[Task],
    missing: list[str],
) -> None:
    dev = dev_scores(table, targets)
    metrics |= {f"dev/{name}": value for name, value in dev.items()}
    if AVERAGE not in dev:
        selected = [task.name for task in targets if "dev" in task.splits]
        missing += [f"dev/{name}" for name in selected if name not in dev]


def dev_scores(table: ChosenScores, targets: Sequence[Task]) -> dict[str, float]:
    """The dev scores of the targets that have a dev set, and their mean as `avg`, only if none is
    missing."""
    selected = [task for task in targets if "dev" in task.splits]
    scores = {task.name: table.dev_score(task.name, task.metrics) for task in selected}
    dev = {name: score for name, score in scores.items() if score is not None}
    if selected and len(dev) == len(selected):
        # Targets that share a training stage share its dev score, and count once.
        distinct = {task.head: dev[task.name] for task in selected}
        dev[AVERAGE] = fmean(distinct.values())
    return dev


def trial_scores(
    table: ChosenScores, targets: Sequence[Task], languages: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """The scores of one trial's targets, means over their languages; of those that lack none."""
    found = {
        task.name: average_of(
            table.score_by_language(task.name, task.metrics), languages[task.name]
        )
        for task in targets
    }
    return {name: score for name, score in found.items() if score is not None}


def _add_overall(metrics: dict[str, float], name: str, targets: Sequence[Task]) -> None:
    metrics[f"{name}/avg"] = fmean(metrics[f"{task.name}/avg"] for task in targets)
    others = [task for task in targets if task.group != "retrieval"]
    if others:
        metrics[f"{name}/avg_no_retrieval"] = fmean(metrics[f"{t.name}/avg"] for t in others)
    if all(f"{task.name}/zero_shot" in metrics for task in targets):
        metrics[f"{name}/zero_shot"] = fmean(metrics[f"{t.name}/zero_shot"] for t in targets)
