"""Tasks: frozen declarations of data sets, their catalogue, the languages."""

from xstilts.tasks.catalogue import known_tasks, lookup, suggest
from xstilts.tasks.kinds import KindSpec, kind_spec
from xstilts.tasks.task import HeldOut, Slice, Source, Task

__all__ = [
    "HeldOut",
    "KindSpec",
    "Slice",
    "Source",
    "Task",
    "kind_spec",
    "known_tasks",
    "lookup",
    "suggest",
]
