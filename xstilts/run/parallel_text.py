"""Whether parallel text may tell signals: no sentence of it is one that a target is scored on.

A signal orders candidates, so a test sentence in it would be selection on test data, little as one
sentence tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xstilts.config.derive import languages_of, parallel_use, task_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.data.sources import load_rows
from xstilts.errors import Problem
from xstilts.plan.inventory import Inventory
from xstilts.run.storage import CACHES
from xstilts.tasks import Task

_ENDS = re.compile("[.!?\u2026\u3002\uff01\uff1f\u0964\u061f\u06d4]+")
"""What ends a sentence, in the scripts of the benchmarks."""


def parallel_problems(sweep: Sweep, inventory: Inventory, storage: Path) -> Iterator[Problem]:
    """What is wrong with the parallel text of a sweep's signals: a line for each target that is
    scored on sentences of it.

    Raises:
        DataError: rows cannot be read.
    """
    if sweep.search.parallel is None:
        return
    parallel = find_task(sweep, sweep.search.parallel)
    use = parallel_use(parallel)
    own: dict[str, str] = {}
    for language in parallel.languages_of(use):
        own |= sentences(_columns(inventory, storage, parallel, use, language))
    split = sweep.evaluation.split
    for target in (task_of(sweep, name) for name in sweep.targets):
        for language in languages_of(sweep, target):
            scored = sentences(_columns(inventory, storage, target, split, language))
            if shared := own.keys() & scored.keys():
                yield Problem(
                    "search.parallel",
                    f"{parallel.name} has no sentence that a target is scored on",
                    f'"{min(own[key] for key in shared)}", one of {len(shared)} that '
                    f"{target.name} has in {language} {split}",
                    "name other parallel text, or leave retrieval out of signals",
                )
                break


def sentences(columns: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    """The sentences of rows, by their letters and digits alone: so a sentence that was split into
    words is the one that was not. A text is cut where sentences end, and counts as a whole too."""
    found: dict[str, str] = {}
    for values in columns.values():
        for value in values:
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
                continue
            for text in (*texts, " ".join(texts)) if len(texts) > 1 else texts:
                for sentence in (text, *_ENDS.split(text)):
                    key = "".join(filter(str.isalnum, sentence.casefold()))
                    found.setdefault(key, sentence.strip())
    found.pop("", None)
    return found


def _columns(
    inventory: Inventory, storage: Path, task: Task, use: str, language: str
) -> dict[str, list[Any]]:
    """The texts of a use in a language: all that the kind reads but its labels."""
    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    content = inventory.data[task.slices_of(use)[0].origin.hub_id]
    rows = load_rows(folders, task, use, language, content, storage / CACHES)
    spec = task.kind_spec
    kept = [name for name in spec.columns if name in rows]
    return {name: rows[name] for name in kept if name != spec.label and not name.endswith("id")}
