"""Which rows of which tasks a mirror has."""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.data.hub_layout import declared_files
from xstilts.data.sources import Folders
from xstilts.tasks import Task, known_tasks

REAL = [task for task in known_tasks() if not task.name.startswith("mini_")]


def uses(task: Task, folders: Folders) -> Iterator[tuple[str, str]]:
    """The uses and languages of a task that the mirror has."""
    for use in task.splits:
        declared = {
            (one.origin.hub_id, *key)
            for one in task.slices_of(use)
            if one.origin.hub_id in folders
            for key in declared_files(folders[one.origin.hub_id])
        }
        for language in task.languages_of(use):
            wanted = {
                (one.origin.hub_id, config, one.split)
                for one in task.slices_of(use)
                for config in one.origin.configs_of(language)
            }
            if wanted <= declared:
                yield use, language
