"""A storage of format 1, and the lease of the builds that wrote it, as they were."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from xstilts.plan.stage import Stage, fingerprint, stage_name

HEARTBEAT_S = 10.0


class Lease:
    """Created exclusively; silent for three heartbeats by the file's time, it is taken over."""

    def __init__(self, path: Path):
        self.path = path

    def acquire(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            if time.time() - self.path.stat().st_mtime <= 3 * HEARTBEAT_S:
                return False
            self.path.unlink()
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as stream:
            owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": "t"}
            stream.write(json.dumps(owner))
        return True


def write_stage(root: Path, stage: Stage, outcome: bool = True, has_weights: bool = True) -> Path:
    """A finished stage."""
    folder = root / "stages" / stage_name(stage)
    (folder / "encoder").mkdir(parents=True)
    if has_weights:
        (folder / "encoder" / "model.safetensors").write_text("weights")
    (folder / "encoder" / "config.json").write_text("{}")
    manifest = {"fingerprint": fingerprint(stage), "name": folder.name, "made": "in format 1"}
    if outcome:
        manifest["outcome"] = "trained"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "DONE").write_text("")
    return folder


def write_storage(root: Path, *stages: Stage) -> None:
    """A storage with finished stages, what killed processes leave, and a sweep of two attempts."""
    for stage in stages:
        write_stage(root, stage)
    (root / "stages" / ".target-x.1234").mkdir()
    (root / "stages" / ".target-x.1234" / "half").write_text("half")
    for name in ("cache", "encoded", "limits", "checkpoints"):
        (root / name).mkdir()
    (root / "cache" / "hashes.json").write_text("{}")
    (root / "checkpoints" / "target-x.safetensors").write_text("checkpoint")
    sweep = root / "sweeps" / "s"
    trial = sweep / "trials" / "t"
    trial.mkdir(parents=True)
    for name, value in {
        "sweep.json": {"name": "s"},
        "inventory.json": {"models": {}},
        "target_points.json": {"mini_xnli|0": [{}]},
        "environment.json": {"torch": "2"},
        "kept.json": ["target-a"],
        "launches.json": [{"slot_s": 1.5, "seen": 1.0}, {"slot_s": 2.0, "seen": 2.0}],
    }.items():
        (sweep / name).write_text(json.dumps(value))
    (sweep / "study.journal").write_text('{"op_code": 0}\n')
    (sweep / "stop").touch()
    (sweep / "tune").mkdir()
    attempts = [{"started": 1.0, "how": "lost"}, {"started": 2.0, "how": "finished"}]
    (trial / "attempts.json").write_text(json.dumps(attempts))
    (trial / "record.json").write_text(json.dumps({"state": "finished"}))
