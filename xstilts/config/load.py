"""From a YAML file to a checked `Sweep`, with every problem of the file at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from xstilts.config.check import check
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.tasks import suggest


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key twice and reads `3e-6` as a number (YAML 1.1 does not)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key is text; got {key!r}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read and check one sweep file.

    `overrides` are `a.b=value` texts, the value in YAML; they replace what the file says.

    Raises:
        ConfigError: with every problem that was found.
    """
    data = _read(path)
    problems = [problem for text in overrides for problem in _override(data, text)]
    sweep, found = _build(data, str(path))
    problems += found
    if problems or sweep is None:
        raise ConfigError(problems)
    return sweep


def parse_sweep(data: dict[str, Any], where: str) -> Sweep:
    """A sweep from a JSON-able dict, checked as `load_sweep` checks a file.

    Raises:
        ConfigError: with every problem that was found.
    """
    sweep, problems = _build(data, where)
    if problems or sweep is None:
        raise ConfigError(problems)
    return sweep


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = suggest(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise ConfigError(
            [Problem(str(path), "no such file", repair=f"sweep files there: {near}")]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "cannot be read", str(error))]) from error
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error)
        raise ConfigError(
            [Problem(place, "is no valid YAML", reason, "check the indentation and the quotes")]
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            [Problem(str(path), "a sweep file is a mapping of keys", type(data).__name__)]
        )
    return data


def _override(data: dict[str, Any], text: str) -> list[Problem]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        return [Problem("--set", "is written a.b=value", f'"{text}"')]
    *parents, last = key.split(".")
    here: Any = data
    for parent in parents:
        here = here.setdefault(parent, {}) if isinstance(here, dict) else None
    if not isinstance(here, dict):
        return [Problem("--set", "names no place in the file", f'"{key}"')]
    try:
        here[last] = yaml.load(value, Loader=_Loader)
    except yaml.YAMLError:
        return [Problem("--set", "its value is no valid YAML", f'"{value}"')]
    return []


_STAND_INS = {
    "name": "stand-in",
    "benchmark": "custom",
    "recipe": "mini",
    "models": {"stand-in": {"path": "builtin:mini"}},
    "data": {"root": "builtin:mini"},
}
"""Values for required keys that are wrong or absent, so that the rest can be checked."""


def _build(data: dict[str, Any], where: str) -> tuple[Sweep | None, list[Problem]]:
    """The sweep if it can be had, and all problems.

    A wrong key must not hide what is wrong elsewhere, so wrong places are cut out and the rest is
    checked again: first the structure, then what spans several keys.
    """
    rest = copy.deepcopy(data)
    problems: list[Problem] = []
    while True:
        try:
            sweep = Sweep.model_validate_json(json.dumps(rest, default=str))
        except ValidationError as error:
            # After a cut only rules that span keys can say something new.
            first = not problems
            problems += [
                _problem(details, where)
                for details in error.errors()
                if (first or details["type"] == "value_error")
                and not _follows(details, error.errors())
            ]
            # From the last to the first: a cut in a list moves what stands behind it.
            repaired = [_repair(rest, details) for details in reversed(error.errors())]
            if not any(repaired):
                return None, list(dict.fromkeys(problems))
        else:
            return sweep, list(dict.fromkeys(problems + check(sweep, where)))


def _follows(details: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether "too short" only says that the items of a list, reported already, are wrong."""
    place = tuple(details["loc"])
    return details["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and tuple(other["loc"][: len(place)]) == place
        for other in others
    )


def _repair(data: dict[str, Any], details: ErrorDetails) -> bool:
    """Take what is wrong out of `data`, so that the rest can be checked; False if in vain."""
    place = tuple(details["loc"])
    if details["type"] == "missing":
        if len(place) == 1:
            data.update({key: _STAND_INS[key] for key in place if key in _STAND_INS})
            return str(place[0]) in _STAND_INS
        place = place[:-1]
    return _cut(data, place)


def _cut(data: Any, place: tuple[int | str, ...]) -> bool:
    """Remove the innermost part of `data` that `place` names; False if there is none."""
    here: Any = data
    path: list[tuple[Any, int | str]] = []
    for step in place:
        in_mapping = isinstance(here, dict) and step in here
        if in_mapping or (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            path.append((here, step))
            here = here[step]
        elif step not in ("float", "int", "[key]"):  # pydantic's steps for aliases and keys
            break
    if not path:
        return False
    parent, key = path[-1]
    del parent[key]
    return True


def _problem(details: ErrorDetails, where: str) -> Problem:
    """One of pydantic's errors in our words: rule, got, repair."""
    steps = [step for step in details["loc"] if not _is_union_branch(step)]
    place = ""
    for step in steps:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    got = repr(details["input"])
    got = got if len(got) <= 60 else f"{got[:57]}..."
    kind, message = details["type"], details["msg"]
    here = f"{where}: {place}" if place else where
    if kind == "extra_forbidden":
        return Problem(here, "unknown key", repair=suggest(str(steps[-1]), _keys_at(steps[:-1])))
    if kind == "missing":
        return Problem(here, "is required", repair="add it")
    if kind == "string_pattern_mismatch":
        return Problem(
            here.removesuffix(".[key]"),
            "is a plain name: letters, digits, `.`, `_`, `-`, at most 60, no path",
            got,
        )
    if kind == "value_error":
        return Problem(here, message.removeprefix("Value error, "))
    return Problem(here, message[0].lower() + message[1:], got)


def _is_union_branch(step: int | str) -> bool:
    """Whether a step of pydantic's place names a branch of a union rather than a key."""
    return isinstance(step, str) and (
        step.startswith(("literal[", "tuple[", "dict[", "constrained-", "function-"))
        or step in ("str", "float", "int")
    )


def _keys_at(steps: Sequence[int | str]) -> list[str]:
    """The keys that the schema knows at a place, as users write them."""
    model: Any = Sweep
    for step in steps:
        fields = getattr(model, "model_fields", {})
        named = next(
            (field for name, field in fields.items() if step in (name, field.alias)),
            None,
        )
        if named is not None:
            model = _model_in(named.annotation)
        # Otherwise the step is a user's own name in a mapping: the model stays the mapping's.
    fields = getattr(model, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> Any:
    """The pydantic model inside an annotation such as `dict[PlainName, ModelSpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
