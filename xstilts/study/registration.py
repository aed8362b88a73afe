"""The pre-registration of a study: what it asks and of what, written before its first trial.

Each launch of a sweep whose study is not yet written down as it is now adds a dated file to the
folder `registration` of the sweep, named by the launch's number; none is ever changed. An answer is
held to the first of a launch whose trials have begun: a contrast that was not primary there, or
that is stated otherwise now, is exploratory.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import xstilts
from xstilts.config.schema import Sweep
from xstilts.config.study_arms import members
from xstilts.config.study_checks import cells
from xstilts.config.study_parts import without_part
from xstilts.files import names_in, read_json, sha256_of, sha256_of_file, write_atomically
from xstilts.run.places import LAUNCH, UNBEGUN, Places
from xstilts.study.answer import Registered

FOLDER = "registration"

_FREE = ("storage", "tracking", "resources", "study")
"""Keys of a sweep file that say nothing of what is compared, and the study, which is told apart."""

_SOURCES = (".py", ".csv")

Statement = Mapping[str, Any]


def statement(sweep: Sweep, inventory: Mapping[str, Any]) -> dict[str, Any]:
    """What a sweep states now: its study, whom the study's arms and contrasts mean, its file, the
    identities of its data, the code. `inventory` is one as JSON."""
    study = sweep.study
    assert study is not None
    resolved = without_part(sweep.model_dump(mode="json", by_alias=True))
    models = inventory.get("models", {})
    data = {
        "models": {name: [own["weights"], own["tokenizer"]] for name, own in models.items()},
        "data sets": dict(inventory.get("data", {})),
    }
    told = {
        "study": study.model_dump(mode="json", by_alias=True),
        "arms": {
            name: {
                "intermediates": list(members(sweep, arm)),
                "models": list(arm.models or ()),
                "parameters": {key: list(own) for key, own in arm.parameters.items()},
            }
            for name, arm in study.arms.items()
        },
        "cells": {
            name: {target: list(own) for target, own in cells(sweep, study, contrast).items()}
            for name, contrast in study.contrasts.items()
        },
        "file": {key: value for key, value in resolved.items() if key not in _FREE},
        "data": data,
    }
    digests = {key: sha256_of(value) for key, value in told.items()} | {"code": code_digest()}
    return {**told, "digests": digests, "version": xstilts.__version__}


def register(sweep: Sweep, places: Places, inventory: Mapping[str, Any], launch: int) -> bool:
    """Write down what a sweep's study states, unless it is written already or there is none;
    whether it was written.

    `inventory` is that of the launch of this number, as JSON. What is written says how many trials
    had ended before. Nothing is ever written over, and a file is whole or not there.
    """
    if sweep.study is None:
        return False
    now = statement(sweep, inventory)
    before = list(_written(places))
    if before and _stated(before[-1][1]) == _stated(now):
        return False
    folder = places.sweep / FOLDER
    folder.mkdir(exist_ok=True)
    ended = sum(1 for _ in places.trials.glob("*/record.json"))
    about = {
        "sweep": sweep.name,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trials_before": ended,
    }
    told = {**about, **now}
    write_atomically(folder / f"{launch:04d}.md", _markdown(told))
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / f"{launch:04d}.json", text + "\n")
    return True


def registered(places: Places, now: Statement) -> Registered | None:
    """The registration that an answer is held to, and what has changed since; None without one."""
    first = _first(places)
    if first is None:
        return None
    path, told = first
    return Registered(
        told["written"], sha256_of_file(path), told["trials_before"], tuple(_changes(told, now))
    )


def reasons(found: Registered | None) -> Iterator[str]:
    """Why of a study, so registered, something is exploratory that its file calls primary."""
    if found is None:
        yield "Nothing was registered before the first trial, so that all of it is exploratory."
    elif found.trials_before:
        ended = f"{found.trials_before} trial{'s' if found.trials_before > 1 else ''} had ended"
        yield f"It was registered when {ended}, so that all of it is exploratory."
    elif found.changed:
        yield (
            f"Changed since it was registered ({found.written}): {', '.join(found.changed)}. "
            "What is not as it was registered is exploratory."
        )


def primary_of(places: Places, now: Statement) -> tuple[str, ...]:
    """The contrasts that are primary now, and were before the first trial, as they are now."""
    found = _first(places)
    if found is None or found[1]["trials_before"]:
        return ()
    told = found[1]
    shared = [_shared(one) for one in (told, now)]
    # Data that came with what the sweep has gained are no change of those that it had.
    same_data = all(
        now["data"][sort].get(name) == value
        for sort, own in told["data"].items()
        for name, value in own.items()
    )
    if shared[0] != shared[1] or not same_data:
        return ()
    return tuple(
        name
        for name in now["study"]["primary"]
        if name in told["study"]["primary"] and _contrast(told, name) == _contrast(now, name)
    )


@cache
def code_digest() -> str:
    """Hex sha256 over the names and the bytes of the package's sources."""
    root = Path(xstilts.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in _SOURCES):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def _written(places: Places) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The registrations of launches whose trials have begun, the first ahead."""
    folder = places.sweep / FOLDER
    names = [Path(name) for name in names_in(folder)]
    numbers = [int(x.stem) for x in names if x.suffix == ".json" and LAUNCH.fullmatch(x.stem)]
    for number in sorted(numbers):
        if not (places.launch(number) / UNBEGUN).exists():
            path = folder / f"{number:04d}.json"
            yield path, read_json(path)


def _first(places: Places) -> tuple[Path, dict[str, Any]] | None:
    return next(_written(places), None)


def _stated(told: Statement) -> list[Any]:
    """What of a statement makes it another one; that the code is a later version's does not."""
    return [_said(told[key]) for key in ("study", "arms", "cells", "file", "data")]


