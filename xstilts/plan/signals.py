"""Which rows the signals of a race read: parallel text, and the English dev sets of its targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from xstilts.config.derive import links_of, parallel_use, selected_targets
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
    of targets with an English dev set that has classes. Targets that share one share it, and chains
    with the same last link.

    Args:
        rows: makes rows of a task, a use, languages, a length and a limit.
        max_length: the length of a task's sequences as a target.
    """
    if RETRIEVAL in sweep.search.signals:
        task = find_task(sweep, str(sweep.search.parallel))
        use = parallel_use(task)
        yield RETRIEVAL, rows(task, use, task.languages_of(use), max_length(task.name), None)
    if PROBE in sweep.search.signals:
        heads = [task.head for task in reversed(selected_targets(sweep))]
        probed = {links_of(sweep, head)[-1].name: head for head in heads}
        for head in reversed(probed.values()):
            task = links_of(sweep, head)[-1]
            if task.kind_spec.is_probed:
                length = max_length(head)
                yield PROBE, rows(task, "dev", (task.train_language,), length, PROBED_ROWS)
