"""Tasks: frozen declarations of data sets, their catalogue, the languages."""

from xstilts.tasks.catalogue import known_tasks, lookup, suggest
from xstilts.tasks.task import Source, Task

__all__ = ["Source", "Task", "known_tasks", "lookup", "suggest"]
