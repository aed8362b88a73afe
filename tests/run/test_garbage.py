"""What may be deleted: what no sweep needs, never what an unfinished trial may read."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import entry_json, record_json
from xstilts.errors import ConfigError, LeaseLost
from xstilts.files import write_json
from xstilts.lease import Lease, claim_path
from xstilts.plan.stage import Pretrained
from xstilts.run.garbage import (
    CHECKPOINT,
    DAMAGED,
    FALLEN,
    INTERRUPTED,
    OLD_S,
    SCRATCH,
    UNREAD,
    UNREFERENCED,
    cleaning,
    delete_all,
    find_garbage,
)
from xstilts.run.places import Places
from xstilts.run.stage_results import seal
from xstilts.run.storage import open_storage
from xstilts.run.store import Claim, Store

WEIGHTS = "result-1/encoder/model.safetensors"


def stage(storage: Path, name: str, is_done: bool = True) -> Path:
    """A stage's folder, with a result of eight bytes of weights."""
    folder = storage / "store" / name
    result = folder / "result-1"
    (result / "encoder").mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"12345678")
    seal(result, {"fingerprint": name})
    if not is_done:
        (result / "DONE").unlink()
        result.rename(folder / "work-0001-12ab")
    return folder


def trial(storage: Path, sweep: str, name: str, state: str, *stages: str) -> None:
    places = Places(storage, sweep)
    folder = places.trials / name
    folder.mkdir(parents=True)
    places.launch(1).mkdir(parents=True, exist_ok=True)
    write_json(folder / "stages.json", list(stages))
    if state != "running":
        record = record_json(name, state=state, stages=[entry_json(one) for one in stages])
        write_json(folder / "record.json", record)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    open_storage(tmp_path)
    for name in ("intermediate-a", "target-best", "target-fallen", "target-open", "target-gone"):
        stage(tmp_path, name)
    trial(tmp_path, "s", "t1", "finished", "intermediate-a", "target-best", "target-fallen")
    trial(tmp_path, "s", "t2", "failed", "intermediate-a", "target-open")
    write_json(Places(tmp_path, "s").launch(1) / "kept.json", ["target-best"])
    return tmp_path


def found(storage: Path, forgotten: str | None = None) -> dict[str, str]:
    garbage = find_garbage(storage, forgotten)
    return {g.path.relative_to(storage).as_posix(): g.reason for g in garbage}


def test_what_no_sweep_needs(storage: Path) -> None:
    store = storage / "store"
    stage(storage, "target-never", is_done=False)
    trial(storage, "s", "t3", "running", "target-never")
    for name in ("target-best", "target-open", "target-gone", "target-never"):
        (store / name / "checkpoint-0001.safetensors").write_bytes(b"1234")
    for name in ("torn-1-abcd", "trash-ef01"):
        shutil.copytree(store / "target-open" / "result-1", store / "target-open" / name)
    (storage / "encoded" / "torn-12-x.features.arrow").touch()
    (storage / ".mini-12ab").mkdir()
    (Places(storage, "s").launch(1) / "tune").mkdir()
    assert found(storage) == {
        "store/target-gone": UNREFERENCED,
        "store/target-fallen": FALLEN,
        "store/target-never/work-0001-12ab": INTERRUPTED,
        "store/target-open/torn-1-abcd": DAMAGED,
        "store/target-open/trash-ef01": INTERRUPTED,
        "store/target-best/checkpoint-0001.safetensors": CHECKPOINT,
        "store/target-open/checkpoint-0001.safetensors": CHECKPOINT,
        "encoded/torn-12-x.features.arrow": DAMAGED,
        ".mini-12ab": INTERRUPTED,
        "sweeps/s/launches/0001/tune": SCRATCH,
    }
    sizes = {g.path.name: g.num_bytes for g in find_garbage(storage)}
    assert sizes["target-fallen"] == 8, "its weights alone"
    assert sizes["checkpoint-0001.safetensors"] == 4


def test_deleting_leaves_the_rest_and_nothing_more_to_delete(storage: Path) -> None:
    with cleaning(storage) as lease:
        delete_all(find_garbage(storage), lease)
    assert find_garbage(storage) == []
    store = storage / "store"
    assert (store / "target-best" / WEIGHTS).exists()
    assert (store / "target-open" / WEIGHTS).exists()
    assert (store / "target-fallen" / "result-1" / "DONE").exists()
    assert not (store / "target-fallen" / WEIGHTS).exists()
    assert not (store / "target-gone").exists()


