"""Which rows the signals of a race read: parallel text, and the English dev sets of its targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from xstilts.config.derive import parallel_use, selected_targets, task_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.plan.stage import PROBE, RETRIEVAL, Rows
from xstilts.tasks import Task

PROBED_ROWS = 1000
"""Rows of a dev set that a probe reads at most: their vectors are held in every layer."""

RowsOf = Callable[[Task, str, tuple[str, ...], int, int | None], Rows]


def signal_rows(
    sweep: Sweep, rows: RowsOf, max_length: Callable[[str], int]
) -> Iterator[tuple[str, Rows]]:
    """The signals that a sweep asks for, each with its rows: one of retrieval, a probe for each set
    of targets with an English dev set that has classes. Targets that share one share it.

    Args:
        rows: makes rows of a task, a use, languages, a length and a limit.
        max_length: the length of a task's sequences as a target.
    """
    if RETRIEVAL in sweep.search.signals:
        task = find_task(sweep, str(sweep.search.parallel))
        use = parallel_use(task)
        yield RETRIEVAL, rows(task, use, task.languages_of(use), max_length(task.name), None)
    if PROBE in sweep.search.signals:
        heads = dict.fromkeys(task.head for task in selected_targets(sweep))
        for head in (task_of(sweep, name) for name in heads):
            if head.kind_spec.is_probed:
                length = max_length(head.name)
                yield PROBE, rows(head, "dev", (head.train_language,), length, PROBED_ROWS)
