"""Tasks and kinds that other Python packages bring.

A plugin is a module with a function `tasks()`, a mapping `KINDS`, or both. An installed package
names its modules under the entry points `xstilts.tasks` and `xstilts.kinds`; a sweep file names
others under `plugins`. A module is known by its source, which is part of every fingerprint that it
has a share in. A launch stores what its plugins declare, so that results are read without them.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path

from xstilts.errors import XstiltsError
from xstilts.tasks.kinds import BROUGHT, KINDS, KindSpec
from xstilts.tasks.task import Task

GROUPS = ("xstilts.kinds", "xstilts.tasks")
"""The groups of entry points whose values are modules."""


class PluginError(XstiltsError):
    """A module cannot be taken as a plugin; says why."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class BroughtKind:
    """A kind that a plugin brings: what it is, and where the class is that has its behaviour, as
    `module:Class`. The class is imported where something is computed; it may need torch."""

    spec: KindSpec
    behaviour: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was imported. `place` is its file; `digest` is of the source of all of its
    package, 16 hex digits of a sha256."""

    module: str
    place: str
    digest: str
    tasks: Mapping[str, Task] = field(default_factory=dict)
    kinds: Mapping[str, BroughtKind] = field(default_factory=dict)


@cache
def load_plugin(module: str) -> Plugin:
    """Import a plugin; afterwards its kinds are known by their names.

    Raises:
        PluginError: it cannot be imported, brings nothing, has no source, or a name of its kinds
            is taken.
    """
    try:
        found = pkgutil.resolve_name(module)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(f"cannot be imported ({type(error).__name__}: {error})") from error
    if module not in sys.modules:
        raise PluginError("is no module")
    kinds = dict(getattr(found, "KINDS", {}))
    place, digest = _source_of(module)
    for name, kind in kinds.items():
        other = "xstilts.tasks.kinds" if name in KINDS else _places.get(name, place)
        if other != place:
            raise PluginError(f'brings the kind "{name}" in {place}, which {other} has')
        BROUGHT[name], _behaviours[name], _places[name] = kind.spec, kind.behaviour, place
    make = getattr(found, "tasks", None)
    try:
        tasks = {task.name: task for task in make()} if callable(make) else {}
    except Exception as error:  # the code is another's
        raise PluginError(f"its tasks() fails ({type(error).__name__}: {error})") from error
    if not tasks and not kinds:
        raise PluginError(f"brings nothing: {place} has neither tasks() nor KINDS")
    return Plugin(module, place, digest, tasks, kinds)


@cache
def installed_plugins() -> Mapping[str, str]:
    """The modules that installed packages name under the entry points, kinds first, each with the
    name of its package."""
    points = (point for group in GROUPS for point in entry_points(group=group))
    return {point.value: point.dist.name if point.dist else point.module for point in points}


def know_kinds(kinds: Mapping[str, BroughtKind]) -> None:
    """Have the names of kinds known, without their behaviour, where no plugin that was imported has
    them."""
    for name, kind in kinds.items():
        if name not in KINDS and name not in _places:
            BROUGHT[name] = kind.spec


def behaviour_of(kind: str) -> str:
    """Where the class of a plugin's kind is, as `module:Class`.

    Raises:
        PluginError: no plugin that was imported brings it.
    """
    if kind not in _behaviours:
        raise PluginError(f'the kind "{kind}" is of a plugin that was not imported here')
    return _behaviours[kind]


def bringers_of(task: Task, plugins: Sequence[Plugin]) -> tuple[tuple[str, str], ...]:
    """Of plugins those that bring a task or its kind, each with the digest of its source."""
    return tuple(
        (plugin.module, plugin.digest)
        for plugin in plugins
        if plugin.tasks.get(task.name) == task or task.kind in plugin.kinds
    )


def _source_of(module: str) -> tuple[str, str]:
    """The file of a module, and the digest of its package's source."""
    own = getattr(sys.modules[module], "__file__", None)
    if own is None or not Path(own).is_file():
        raise PluginError("has no source file, by which nodes and results could be compared")
    top = sys.modules[module.partition(".")[0]]
    files, folder = [Path(own)], Path(own).parent
    if hasattr(top, "__path__"):
        folder = Path(getattr(top, "__file__", None) or own).parent
        files = sorted(folder.rglob("*.py"))
    digest = sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return own, digest.hexdigest()[:16]


_behaviours: dict[str, str] = {}
_places: dict[str, str] = {}