def test_what_is_another_s_by_now_is_not_deleted(storage: Path) -> None:
    """One of two that delete is stopped; the stage is deleted and made anew before it goes on."""
    gone = next(one for one in find_garbage(storage) if one.path.name == "target-gone")
    with cleaning(storage) as lease:
        shutil.rmtree(gone.path)
        gone.delete()
        claim_path(lease.folder, lease.number + 1).write_bytes(lease._content("held"))
        stage(storage, "target-gone")
        with pytest.raises(LeaseLost, match="taken over"):
            delete_all([gone], lease)
    assert (gone.path / "result-1" / "DONE").exists()


def test_a_forgotten_sweep_keeps_its_results_and_what_others_need(storage: Path) -> None:
    trial(storage, "other", "t", "finished", "intermediate-b", "target-best")
    stage(storage, "intermediate-b")
    write_json(Places(storage, "other").launch(1) / "kept.json", ["target-best"])
    plain, forgotten = found(storage), found(storage, "s")
    more = {path for path in forgotten if path not in plain}
    assert more == {"store/intermediate-a", "store/target-open"}
    assert all(forgotten[path] == "weights that only s needs" for path in more)


def test_nothing_is_looked_for_beside_a_running_sweep(storage: Path) -> None:
    lease = Lease(Places(storage, "s").launches)
    assert lease.acquire()
    with lease.held(), pytest.raises(ConfigError, match=r'sweep "s" is running; got process \d+'):
        find_garbage(storage)
    assert find_garbage(storage)
    with pytest.raises(ConfigError, match='no such sweep; got "S"; known: s'):
        find_garbage(storage, "S")


def test_what_a_trial_without_a_driver_works_on_is_left_alone(storage: Path) -> None:
    """`run` has no driver whose lease would say so."""
    folder = stage(storage, "target-alone", is_done=False)
    (folder / "checkpoint-0001.safetensors").touch()
    lease = Lease(folder)
    assert lease.acquire()
    with lease.held():
        assert not [path for path in found(storage) if "target-alone" in path]
    assert {path for path in found(storage) if "target-alone" in path} == {"store/target-alone"}


@pytest.mark.parametrize("text", ["", "[", "{}", "null"])
def test_where_a_trials_list_is_torn_no_stage_is_called_unreferenced(
    storage: Path, text: str
) -> None:
    """It may be the list of any of them."""
    trial(storage, "s", "t3", "running", "target-gone")
    (Places(storage, "s").trials / "t3" / "stages.json").write_text(text)
    assert UNREFERENCED not in found(storage).values()
    assert FALLEN in found(storage).values(), "what else may go may still go"


def test_a_torn_list_of_a_finished_trial_stands_in_its_record(storage: Path) -> None:
    (Places(storage, "s").trials / "t1" / "stages.json").write_text("[")
    assert found(storage) == {"store/target-gone": UNREFERENCED, "store/target-fallen": FALLEN}


@pytest.mark.parametrize("name", ["record.json", "kept.json", "sweep.json", "status.json"])
def test_one_torn_file_costs_no_other_sweep(storage: Path, name: str) -> None:
    trial(storage, "other", "t", "finished", "intermediate-b")
    stage(storage, "intermediate-b")
    before = found(storage)
    folder = Places(storage, "other").trials / "t"
    if name in ("kept.json", "sweep.json"):
        folder = Places(storage, "other").launch(1)
    (folder / name).write_text('{"half')
    assert found(storage) == before


def test_a_folder_that_goes_while_a_run_takes_it_is_made_again(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Pretrained("m", "/nowhere", "weights", "tokenizer")
    store = Store(storage, heartbeat_s=0.1)
    acquire, calls = Lease.acquire, []

    def late(lease: Lease) -> bool:
        if not calls:
            (garbage,) = [g for g in find_garbage(storage) if g.path == lease.folder]
            garbage.delete()
        calls.append(lease)
        return acquire(lease)

    def compute(claim: Claim) -> dict[str, Any]:
        (claim.folder / "file").write_text("content")
        return {}

    monkeypatch.setattr(Lease, "acquire", late)
    assert store.get(wanted, compute).manifest["files"].keys() == {"file"}
    assert len(calls) == 2


def own_data(storage: Path, *names: str) -> None:
    """Data sets of own files, used last two hours ago."""
    for name in names:
        folder = storage / "own" / name
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"12")
        os.utime(folder, (0, time.time() - 2 * OLD_S))


