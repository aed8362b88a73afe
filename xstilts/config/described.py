"""What plugins declare, as JSON: a launch stores it, so that its results are read without them.

Whoever reads a storage need not trust those who write to it: a description is data, and imports
nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from xstilts.tasks.plugins import BroughtKind, Plugin, PluginError, know_kinds

_PLUGIN = TypeAdapter(Plugin)
_KINDS = TypeAdapter(dict[str, BroughtKind])


def describe_plugin(plugin: Plugin) -> dict[str, Any]:
    """A plugin as a JSON-able dict that `recall_plugin` reads."""
    description: dict[str, Any] = _PLUGIN.dump_python(plugin, mode="json")
    return description


def recall_plugin(description: Any) -> Plugin:
    """A plugin as it was described. Its kinds are known by their names afterwards, without their
    behaviour.

    Raises:
        PluginError: it is no such description.
    """
    try:
        know_kinds(_KINDS.validate_python(description["kinds"]))
        return _PLUGIN.validate_python(description)
    except (ValidationError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise PluginError(f"what it brought cannot be read ({reason})") from error
