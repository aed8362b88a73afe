"""What is done under faults: each command of the package that writes, on the smallest real input.

A scenario comes to a value that says what it left behind, without times and names that are drawn.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.trial_records import entry_json, record_json

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import torch

from xstilts import mini
from xstilts.config.load import parse_sweep
from xstilts.data.token_cache import CacheEntry
from xstilts.errors import Preempted
from xstilts.files import read_json, write_json
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Pretrained, stage_name
from xstilts.run import attempts
from xstilts.run.garbage import cleaning, delete_all, find_garbage
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.preparation import jobs_of
from xstilts.run.records import RECORD, STAGES, is_finished, read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.storage import open_storage
from xstilts.run.store import Claim, Store
from xstilts.run.trial import run_trial
from xstilts.search.journal import take_up_journal
from xstilts.search.launch import prepared
from xstilts.search.proposals import Proposals, target_points
from xstilts.tasks import lookup
from xstilts.training.checkpoint import Checkpoints

from . import format_one

STAGE = Pretrained("m", "/nowhere", "weights", "tokenizer")


@dataclass(frozen=True)
class Scenario:
    """`prepare` fills a folder once; `run` is the command, in a copy of it."""

    prepare: Callable[[Path], Any]
    run: Callable[[Path], Any]


def digests(folder: Path) -> dict[str, str]:
    """The files of results but what names times."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(folder.glob("store/*/result-*/**/*"))
        if path.is_file() and path.name not in ("manifest.json", "DONE")
    }


def named_files(folder: Path) -> list[str]:
    """All files but those that a killed writer had not named yet, which `gc` deletes in an hour."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return [path.relative_to(folder).as_posix() for path in files]


def computed(claim: Claim) -> dict[str, Any]:
    (claim.folder / "encoder").mkdir()
    (claim.folder / "encoder" / "model.safetensors").write_bytes(b"weights" * 1000)
    write_json(claim.folder / "heads.json", {"heads": 1})
    return {"outcome": {"made": "here"}}


def store(folder: Path) -> Any:
    """A stage, its weights dropped, and made again."""
    at = Store(folder, heartbeat_s=0.1)
    first = at.get(STAGE, computed)
    at.drop_weights(stage_name(STAGE))
    again = at.get(STAGE, computed, with_weights=True)
    weights = (again.folder / "encoder" / "model.safetensors").read_bytes()
    return [first.manifest["outcome"], at.read(STAGE)["outcome"], sha256(weights).hexdigest()]


SPACE = {
    "intermediate.learning_rate": {"float": [1e-4, 1e-2], "log": True, "levels": 3},
    "intermediate.rates": {"simplex": True, "step": 0.25},
}
SWEEP = {
    "name": "s",
    "benchmark": "custom",
    "recipe": "mini",
    "models": {"m": {"path": "builtin:mini"}},
    "data": {"root": "builtin:mini"},
    "intermediates": {
        "mix": {"tasks": ["mini_nli", "mini_qa"], "rates": "search", "budget": {"examples": 9}}
    },
    "targets": ["mini_xnli"],
    "search": {"encoder": {"trials": 3, "space": SPACE}},
}


def small_inventory() -> Inventory:
    rows = {
        row_key(lookup(task), use, language): 10
        for task in ("mini_xnli", "mini_nli", "mini_qa")
        for use in lookup(task).splits
        for language in lookup(task).languages_of(use)
    }
    data = {lookup(task).source.hub_id: "sha" for task in ("mini_xnli", "mini_nli", "mini_qa")}
    return Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, data, rows)


def searched(proposals: Proposals) -> Any:
    while proposals.ask() is not None:
        pass
    for number, name in enumerate(proposals.made):
        proposals.tell(name, float(number))
    return [proposal.point for proposal in proposals.made.values()]


def prepare_journal(folder: Path) -> None:
    open_storage(folder)
    places = Places(folder, "s")
    for path in (places.sweep, places.launches, places.launch(1)):
        path.mkdir()
    proposals = Proposals(parse_sweep(SWEEP, "test"), take_up_journal(places, 1, lambda: None))
    proposals.ask()


def journal(folder: Path) -> Any:
    """A search taken up, and brought to its end."""
    places = Places(folder, "s")
    places.launch(2).mkdir(exist_ok=True)
    return searched(Proposals(parse_sweep(SWEEP, "test"), take_up_journal(places, 2, lambda: None)))


def launch(folder: Path) -> Any:
    """A sweep settled and searched, as a driver does it."""
    sweep, places = parse_sweep(SWEEP, "test"), Places(folder, "s")
    with prepared(sweep, places, small_inventory()) as ready:
        ready.check()
        points = searched(ready.proposals)
        places.begin(ready.lease.number)
        write_json(ready.folder / "usage.json", {"slot_s": 1.0})
    definition = places.definition()
    assert definition is not None
    return [points, definition.sweep, definition.inventory, definition.target_points]


def prepare_records(folder: Path) -> None:
    open_storage(folder)
    places = Places(folder, "s")
    for path in (places.sweep, places.trials):
        path.mkdir()


def records(folder: Path) -> Any:
    """The files of a trial."""
    trial = Places(folder, "s").trials / "t"
    trial.mkdir(exist_ok=True)
    number = 1 + len(attempts.paths(trial))
    attempts.begin(trial, number, "progress", 1.0)
    write_json(trial / STAGES, ["target-a"])
    write_json(trial / RECORD, record_json("t"))
    attempts.end(trial, number, "finished")
    record = read_record(trial)
    return [
        record and record.record,
        is_finished(record, Store(folder)),
        attempts.read(trial)[-1].how,
    ]


def checkpoint(folder: Path) -> Any:
    """A stage of ten steps that writes a checkpoint after each and is stopped in the middle."""
    stage = folder / "stage"
    stage.mkdir(exist_ok=True)
    found = sorted(stage.glob("checkpoint-*"), reverse=True)
    number = 1 + max((int(path.name[11:15]) for path in found), default=0)
    own = stage / f"checkpoint-{number:04d}.safetensors"
    checkpoints = Checkpoints(own, "stage", 0.0, earlier=found)
    read = checkpoints.read()
    tensors, state = read if read else ({"w": torch.zeros(100)}, {"step": 0})
    while state["step"] < 10:
        state = {"step": state["step"] + 1}
        tensors = {"w": tensors["w"] * 1.5 + state["step"]}
        checkpoints.write(tensors, state)
    checkpoints.wait()
    again = Checkpoints(own, "stage", 0.0, earlier=found).read()
    if again is None:
        raise OSError("the checkpoint cannot be read now")
    value = [again[1], again[0]["w"].tolist()[:2]]
    checkpoints.clear()
    assert not list(stage.iterdir()), "nothing is left"
    return value


def prepare_garbage(folder: Path) -> None:
    open_storage(folder)
    at = Store(folder)
    for name in ("referenced", "forgotten", "fallen"):
        at.get(Pretrained(name, "/nowhere", name, "t"), computed)
    places = Places(folder, "s")
    trial = places.trials / "t"
    for path in (places.sweep, places.launches, places.launch(1), places.trials, trial):
        path.mkdir()
    names = [path.name for path in at.folder.iterdir() if "forgotten" not in path.name]
    write_json(trial / STAGES, names)
    record = record_json("t", stages=[entry_json(name) for name in names])
    write_json(trial / RECORD, record)
    write_json(places.launch(1) / "kept.json", [x for x in names if "referenced" in x])
    (places.launch(1) / "tune").mkdir()
    (folder / "encoded" / "torn-1-a.arrow").touch()


def garbage(folder: Path) -> Any:
    """What no sweep needs, deleted."""
    with cleaning(folder) as lease:
        delete_all(find_garbage(folder), lease)
    if left := find_garbage(folder):
        raise OSError(f"could not be deleted: {left[0].path.name}")
    return sorted(path for path in named_files(folder) if "cleaning" not in path)


def take_up(folder: Path) -> Any:
    """A storage of format 1."""
    open_storage(folder, lambda line: None)
    store_ = Store(folder)
    manifest = store_.get(STAGE, computed).manifest
    kept = [path for path in named_files(folder) if "lease" not in path and path != "storage.json"]
    return [manifest["made"], sorted(path for path in kept if not path.startswith("torn-"))]


TRIAL = {
    **SWEEP,
    "intermediates": {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 32}}},
    "targets": ["mini_udpos", "mini_tatoeba"],
    "languages": ["en", "qaa"],
    "evaluation": {"examples": 12},
    "search": {"encoder": {"space": {"target.epochs": {"choice": [0.01]}}}},
}


def trial_of(folder: Path) -> tuple[Planner, Places]:
    data = folder.parent / "mini"
    if not data.exists():
        shutil.copytree(mini.data_path(), data)
    sweep, places = parse_sweep({**TRIAL, "data": {"root": str(data)}}, "test"), Places(folder, "s")
    open_storage(folder)
    for path in (places.sweep, places.trials):
        path.mkdir(exist_ok=True)
    inventory = take_inventory(sweep, places)
    return Planner(sweep, inventory, target_points(sweep)), places


def encode(folder: Path) -> Any:
    """The rows of a trial, read and encoded."""
    planner, places = trial_of(folder)
    workshop = workshop_of(planner, places)
    found = {}
    for job in sorted(jobs_of(planner), key=lambda job: job.num_rows)[:2]:
        facts = planner.inventory.models[job.model]
        encoder, _ = workshop.token_cache_of(facts)
        encoded = encoder.encoded(job.rows, job.language)
        files = CacheEntry(folder, job.rows, job.language, facts.tokenizer)
        told = read_json(files.path("json"))
        found[files.key] = [encoded.features.num_rows, told["figures"], told["files"]]
    return json.loads(json.dumps(found))


def prepare_trial(folder: Path) -> None:
    """With its rows encoded: that they are, under faults, is a scenario of its own."""
    planner, places = trial_of(folder)
    workshop = workshop_of(planner, places)
    for job in jobs_of(planner):
        encoder, _ = workshop.token_cache_of(planner.inventory.models[job.model])
        encoder.encoded(job.rows, job.language)


def trial(folder: Path) -> Any:
    """A trial: intermediate, target, evaluation, record."""
    torch.set_num_threads(1)
    planner, places = trial_of(folder)
    workshop = workshop_of(planner, places)
    point = {"model": "m", "intermediate": "nli", "target.epochs": 0.01}
    plan = planner.plan(point, 0)
    try:
        record = run_trial(plan, planner, workshop, places.trials / plan.trial_id)
    except Preempted:
        raise AssertionError("nobody told it to stop") from None
    if record.state != "finished":
        raise OSError(record.error.partition("\n")[0])
    on_disk = read_record(places.trials / plan.trial_id)
    assert on_disk is not None and on_disk.scores == record.scores
    return [list(record.scores), digests(folder)]


def made(folder: Path) -> None:
    folder.mkdir()
    open_storage(folder)


def made_in_format_one(folder: Path) -> None:
    folder.mkdir()
    format_one.write_storage(folder, STAGE)


ALL = {
    "store": Scenario(made, store),
    "journal": Scenario(prepare_journal, journal),
    "launch": Scenario(made, launch),
    "records": Scenario(prepare_records, records),
    "checkpoint": Scenario(made, checkpoint),
    "gc": Scenario(prepare_garbage, garbage),
    "take_up": Scenario(made_in_format_one, take_up),
    "encode": Scenario(trial_of, encode),
    "run": Scenario(prepare_trial, trial),
}
