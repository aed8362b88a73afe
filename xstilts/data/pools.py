"""Whether a pool is one that queries can be ranked in, seen before anything is computed.

Only ids and keys are read. A query none of whose keys a candidate has would score 0 whatever the
model does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xstilts.config.own_tasks import is_own
from xstilts.data.sources import Folders, column_of_use
from xstilts.errors import Problem
from xstilts.tasks import Task
from xstilts.tasks.task import POOL


def pool_problems(
    folders: Folders, task: Task, use: str, languages: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with the pool of a task whose `use` is scored in these languages.

    Raises:
        DataError: a column cannot be read.
    """
    (rows,) = task.slices_of(POOL)
    where, repair = "data.root", "import a pool that has it, or drop the queries"
    if is_own(rows.origin):
        where, repair = f"pools.{task.name}.files", "add it to the files"
    keys: set[str] = set()
    count = 0
    for language in task.languages_of(POOL):
        for own in column_of_use(folders, task, POOL, language, "keys"):
            keys.update(own)
            count += 1
    if count < 2:
        rule = f"{task.name}: a pool has two candidates at least"
        yield Problem(where, rule, f"{count}", "import the whole of it")
        return
    for language in languages:
        wanted = column_of_use(folders, task, use, language, "keys")
        lost = [i for i, own in enumerate(wanted) if own and keys.isdisjoint(own)]
        if lost:
            names = column_of_use(folders, task, use, language, "id")
            more = f" (and {len(lost) - 1:,} more)" if lost[1:] else ""
            got = f'"{names[lost[0]]}" in {language}{more}, {", ".join(wanted[lost[0]])}'
            rule = f"{task.name}: the pool has a right candidate for every query of {use}"
            yield Problem(where, rule, got, repair)


def pool_notes(count: int, task: Task) -> Iterator[str]:
    """What is to be said of a pool of so many candidates."""
    (rows,) = task.slices_of(POOL)
    sizes = [rows.origin.size_of(rows.split, x) for x in task.languages_of(POOL)]
    published = sum(size for size in sizes if size is not None)
    if published and count != published:
        yield (
            f"{task.name}: its pool has {count:,} candidates, published are {published:,}: its "
            "scores are no official figure"
        )
