"""Averages of one trial, as XTREME takes them, and never over a hole.

Task score: plain mean over languages, for QA the mean of EM and F1. Group: mean of its tasks.
Overall: mean of tasks, not of groups. An average whose parts are not all there is absent, and
`missing` says what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from xstilts.scores.table import ChosenScores
from xstilts.tasks import Task
from xstilts.tasks.benchmarks import CUSTOM, Benchmark, groups_of

AVERAGE = "avg"
"""Stands for the mean of the targets that have a dev set, among their names."""

ZERO_SHOT = "zero_shot"
"""Stands for the mean of the languages of which no label has trained or selected, among the
languages."""

DEV, GROUP = "dev", "group"
"""Among metrics: a target's score on dev, the score of a group of targets."""

SHORT = {"exact_match": "em"}


class Metric(NamedTuple):
    """Which number of a trial.

    `target` is a target, a group, a benchmark, or `AVERAGE` of those with a dev set. No `metric`
    means its score, which is the mean of a target's metrics. `language` is one, or `AVERAGE` or
    `ZERO_SHOT` over them; none where there are no languages.
    """

    target: str
    metric: str = ""
    language: str = ""


def is_profile(metric: str) -> bool:
    """Whether a metric is one of several numbers of a profile (`by_layer/03`), each a mean."""
    return "/" in metric


@dataclass(frozen=True, slots=True)
class Averages:
    """Metrics, 0-100, and why averages are absent."""

    metrics: Mapping[Metric, float]
    missing: Sequence[str] = field(default_factory=list)


def averages(
    table: ChosenScores,
    targets: Sequence[Task],
    languages: Mapping[str, Sequence[str]],
    benchmark: Benchmark | None,
    split: str,
    is_whole: bool = True,
    pivots: Collection[str] = (),
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
        pivots: languages whose labels have selected.
    """
    metrics: dict[Metric, float] = {}
    missing: list[str] = []
    for task in targets:
        metrics |= _target_metrics(table, task, languages[task.name], pivots)
        if mean_of(task.name) not in metrics:
            missing.append(f"{task.name} lacks languages")
    _add_dev(metrics, table, targets, missing)
    if not is_whole:
        metrics.pop(Metric(AVERAGE, DEV), None)
        return Averages(metrics, missing)
    for group, tasks in groups_of(targets, benchmark).items():
        if all(mean_of(task.name) in metrics for task in tasks):
            metrics[Metric(group, GROUP)] = fmean(metrics[mean_of(task.name)] for task in tasks)
    if all(mean_of(task.name) in metrics for task in targets):
        reason = benchmark.lacks(targets, languages, split) if benchmark else ""
        missing += [reason] if reason else []
        _add_overall(metrics, CUSTOM if benchmark is None or reason else benchmark.name, targets)
    return Averages(metrics, missing)


def mean_of(target: str, metric: str = "") -> Metric:
    """The mean of a target over its languages, or of a benchmark over its targets."""
    return Metric(target, metric, AVERAGE)


def average_of(score: Mapping[str, float], languages: Sequence[str]) -> float | None:
    """The mean of a target's scores over its languages; None where one of them is missing."""
    if any(language not in score for language in languages):
        return None
    return fmean(score[language] for language in languages)


def _target_metrics(
    table: ChosenScores, task: Task, languages: Sequence[str], pivots: Collection[str]
) -> dict[Metric, float]:
    """Per-language scores, their average and the zero-shot average of one target."""
    found = table.score_by_language(task.name, task.metrics)
    score = {language: found[language] for language in languages if language in found}
    metrics = {Metric(task.name, language=language): value for language, value in score.items()}
    average = average_of(score, languages)
    if average is None:
        return metrics
    metrics[mean_of(task.name)] = average
    labelled = {task.train_language, *pivots}
    zero_shot = [value for language, value in score.items() if language not in labelled]
    if zero_shot:
        metrics[Metric(task.name, language=ZERO_SHOT)] = fmean(zero_shot)
    names = table.metrics_of(task.name)
    if len(names) == 1:
        return metrics
    for name in names:
        values = table.evaluation(task.name, name)
        if set(values) == set(languages):
            metrics[mean_of(task.name, SHORT.get(name, name))] = fmean(values.values())
    return metrics


def _add_dev(
    metrics: dict[Metric, float],
    table: ChosenScores,
    targets: Sequence[Task],
    missing: list[str],
) -> None:
    dev = dev_scores(table, targets)
    metrics |= {Metric(name, DEV): value for name, value in dev.items()}
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


def _add_overall(metrics: dict[Metric, float], name: str, targets: Sequence[Task]) -> None:
    metrics[mean_of(name)] = fmean(metrics[mean_of(task.name)] for task in targets)
    others = [task.name for task in targets if task.group != "retrieval"]
    if others:
        mean = fmean(metrics[mean_of(target)] for target in others)
        metrics[Metric(name, language="avg_no_retrieval")] = mean
    zero_shot = [Metric(task.name, language=ZERO_SHOT) for task in targets]
    if all(one in metrics for one in zero_shot):
        metrics[Metric(name, language=ZERO_SHOT)] = fmean(metrics[one] for one in zero_shot)
