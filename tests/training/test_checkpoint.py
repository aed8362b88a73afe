"""Checkpoints: a stage that was stopped anywhere ends with the weights of one that was not."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from xstilts.errors import Preempted
from xstilts.records import Outcome
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import train

Toy = Any  # of conftest.py, which tests cannot import


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def told(outcome: Outcome) -> dict[str, Any]:
    times = dict.fromkeys(("model_s", "wait_s", "checkpoint_s", "total_s"), 0.0)
    return asdict(replace(outcome, **times))


class StopAfter:
    """Tells a stage to stop after so many questions, each once."""

    def __init__(self, *counts: int):
        self.counts = set(counts)
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked in self.counts


def run(toy: Toy, stage: Any, path: Path, **options: Any) -> tuple[Any, Outcome]:
    model = toy.model(stage)
    checkpoints = Checkpoints(path, "stage", **{"every_s": 1e9, **options})
    outcome = train(model, stage, toy.data(stage), toy.vocabulary, checkpoints=checkpoints)
    checkpoints.wait()
    return model, outcome


@pytest.mark.parametrize("tasks", [("toy_a",), ("toy_a", "toy_t", "toy_m")])
@pytest.mark.parametrize("stops", [(1,), (4,), (5,), (2, 3, 9), (7, 8)])
def test_a_stopped_stage_goes_on_to_the_same_bits(
    toy: Toy, tmp_path: Path, tasks: tuple[str, ...], stops: tuple[int, ...]
) -> None:
    """Before the first check, right after one, between two; more than once."""
    kinds = {"toy_a": "pair", "toy_t": "tagging", "toy_m": "mlm"}
    for task in tasks:
        toy.task(task, kinds[task])
    stage = toy.stage(*tasks, examples=160 // len(tasks))
    expected, undisturbed = toy.train(stage)
    stop = StopAfter(*stops)
    path = tmp_path / "checkpoint.safetensors"
    for _ in stops:
        with pytest.raises(Preempted, match="stopped after step"):
            run(toy, stage, path, must_stop=stop)
    model, outcome = run(toy, stage, path, must_stop=stop)
    assert same(weights(model), weights(expected))
    assert told(outcome) == told(undisturbed)


def test_checkpoints_change_nothing_and_are_written_in_time(toy: Toy, tmp_path: Path) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=160)
    expected, _ = toy.train(stage)
    path = tmp_path / "checkpoint.safetensors"
    model, _ = run(toy, stage, path, every_s=0.0)
    assert same(weights(model), weights(expected))
    assert path.exists() and list(path.parent.iterdir()) == [path]
    state = Checkpoints(path, "stage", 0.0).read()
    assert state is not None and 0 < state[1]["step"] < 10
    # The one that lies there is used: other weights in it, other weights in the end.
    tensors = {name: tensor * 1.5 for name, tensor in state[0].items()}
    again = Checkpoints(path, "stage", 0.0)
    again.write(tensors, state[1])
    again.wait()
    other, _ = run(toy, stage, path)
    assert not same(weights(other), weights(expected))
    again.clear()
    assert list(path.parent.iterdir()) == []


def test_a_stage_goes_on_from_the_checkpoint_of_an_earlier_process(
    toy: Toy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process writes a file of its own; those before are deleted once it lies there."""
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=160)
    expected, undisturbed = toy.train(stage)
    first, second, third = (tmp_path / f"checkpoint-{number}" for number in (1, 2, 3))
    with pytest.raises(Preempted, match="after step 3 of"):
        run(toy, stage, first, must_stop=StopAfter(3))
    before = first.read_bytes()
    with pytest.raises(Preempted, match="after step 5 of"):
        run(toy, stage, second, must_stop=StopAfter(2), earlier=[first])
    assert list(tmp_path.iterdir()) == [second]
    first.write_bytes(before)
    damage(second, "torn")
    with pytest.raises(Preempted, match="after step 4 of"):
        run(toy, stage, third, must_stop=StopAfter(1), earlier=[second, first])
    assert str(second) in caplog.text
    assert list(tmp_path.iterdir()) == [third]
    model, outcome = run(toy, stage, tmp_path / "checkpoint-4", earlier=[third])
    assert same(weights(model), weights(expected))
    assert told(outcome) == told(undisturbed)


def test_writing_takes_a_small_share_of_the_time(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "stage", every_s=0.0)
    assert checkpoints.is_due()
    checkpoints._write_s = 100.0
    assert not checkpoints.is_due()
    checkpoints._last -= 3200
    assert not checkpoints.is_due()
    checkpoints._last -= 200
    assert checkpoints.is_due()


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "torn":
        data = data[: len(data) // 2]
    elif how == "flipped":
        data[-5] ^= 1
    elif how == "empty":
        data = bytearray()
    elif how == "another file":
        data = bytearray(b"not a checkpoint at all" * 10)
    path.write_bytes(bytes(data))
    if how == "weights":
        safetensors.torch.save_file({"a": torch.ones(2)}, path)
    elif how == "another stage":
        other = Checkpoints(path, "another", 0.0)
        other.write({"a": torch.ones(2)}, {"step": 3})
        other.wait()
    elif how == "another state":
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        tensors = safetensors.torch.load_file(path)
        state = json.loads(metadata["state"])
        changed = json.dumps({**state, "step": state["step"] + 1})
        safetensors.torch.save_file(tensors, path, {**metadata, "state": changed})
    elif how == "another model":
        other = Checkpoints(path, "stage", 0.0)
        other.write({"model.a": torch.ones(2)}, {"step": 3})
        other.wait()


@pytest.mark.parametrize(
    "how",
    [
        *("torn", "flipped", "empty", "another file", "weights"),
        *("another stage", "another state", "another model"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_skipped(
    toy: Toy, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=64)
    expected, _ = toy.train(stage)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Preempted):
        run(toy, stage, path, must_stop=StopAfter(2))
    damage(path, how)
    with caplog.at_level(logging.WARNING):
        model, _ = run(toy, stage, path)
    assert "skipped" in caplog.text and str(path) in caplog.text
    assert same(weights(model), weights(expected))


@pytest.mark.parametrize("folder", ["file", "gone"])
def test_a_disk_that_takes_nothing_is_an_error_of_the_stage(
    toy: Toy, tmp_path: Path, folder: str
) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=160)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="cannot be written"):
        run(toy, stage, tmp_path / folder / "checkpoint.safetensors", every_s=0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "no folder is made anew"