def _said(value: Any) -> Any:
    """A value without its keys, at any depth, that are empty: one that a later version knows says
    nothing where it is."""
    if isinstance(value, Mapping):
        told = {key: _said(own) for key, own in value.items()}
        return {key: own for key, own in told.items() if own not in (None, [], {})}
    return [_said(own) for own in value] if isinstance(value, list) else value


def _shared(told: Statement) -> list[Any]:
    """What all contrasts of a statement stand on."""
    study = told["study"]
    return [*(study[key] for key in ("alpha", "margin", "seeds")), told["file"]["seeds"]]


def _contrast(told: Statement, name: str) -> list[Any]:
    """All that says what a contrast is."""
    spec = told["study"]["contrasts"][name]
    return [_said(spec), told["cells"][name], *(_said(told["arms"][arm]) for arm in spec["arms"])]


def _changes(told: Statement, now: Statement) -> Iterator[str]:
    """What a statement says otherwise than another, by the names of the sweep file's keys."""
    before, after = _said(told["study"]), _said(now["study"])
    for key in sorted(before.keys() | after.keys()):
        if key not in ("arms", "contrasts") and before.get(key) != after.get(key):
            yield f"study.{key}"
    for key, resolved in (("arms", "arms"), ("contrasts", "cells")):
        for name in sorted(before[key].keys() | after[key].keys()):
            pairs = [
                (said[key].get(name), _said(one[resolved].get(name)))
                for said, one in ((before, told), (after, now))
            ]
            if pairs[0] != pairs[1]:
                yield f"study.{key}.{name}"
    yield from _differing(told["file"], now["file"])
    for sort, own in told["data"].items():
        yield from _differing(own, now["data"][sort])
    if told["digests"]["code"] != now["digests"]["code"]:
        yield f"code ({told['version']} then, {now['version']} now)"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names whose values are not the same in both."""
    one, other = _said(one), _said(other)
    return [x for x in sorted(one.keys() | other.keys()) if one.get(x) != other.get(x)]


def _markdown(told: Statement) -> str:
    """The registration for people."""
    study = told["study"]
    lines = [f"# {told['sweep']}", "", study["question"], ""]
    lines += [f"Written {told['written']}, when {told['trials_before']} trials had ended.", ""]
    lines += ["| arm | intermediates | models |", "|---|---|---|"]
    for name, arm in told["arms"].items():
        models = ", ".join(arm["models"]) or "all"
        lines.append(f"| {name} | {', '.join(arm['intermediates'])} | {models} |")
    lines += ["", "| contrast | standing | test | targets | languages |", "|---|---|---|---|---|"]
    for name, spec in study["contrasts"].items():
        standing = "primary" if name in study["primary"] else "exploratory"
        languages = sorted({code for codes in told["cells"][name].values() for code in codes})
        arms, test = " - ".join(spec["arms"]), f"{spec['test']} {spec['covariate'] or ''}".strip()
        where = f"{', '.join(told['cells'][name])} | {', '.join(languages)}"
        lines.append(f"| {name}: {arms} | {standing} | {test} | {where} |")
    said = f"alpha {study['alpha']:g}, margin {study['margin']:g} points"
    lines += ["", f"{said}, seeds {', '.join(map(str, told['file']['seeds']))}.", ""]
    lines += [f"- {key}: sha256 {value}" for key, value in told["digests"].items()]
    return "\n".join([*lines, f"- version: {told['version']}", ""])
