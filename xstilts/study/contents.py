"""What of a sweep is in its bundle, and a storage made of it again, in which the same code reads
the same results.

Parts that others follow from: what launches wrote, records, items, the environment. Parts that
follow: the sweep file, the commands, the languages, the numbers. Who verifies makes these again.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from xstilts import __version__
from xstilts.errors import StoreError
from xstilts.files import names_in, sha256_of
from xstilts.records import TrialRecord, typed
from xstilts.report.comparison import evaluations_of
from xstilts.report.documents import as_json
from xstilts.report.results import Results, load_results
from xstilts.run.confirmation import CHOICE
from xstilts.run.node import ENVIRONMENT, versions
from xstilts.run.outcomes import Items, write_outcomes
from xstilts.run.places import INVENTORY, LAUNCH, SWEEP, SWEEP_FILE, TARGET_POINTS, UNBEGUN, Places
from xstilts.run.records import RECORD
from xstilts.run.rounds import WEIGHTS
from xstilts.run.spending import SPENT
from xstilts.run.stage_results import DONE, MANIFEST
from xstilts.run.store import Store
from xstilts.study import registration
from xstilts.study.analysis import answered
from xstilts.study.answer import Answer
from xstilts.study.bundle import json_bytes
from xstilts.study.bundle_reader import Bundle
from xstilts.study.bundled_items import ABOUT, DIGITS, About, Counts, items_of, pack_items
from xstilts.study.bundled_odds import ODDS
from xstilts.study.odds import odds_of
from xstilts.study.words import limits
from xstilts.tasks.languages import LANGUAGES, language

LAUNCHES, REGISTRATION, TRIALS, ITEMS = "launches", "registration", "trials", "items"
"""The folders of a bundle."""

LAUNCHED = (SWEEP, INVENTORY, TARGET_POINTS, ENVIRONMENT, CHOICE, WEIGHTS, SPENT, UNBEGUN)
"""Of what a launch wrote, what results are read by."""

REGISTERED = re.compile(r"\d{4,}\.json")
"""What registrations are called."""

STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What stages are called: a plain name of a folder."""

COMMANDS, TABLE = "commands.txt", "languages.json"

REPORT, ANSWER = "report.json", "answer.json"
"""The report's numbers; of a sweep with a study its answer."""

PACKAGES = ("numpy", "scipy", "scikit-learn", "pydantic", "pyarrow")
"""Packages that numbers are computed with."""

OF_A_PLACE = ("command",)
"""What of a verdict's JSON speaks of where the storage is."""


def parts_of(results: Results) -> Iterator[tuple[str, bytes]]:
    """All parts of a sweep's bundle but the manifest, by name and content, in their order.

    Raises:
        StoreError: an evaluation that a trial was scored by is no longer in the store.
    """
    yield from followed(results).items()
    if results.sweep.study is not None and (odds := odds_of(results)) is not None:
        yield ODDS, json_bytes(odds, indent=1)
    yield ENVIRONMENT, json_bytes(environment(), indent=1)
    for folder in sorted(results.places.launch_folders()):
        for name in LAUNCHED:
            if (path := folder / name).is_file():
                yield f"{LAUNCHES}/{folder.name}/{name}", path.read_bytes()
    registrations = results.places.sweep / registration.FOLDER
    for name in sorted(names_in(registrations)):
        if REGISTERED.fullmatch(name):
            yield f"{REGISTRATION}/{name}", (registrations / name).read_bytes()
    for record in results.records:
        yield f"{TRIALS}/{record.trial}.json", json_bytes(record.to_json())
    yield from _items(results)


