"""Tasks: frozen declarations of data sets, their catalogue, the languages."""

from xstilts.tasks.catalogue import known_tasks, lookup, suggest
from xstilts.tasks.task import HeldOut, Slice, Source, Task

__all__ = ["HeldOut", "Slice", "Source", "Task", "known_tasks", "lookup", "suggest"]