def reads(folder: Path, *names: str) -> None:
    """A definition whose inventory names data sets of own files."""
    folder.mkdir(parents=True, exist_ok=True)
    folders = {f"own:{name}": f"own/{name}" for name in names}
    write_json(folder / "inventory.json", {"folders": {**folders, "hub/x": "/elsewhere/x"}})


def own_garbage(storage: Path) -> dict[str, str]:
    return {path: why for path, why in found(storage).items() if path.startswith("own/")}


def test_data_sets_of_own_files_that_no_definition_names(storage: Path) -> None:
    own_data(storage, "m-train-1", "m-train-2", "m-train-3", "m-train-4", ".m-train-5-ab")
    assert own_garbage(storage) == {"own/.m-train-5-ab": INTERRUPTED}, "what t1 read, nobody knows"
    for number, name in enumerate(("m-train-1", "m-train-2"), 1):
        reads(Places(storage, "s").launch(number), name)
    prepared = Places(storage, "p").sweep / "prepared.json"
    prepared.parent.mkdir()
    write_json(prepared, {"folders": {"own:m": "/elsewhere/own/m-train-3"}})
    expected = {"own/.m-train-5-ab": INTERRUPTED, "own/m-train-4": UNREAD}
    assert own_garbage(storage) == expected, "any launch reads, and what is prepared"
    assert {g.num_bytes for g in find_garbage(storage) if g.reason == UNREAD} == {2}
    with cleaning(storage) as lease:
        delete_all(find_garbage(storage), lease)
    left = {path.name for path in (storage / "own").iterdir()}
    assert left == {"m-train-1", "m-train-2", "m-train-3"}


def test_data_sets_that_a_command_has_used_of_late_stay(storage: Path) -> None:
    """Its sweep may be about to begin."""
    reads(Places(storage, "s").launch(1))
    own_data(storage, "m-train-1")
    assert own_garbage(storage) == {"own/m-train-1": UNREAD}
    (storage / "own" / "m-train-1").touch()
    assert own_garbage(storage) == {}


@pytest.mark.parametrize("text", ["", "[", "{}", "null"])
def test_where_an_inventory_is_torn_all_data_sets_of_own_files_stay(
    storage: Path, text: str
) -> None:
    reads(Places(storage, "s").launch(1))
    reads(Places(storage, "other").launch(1))
    own_data(storage, "m-train-1")
    assert own_garbage(storage) == {"own/m-train-1": UNREAD}
    (Places(storage, "other").launch(1) / "inventory.json").write_text(text)
    assert own_garbage(storage) == {}


def test_what_a_race_has_begun_again_keeps_what_it_may_read(storage: Path) -> None:
    """The trial has finished with some targets; what it was given later is not over."""
    stage(storage, "target-later")
    trial(storage, "s", "t3", "finished", "intermediate-a")
    folder = Places(storage, "s").trials / "t3"
    write_json(folder / "stages.json", ["intermediate-a", "target-later"])
    for number, how in ((1, "finished"), (2, None)):
        write_json(folder / f"{number:04d}.json", {"started": 1.0, "how": how})
    assert "store/target-later" not in found(storage)
    write_json(folder / "0002.json", {"started": 1.0, "how": "finished"})
    assert found(storage)["store/target-later"] == FALLEN


def test_a_base_of_kept_adapters_stays(storage: Path) -> None:
    """A link's weights are no trial's to come; what is kept may be merged into them."""
    for name, base in (("target-link", ""), ("target-other", ""), ("target-thin", "target-link")):
        folder = stage(storage, name)
        if base:
            seal(folder / "result-1", {"fingerprint": name, "base": base})
    trial(storage, "s", "t3", "finished", "target-link", "target-other", "target-thin")
    write_json(Places(storage, "s").launch(1) / "kept.json", ["target-best", "target-thin"])
    assert found(storage) == {
        "store/target-fallen": FALLEN,
        "store/target-gone": UNREFERENCED,
        "store/target-other": FALLEN,
    }
