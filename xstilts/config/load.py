"""From a YAML file to a checked `Sweep`, with every problem of the file at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from xstilts.config.check import check
from xstilts.config.described import recall_plugin
from xstilts.config.own_tasks import located
from xstilts.config.plugin_checks import plugin_problems
from xstilts.config.schema import ConfirmSpec, Sweep
from xstilts.config.yaml_limits import BeyondLimit, LimitedLoader, read_yaml
from xstilts.errors import ConfigError, Problem, without_user
from xstilts.tasks import suggest
from xstilts.tasks.plugins import Plugin, PluginError, installed_plugins

MAX_BYTES = 2**18
"""The longest sweep file; those of the paper have two thousand bytes."""

STORED = "the stored file alone names this module, which would be imported"
OPT_IN = "if you trust it, give --plugins (in Python: with_plugins=True)"


class _Loader(LimitedLoader):
    """Safe YAML that refuses a key twice and reads `3e-6` as a number (YAML 1.1 does not)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        is_task = any(key_node.value == "kind" for key_node, _ in node.value)
        seen = set()
        for key_node, value_node in node.value:
            if is_task and key_node.value == "labels":
                _take_as_written(value_node)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key is text; got {key!r}", key_node.start_mark
                )
            if key in seen:
                twice = f"the key {key!r} stands twice, what is below it belongs under one"
                raise yaml.constructor.ConstructorError(None, None, twice, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _take_as_written(node: yaml.Node) -> None:
    """Labels are what stands in a file: `1`, `yes` and `no` are text."""
    parts = node.value if isinstance(node.value, list) else []
    for part in parts:
        for scalar in part if isinstance(part, tuple) else (part,):
            if isinstance(scalar, yaml.ScalarNode):
                scalar.tag = "tag:yaml.org,2002:str"


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read and check one sweep file.

    `overrides` are `a.b=value` texts, the value in YAML; they replace what the file says. The files
    of its own tasks are named from the root then.

    Raises:
        ConfigError: with every problem that was found.
    """
    data = _read(path)
    problems = [problem for text in overrides for problem in _override(data, text)]
    sweep, found = _build(data, str(path))
    problems += found
    if problems or sweep is None:
        raise ConfigError(problems)
    return located(sweep, path.parent.resolve())


def parse_sweep(data: dict[str, Any], where: str) -> Sweep:
    """A sweep from a JSON-able dict, checked as `load_sweep` checks a file.

    Raises:
        ConfigError: with every problem that was found.
    """
    sweep, problems = _build(data, where)
    if problems or sweep is None:
        raise ConfigError(problems)
    return sweep


def with_confirmation(sweep: Sweep, top: int | None, seeds: int | None) -> Sweep:
    """A sweep that confirms its choice: as its file says or else by default, but for what is given.

    Raises:
        ConfigError: it cannot be confirmed so.
    """
    given = {"top": top, "seeds": seeds}
    said = (sweep.confirm or ConfirmSpec()).model_dump(mode="json")
    said |= {key: value for key, value in given.items() if value is not None}
    resolved = sweep.model_dump(mode="json", by_alias=True)
    return parse_sweep({**resolved, "confirm": said}, sweep.name)


def parse_stored(
    data: dict[str, Any], where: str, described: Any, allowed: Container[str]
) -> Sweep:
    """A sweep from where a launch stored it, to read what came of it.

    Args:
        described: its plugins, as `plugins_described` had them; nothing is imported then. None: the
            launch described none, or what they bring is to be computed with.
        allowed: modules that may be imported although an installed package names none of them.

    Raises:
        ConfigError: with every problem that was found; or a module would be imported that is not
            allowed.
    """
    if not isinstance(described, dict):
        named, known = data.get("plugins"), installed_plugins()
        named = named if isinstance(named, list) else []
        alone = [x for x in named if x not in allowed and x not in known]
        if alone:
            here = f"{where}: plugins"
            raise ConfigError([Problem(here, STORED, f'"{x}"', OPT_IN) for x in alone])
        return parse_sweep(data, where)
    try:
        recalled = tuple(map(recall_plugin, described.values()))
    except PluginError as error:
        raise ConfigError([Problem(f"{where}: plugins", str(error))]) from error
    sweep, problems = _build(data, where, recalled)
    if problems or sweep is None:
        raise ConfigError(problems)
    return sweep


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            rule = f"a sweep file has at most {MAX_BYTES >> 10} KiB"
            got = f"{path.stat().st_size / 2**10:.0f} KiB"
            raise ConfigError([Problem(str(path), rule, got)])
        text = content.decode("utf-8")
    except FileNotFoundError:
        there = [other.name for other in path.parent.glob("*.y*ml")]
        near = suggest(path.name, there) if there else "there are no sweep files in that folder"
        raise ConfigError([Problem(str(path), "no such file", repair=near)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "cannot be read", str(error))]) from error
    try:
        data = read_yaml(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error)
        rule, repair = "is no valid YAML", "check the indentation and the quotes"
        if isinstance(error, BeyondLimit):
            rule, repair = "goes beyond what a sweep file may hold", "write it flat"
        raise ConfigError([Problem(place, rule, reason, repair)]) from error
    if not isinstance(data, dict):
        raise ConfigError(
            [Problem(str(path), "a sweep file is a mapping of keys", type(data).__name__)]
        )
    return data


def _override(data: dict[str, Any], text: str) -> list[Problem]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        return [Problem("--set", "is written a.b=value", f'"{text}"')]
    here: Any = data
    rest = key.split(".")
    while isinstance(here, dict):
        # A key of the file may hold dots itself, as `target.learning_rate` does.
        fits = (n for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in here)
        n = next(fits, 1)
        last, rest = ".".join(rest[:n]), rest[n:]
        if not rest:
            break
        if last in ("benchmark", "recipe") and isinstance(here.get(last), str):
            here[last] = {"name": here[last]}  # what the name alone stands for
        here = here.setdefault(last, {})
    if not isinstance(here, dict):
        return [Problem("--set", "names no place in the file", f'"{key}"')]
    try:
        here[last] = read_yaml(value, _Loader)
    except BeyondLimit as error:
        rule = f"the value of {key} goes beyond what a sweep file may hold"
        return [Problem("--set", rule, str(error.problem))]
    except yaml.YAMLError:
        return [Problem("--set", "its value is no valid YAML", f'"{_short(value)}"')]
    return []


def _short(text: str) -> str:
    """What was given as messages show it: no user of an address, and not all of a long text."""
    text = without_user(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


Place = tuple[int | str, ...]

_STAND_INS: dict[Place, Any] = {
    ("name",): "stand-in",
    ("benchmark",): "custom",
    ("recipe",): "mini",
    ("models",): {"stand-in": {"path": "builtin:mini"}},
    ("models", "*"): {"path": "builtin:mini"},
    ("data",): {"root": "builtin:mini"},
    ("tasks", "*"): {
        "kind": "sentence",
        "files": {"train": "stand-in", "test": "stand-in too"},
        "labels": ["a", "b"],
    },
    ("intermediates", "*"): {"tasks": ["mini_nli"]},
    ("search", "encoder", "space", "intermediate.rates"): {"simplex": True},
    ("search", "encoder", "space", "*"): {"int": [8, 8]},
    ("search", "target", "space", "*"): {"int": [8, 8]},
}
"""Values for what is wrong or absent, by place, so that what refers to it can be checked."""


def _build(
    data: dict[str, Any], where: str, recalled: tuple[Plugin, ...] | None = None
) -> tuple[Sweep | None, list[Problem]]:
    """The sweep if it can be had, and all problems.

    A wrong key must not hide what is wrong elsewhere, so wrong places are repaired by stand-ins
    and the rest is checked: first the structure, then what spans several keys. What is then said
    of a repaired place, of its parts and of what holds it, is left out.
    """
    rest = copy.deepcopy(data)
    problems: list[Problem] = []
    # Without them no name can be told from an unknown one.
    if recalled is None and (problems := list(plugin_problems(data.get("plugins", ()), where))):
        return None, problems
    repaired: list[Place] = []
    while True:
        try:
            sweep = Sweep.model_validate_json(json.dumps(rest, default=str)).recalling(recalled)
        except ValidationError as error:
            errors = _one_per_mistake(rest, error.errors())
            problems += [
                _problem(details, where)
                for place, details in errors
                if not any(touch[: len(place)] == place for touch in repaired)
            ]
            places = [place for place, _ in errors if place not in repaired]
            if not places:
                return None, list(dict.fromkeys(problems))
            for place, details in errors:
                _repair(rest, place, is_name=details["loc"][-1] == "[key]")
            repaired += places
        else:
            touched = [f"{where}: {_text(place)}" for place in repaired]
            found = [
                problem
                for problem in check(sweep, where)
                if not any(
                    problem.where.startswith(place) or place.startswith(problem.where)
                    for place in touched
                )
            ]
            return sweep, list(dict.fromkeys(problems + found))


def _one_per_mistake(data: Any, errors: Sequence[ErrorDetails]) -> list[tuple[Place, ErrorDetails]]:
    """Errors with their places in `data`; of a union's branches the one that came furthest."""
    placed = [(*_place_of(data, details), details) for details in errors]
    kept: list[tuple[Place, ErrorDetails]] = []
    for place, union, details in placed:
        depths = [len(other) for other, its, _ in placed if its == union]
        is_rival = len(place) < max(depths) or any(place == other for other, _ in kept)
        if union is None or not is_rival:
            kept.append((place, details))
    return kept


def _place_of(data: Any, details: ErrorDetails) -> tuple[Place, Place | None]:
    """The keys that lead to what is wrong, and to the union, if it stands in one."""
    place: list[int | str] = []
    union: Place | None = None
    here, steps = data, details["loc"]
    for step in steps:
        is_key = isinstance(here, dict) and step in here
        if is_key or (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            place.append(step)
            here = here[step]
        elif _is_union_branch(step):
            union = union or tuple(place)
        elif details["type"] == "missing" and len(steps) == 1:
            place.append(step)
    if place[:1] == ["search"] and place[2:3] == ["space"]:
        place = place[:4]  # a parameter is wrong as a whole: its keys mean something together
    return tuple(place), union


def _repair(data: dict[str, Any], place: Place, is_name: bool) -> None:
    """Put a stand-in at a place of `data`, or take away what has a default."""
    here: Any = data
    for step in place[:-1]:
        is_there = isinstance(here, list) or (isinstance(here, dict) and step in here)
        if not is_there:
            return  # went with what held it
        here = here[step]
    if isinstance(here, str):
        return  # what held it is a stand-in
    last = place[-1]
    pattern = place if place in _STAND_INS else (*place[:-1], "*")
    if isinstance(here, list) and isinstance(last, int):
        here[last] = 2**40 + last if place[0] == "seeds" else ""
    elif pattern in _STAND_INS and not is_name:
        here[last] = copy.deepcopy(_STAND_INS[pattern])
    elif len(place) == 2 and place[0] == "data":
        data["data"] = _STAND_INS["data",]
    else:
        here.pop(last, None)


def _problem(details: ErrorDetails, where: str) -> Problem:
    """One of pydantic's errors in our words: rule, got, repair."""
    *parents, last = details["loc"]
    steps = [step for step in parents if not _is_union_branch(step)]
    if details["type"] == "extra_forbidden" or not _is_union_branch(last):
        steps.append(last)  # a user's own key may be called `int`
    place = _text(steps)
    got = _short(repr(details["input"]))
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
    if kind == "model_type":
        return Problem(here, "is a mapping", got, f"its keys are {', '.join(_keys_at(steps))}")
    return Problem(here, message[0].lower() + message[1:], got)


def _text(steps: Sequence[int | str]) -> str:
    """A place as users write it: `a.b[0]`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


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
