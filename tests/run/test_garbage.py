"""What may be deleted: what no sweep needs, never what an unfinished trial may read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.files import Lease, write_json
from xstilts.run.garbage import CHECKPOINT, FALLEN, INTERRUPTED, SCRATCH, UNREFERENCED, find_garbage


def stage(storage: Path, name: str, is_done: bool = True) -> Path:
    folder = storage / "stages" / name
    weights = folder / "encoder" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"12345678")
    if is_done:
        (folder / "DONE").touch()
    return weights


def trial(storage: Path, sweep: str, name: str, state: str, *stages: str) -> None:
    folder = storage / "sweeps" / sweep / "trials" / name
    write_json(folder / "stages.json", list(stages))
    if state != "running":
        record = {"state": state, "stages": [{"name": name} for name in stages]}
        write_json(folder / "record.json", record)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    for name in ("intermediate-a", "target-best", "target-fallen", "target-open", "target-gone"):
        stage(tmp_path, name)
    trial(tmp_path, "s", "t1", "finished", "intermediate-a", "target-best", "target-fallen")
    trial(tmp_path, "s", "t2", "failed", "intermediate-a", "target-open")
    write_json(tmp_path / "sweeps/s/kept.json", ["target-best"])
    return tmp_path


def found(storage: Path, forgotten: str | None = None) -> dict[str, str]:
    garbage = find_garbage(storage, forgotten)
    return {g.path.relative_to(storage).as_posix(): g.reason for g in garbage}


def test_what_no_sweep_needs(storage: Path) -> None:
    stage(storage, ".target-open.12ab")
    (storage / "stages/x.lease").write_text('{"host": "elsewhere", "pid": 1}')
    os.utime(storage / "stages/x.lease", (0, 0))
    for name in ("target-best", "target-open", "target-gone", "target-never"):
        path = storage / "checkpoints" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    trial(storage, "s", "t3", "running", "target-never")
    (storage / "sweeps/s/tune").mkdir()
    assert found(storage) == {
        "stages/target-gone": UNREFERENCED,
        "stages/target-fallen/encoder/model.safetensors": FALLEN,
        "stages/.target-open.12ab": INTERRUPTED,
        "stages/x.lease": INTERRUPTED,
        "checkpoints/target-best.safetensors": CHECKPOINT,
        "checkpoints/target-open.safetensors": CHECKPOINT,
        "checkpoints/target-gone.safetensors": CHECKPOINT,
        "sweeps/s/tune": SCRATCH,
    }
    weights = [g for g in find_garbage(storage) if g.reason in (UNREFERENCED, FALLEN, INTERRUPTED)]
    assert sum(g.num_bytes for g in weights if "lease" not in g.path.name) == 24


def test_deleting_leaves_the_rest_and_nothing_more_to_delete(storage: Path) -> None:
    for garbage in find_garbage(storage):
        garbage.delete()
    assert find_garbage(storage) == []
    assert (storage / "stages/target-best/encoder/model.safetensors").exists()
    assert (storage / "stages/target-open/encoder/model.safetensors").exists()
    assert (storage / "stages/target-fallen/DONE").exists()


def test_a_forgotten_sweep_keeps_its_results_and_what_others_need(storage: Path) -> None:
    trial(storage, "other", "t", "finished", "intermediate-b", "target-best")
    stage(storage, "intermediate-b")
    write_json(storage / "sweeps/other/kept.json", ["target-best"])
    plain, forgotten = found(storage), found(storage, "s")
    more = {path for path in forgotten if path not in plain}
    assert more == {
        "stages/intermediate-a/encoder/model.safetensors",
        "stages/target-open/encoder/model.safetensors",
    }
    assert all(forgotten[path] == "weights that only s needs" for path in more)


def test_nothing_is_looked_for_beside_a_running_sweep(storage: Path) -> None:
    lease = Lease(storage / "sweeps/s/driver.lease")
    assert lease.acquire()
    with lease.held(), pytest.raises(ConfigError, match='sweep "s" is running'):
        find_garbage(storage)
    with pytest.raises(ConfigError, match='no such sweep; got "S"; known: s'):
        find_garbage(storage, "S")


def test_what_a_trial_without_a_driver_works_on_is_left_alone(storage: Path) -> None:
    """`run` has no driver whose lease would say so."""
    stage(storage, ".target-alone.12ab")
    checkpoint = storage / "checkpoints/target-alone.safetensors"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    lease = Lease(storage / "stages/target-alone.lease")
    assert lease.acquire()
    with lease.held():
        assert not [path for path in found(storage) if "target-alone" in path]
    assert {path for path in found(storage) if "target-alone" in path} == {
        "stages/.target-alone.12ab",
        "checkpoints/target-alone.safetensors",
    }