def followed(results: Results) -> dict[str, bytes]:
    """The parts that follow from the others, by name."""
    definition = results.places.definition()
    assert definition is not None
    numbers = as_json(results)
    for told in numbers["targets"].values():
        for name in OF_A_PLACE:
            told.pop(name)
    answer = {} if results.sweep.study is None else {ANSWER: json_bytes(_answer(results), indent=1)}
    return {
        **answer,
        COMMANDS: _commands(results).encode(),
        TABLE: json_bytes(_languages(results), indent=1),
        REPORT: (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode(),
        SWEEP_FILE: yaml.safe_dump(definition.sweep, sort_keys=False).encode(),
    }


def environment() -> dict[str, Any]:
    """What the bundle was made with; what each launch ran with is among what that wrote."""
    return {"xstilts": __version__, **versions(), **{name: _version(name) for name in PACKAGES}}


def unpacked(bundle: Bundle, storage: Path) -> Results:
    """The results in a bundle, whose files are written into an empty folder as a storage has them.

    Raises:
        BundleError: a part is not what it should be.
        ConfigError: the sweep cannot be read.
    """
    places = Places(storage, bundle.manifest.sweep)
    for name in bundle.names(LAUNCHES):
        _, launch, file = name.split("/")
        if not LAUNCH.fullmatch(launch) or file not in LAUNCHED:
            raise bundle.error(name, "is no file that a launch writes")
        _put(places.launches / launch / file, bundle.read(name))
    for name in bundle.names(REGISTRATION):
        file = name.removeprefix(f"{REGISTRATION}/")
        if not REGISTERED.fullmatch(file):
            raise bundle.error(name, "is no registration of a launch")
        _put(places.sweep / registration.FOLDER / file, bundle.read(name))
    for name in bundle.names(TRIALS):
        content = bundle.json(name)
        try:
            record = typed(content, TrialRecord, name)
            if name != f"{TRIALS}/{record.trial}.json":
                raise ValueError(f"trial: {record.trial}")
            # They are looked up in the store by these.
            if any(not STAGE.fullmatch(stage.name) for stage in record.stages):
                raise ValueError("stages: a name is none of a stage")
        except (StoreError, ValueError, TypeError, AttributeError) as error:
            raise bundle.error(name, f"is no record of that trial: {error}") from error
        _put(places.trials / record.trial / RECORD, bundle.read(name))
    for stage, target, items in bundled_items(bundle):
        _put_evaluation(storage, stage, target, items)
    return load_results(places)


def bundled_items(bundle: Bundle) -> Iterator[tuple[str, str, dict[str, Items] | None]]:
    """Stage, target and items of every evaluation in a bundle; None where it kept none.

    Raises:
        BundleError: a part is not what it should be.
    """
    known: dict[str, About] = {}
    for name in bundle.names(ITEMS):
        stage, _, file = name.removeprefix(f"{ITEMS}/").partition("/")
        if stage == ABOUT:
            continue
        try:
            counts = _COUNTS.validate_python(bundle.json(name))
            if counts is None:
                yield stage, file.removesuffix(".json"), None
                continue
            if counts.about not in known:
                of_items = f"{ITEMS}/{ABOUT}/{counts.about}.json"
                if sha256(bundle.read(of_items)).hexdigest()[:DIGITS] != counts.about:
                    raise bundle.error(of_items, "is not what its name says")
                known[counts.about] = _ABOUT.validate_python(bundle.json(of_items))
            items = items_of(known[counts.about], counts)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise bundle.error(name, f"{where}: {first['msg']}") from error
        except ValueError as error:
            raise bundle.error(name, f"is no evaluation's items: it needs {error}") from error
        yield stage, file.removesuffix(".json"), items


_COUNTS: TypeAdapter[Counts | None] = TypeAdapter(Counts | None)
_ABOUT = TypeAdapter(About)


def _items(results: Results) -> Iterator[tuple[str, bytes]]:
    """The parts of all evaluations, each with the first record that it scored."""
    store, done = Store(results.places.storage), set()
    for record in results.records:
        for target, stage in evaluations_of(results.sweep, record).items():
            name = f"{ITEMS}/{stage}/{target}.json"
            if name in done:
                continue
            result = store.result(stage)
            if result is None:
                raise StoreError(
                    f"{record.trial}: {target}: its evaluation is no longer in the store; "
                    f"`xstilts run FILE --trial {record.trial}` makes it again"
                )
            packed = pack_items(result, target)
            if packed is not None:
                about = f"{ITEMS}/{ABOUT}/{packed[0].about}.json"
                if about not in done:
                    yield about, packed[1]
                done.add(about)
            yield name, json_bytes(packed and packed[0])
            done.add(name)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _put_evaluation(storage: Path, stage: str, target: str, items: dict[str, Items] | None) -> None:
    """An evaluation as the store has it: sealed, with its items, or as one that kept none."""
    result = Store(storage).folder / stage / "result-1"
    _put(result / MANIFEST, json_bytes({"name": stage, "files": {}}))
    _put(result / DONE, b"")
    if items is None:
        (result / "predictions" / target).mkdir(parents=True)
    else:
        write_outcomes(result, target, items)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _answer(results: Results) -> Answer:
    """The answer, but for that the code has changed since the registration: whoever verifies has
    a code of his own."""
    answer = answered(results)
    if answer.registered is None:
        return answer
    changed = tuple(x for x in answer.registered.changed if not x.startswith("code "))
    answer = replace(answer, registered=replace(answer.registered, changed=changed))
    return replace(answer, limits=tuple(limits(answer, results.sweep)))


def _commands(results: Results) -> str:
    """What runs the sweep again and answers it, from a folder with the parts of the bundle."""
    name = shlex.quote(results.sweep.name)
    lines = [
        "# Data and models are those of inventory.json in the folder of the last launch.",
        f"xstilts sweep {SWEEP_FILE}",
        f"xstilts report {name}" + (" --study" if results.sweep.study else ""),
        f"xstilts bundle {name}",
        f"xstilts verify {name}.bundle.zip",
    ]
    return "\n".join(lines) + "\n"


def _languages(results: Results) -> dict[str, Any]:
    """What the table says of the languages in which the sweep has trained and scored."""
    trained = (code for one in results.records for own in one.examples.values() for code in own)
    scored = (code for one in results.records for code in one.scores.columns.get("language", ()))
    rows = {code: dict(language(code).values) for code in sorted({*trained, *scored})}
    table = {code: dict(one.values) for code, one in LANGUAGES.items()}
    return {"sha256": sha256_of(table), "rows": rows}
