"""The bench: equal work for both, figures that fit together, clear refusals."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from tests.benchmarks.trainer import BesideTrainer, train_with_trainer
from xstilts.bench import stopwatch, workloads
from xstilts.bench.measure import Benchmark, count_work, measure
from xstilts.bench.workloads import WORKLOADS, encoder_of, rows_of, stage_of, vocabulary_of
from xstilts.cli import app
from xstilts.data.batches import example_order
from xstilts.training.feed import PartData
from xstilts.training.heads import build_heads
from xstilts.training.loop import train
from xstilts.training.model import Model, settings

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 200,
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(workloads.SHAPES, "tiny", TINY)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_without_dropout_the_weights_are_trainers(name: str) -> None:
    """After 20 steps, to 1e-4 of their norm."""
    encoder = encoder_of("tiny")
    encoder.config.hidden_dropout_prob = encoder.config.attention_probs_dropout_prob = 0.0
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    work = WORKLOADS[name]
    rows = rows_of(work, 20 * 8, 200, seed=3)
    stage = stage_of(work, 20 * 8, 8, 3, "fp32")
    task = stage.parts[0].train.entry
    heads = build_heads({task.name: task}, *settings(encoder), stage.seed, stage.phase)
    ours = Model(copy.deepcopy(encoder), heads)
    before = torch.cat([p.detach().flatten() for p in ours.parameters()])
    train(ours, stage, [PartData([rows], None)], vocabulary_of(encoder.config))
    order = example_order(stage.parts[0], stage.seed, stage.phase).tolist()
    peer, seconds = train_with_trainer(encoder, stage, rows, order, "cpu")
    assert seconds > 0
    theirs = {**dict(peer.encoder.named_parameters()), **dict(peer.head.named_parameters())}
    own = {
        **dict(ours.encoder.named_parameters()),
        **dict(ours.heads[task.name].named_parameters()),
    }
    assert own.keys() == theirs.keys()
    one, other = (torch.cat([p.detach().flatten() for p in x.values()]) for x in (own, theirs))
    assert (one - other).norm() <= 1e-4 * other.norm()
    # They went somewhere: what they differ by is small against that, too.
    assert (one - other).norm() <= 2e-2 * (one - before).norm()


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_hardly_a_position_is_computed_for_nothing(name: str) -> None:
    work = WORKLOADS[name]
    rows = rows_of(work, 320, 200, seed=0)
    stage = stage_of(work, 320, 32, 0, "fp32")
    assert count_work(encoder_of("tiny"), stage, rows).padded_share <= 0.03


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_operations_are_those_that_torch_counts(name: str) -> None:
    work = WORKLOADS[name]
    rows = rows_of(work, 5 * 16, 200, seed=0)
    stage = stage_of(work, 5 * 16, 16, 0, "fp32")
    encoder = encoder_of("tiny")
    task = stage.parts[0].train.entry
    model = Model(encoder, build_heads({task.name: task}, *settings(encoder), 0, "target"))
    products: list[int] = []
    with FlopCounterMode(display=False) as counter:

        def progress(share: float) -> None:
            counted = counter.get_flop_counts()["Global"]
            products.append(counted[torch.ops.aten.mm] + counted[torch.ops.aten.addmm])

        data = [PartData([rows], None)]
        train(model, stage, data, vocabulary_of(encoder.config), progress)
    # Those of steps 3 and 4, which are timed.
    expected = products[3] - products[1]
    counted = count_work(encoder, stage, rows)
    # Biases are counted as if they were products, the head is not.
    assert counted.steps == 2 and counted.operations == pytest.approx(expected, rel=0.06)
    lengths = [len(ids) for ids in rows.features["input_ids"].to_pylist()]
    order = example_order(stage.parts[0], stage.seed, stage.phase)
    assert counted.tokens == sum(lengths[i] for i in order[2 * 16 : 4 * 16])


def test_the_watch_times_the_middle_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.5])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = stopwatch.Stopwatch("cpu", 8)
    for step in range(1, 9):
        watch.after(step)
    assert watch.seconds == 3.5 and next(clock, None) is None


def test_lengths_are_those_that_are_named() -> None:
    lengths = [len(ids) for ids in rows_of(WORKLOADS["mnli"], 4000, 200, 0).features["input_ids"]]
    assert 38 < sum(lengths) / 4000 < 42
    assert 0.985 < sum(length <= 93 for length in lengths) / 4000 < 0.995
    assert max(lengths) <= 128


def test_figures_fit_together() -> None:
    told: list[str] = []
    found = measure(
        Benchmark("tiny", works=("mnli", "squad"), steps=2, rounds=2, batch_size=4),
        told.append,
        BesideTrainer,
    )
    assert [row["kind"] for row in found["train"]] == ["pair", "span"]
    for row in found["train"]:
        assert row["step_s"] * row["examples_per_s"] == pytest.approx(4)
        assert 0 < row["share_of_peak"] < 1 and 0 <= row["loader_share"] < 1
    for row in (*found["train"], *found["evaluate"]):
        low, high = row["ratio_spread"]
        assert low <= row["ratio"] <= high and row["ratio_tuned"] > 0
    assert len(told) == 3 and found["peak_gflops"]["fp32"] > 1
    assert all(row["examples_per_s"] > 0 for row in found["evaluate"])


def test_command(tmp_path: Path) -> None:
    runner = CliRunner()
    options = ["bench", "--model", "tiny", "--steps", "1", "--rounds", "1", "--batch", "2"]
    done = runner.invoke(app, [*options, "--out", str(tmp_path / "bench.json")])
    assert done.exit_code == 0, done.output
    assert "rows/s" in done.output and "Trainer" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    written: dict[str, Any] = json.loads((tmp_path / "bench.json").read_text())
    assert written["train"][0]["model"] == "tiny"
    for wrong in (["--model", "nowhere"], ["--work", "mnli,nil"], ["--precision", "fp8"]):
        refused = runner.invoke(app, [*options, *wrong])
        assert refused.exit_code == 2 and wrong[0] in refused.output
        assert len(refused.output.strip().splitlines()) == 1
