"""Parts of a study: its launch with some of its models, as a small one that screens before a large
one answers. All parts are one sweep, with one storage and one registration."""

from __future__ import annotations

from typing import Any

from xstilts.config.schema import Sweep
from xstilts.config.search_spec import ParameterSpec
from xstilts.errors import ConfigError, Problem
from xstilts.tasks import suggest


def of_part(sweep: Sweep, part: str) -> Sweep:
    """The sweep as it runs for one of the parts of its study: the search draws its models alone.

    Raises:
        ConfigError: the study has no such part.
    """
    parts = sweep.study.models if sweep.study else {}
    if part not in parts:
        rule = "is no part of the study"
        repair = suggest(part, parts) if parts else "name its models under study.models"
        raise ConfigError([Problem("--part", rule, f'"{part}"', repair)])
    encoder = sweep.search.encoder
    space = {**encoder.space, "model": ParameterSpec(choice=parts[part])}
    search = sweep.search.model_copy(
        update={"encoder": encoder.model_copy(update={"space": space})}
    )
    return sweep.model_copy(update={"search": search})


def without_part(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved sweep whichever of its parts it runs."""
    if not (resolved.get("study") or {}).get("models"):
        return resolved
    encoder = resolved["search"]["encoder"]
    space = {name: spec for name, spec in encoder["space"].items() if name != "model"}
    return {
        **resolved,
        "search": {**resolved["search"], "encoder": {**encoder, "space": space}},
    }
