"""Whether parallel text may tell signals and probes: no target is scored on a sentence of it.

A signal orders candidates, so a test sentence in it would be selection on test data, little as one
sentence tells; what probes say is to explain scores on other text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xstilts.config.derive import languages_of, parallel_texts, parallel_use, task_of
from xstilts.config.probes import LEAST_SENTENCES
from xstilts.config.schema import Sweep
from xstilts.data.sources import load_rows
from xstilts.errors import Problem
from xstilts.plan.inventory import Inventory
from xstilts.tasks import Task

OTHERWISE = {
    "search.parallel": "name other parallel text, or leave retrieval out of signals",
    "probes.parallel": "name other parallel text, or leave out all probes but fertility",
}

_ENDS = re.compile("[.!?\u2026\u3002\uff01\uff1f\u0964\u061f\u06d4]+")
"""What ends a sentence, in the scripts of the benchmarks."""


def parallel_problems(sweep: Sweep, inventory: Inventory) -> Iterator[Problem]:
    """What is wrong with the parallel text of a sweep's signals and probes: a line for each target
    that is scored on sentences of it, and for each language in which probes had too few.

    Raises:
        DataError: rows cannot be read.
    """
    texts = parallel_texts(sweep)
    own: dict[str, dict[str, str]] = {where: {} for where in texts}
    for where, (parallel, languages) in texts.items():
        use = parallel_use(parallel)
        for language in languages:
            own[where] |= sentences(_columns(inventory, parallel, use, language))
            count = inventory.rows_of(parallel, use, language)
            if where == "probes.parallel" and count < LEAST_SENTENCES:
                rule = f"a probe reads {LEAST_SENTENCES} sentences of a language or more"
                got = f"{count} of {parallel.name} in {language}"
                yield Problem(where, rule, got, "name more text, or leave it out of languages")
    split = sweep.evaluation.split
    for target in (task_of(sweep, name) for name in sweep.targets if texts):
        open_ = dict(texts)
        for language in languages_of(sweep, target):
            scored = sentences(_columns(inventory, target, split, language))
            for where in [where for where in open_ if own[where].keys() & scored.keys()]:
                shared = own[where].keys() & scored.keys()
                yield Problem(
                    where,
                    f"{open_.pop(where)[0].name} has no sentence that a target is scored on",
                    f'"{min(own[where][key] for key in shared)}", one of {len(shared)} that '
                    f"{target.name} has in {language} {split}",
                    OTHERWISE[where],
                )


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


def _columns(inventory: Inventory, task: Task, use: str, language: str) -> dict[str, list[Any]]:
    """The texts of a use in a language: all that the kind reads but its labels."""
    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    rows = load_rows(folders, task, use, language)
    spec = task.kind_spec
    kept = [name for name in spec.columns if name in rows]
    return {name: rows[name] for name in kept if name != spec.label and not name.endswith("id")}
