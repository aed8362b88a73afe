"""Compiled training computes what the plain one does, in a few graphs, and says when it cannot.

Compiled for the CPU here: the graphs are those of a GPU up to the code that is made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from xstilts.bench import workloads
from xstilts.bench.measure import Benchmark, measure
from xstilts.errors import Preempted, StageError
from xstilts.training import compiling
from xstilts.training import model as models
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import train
from xstilts.training.model import Model
from xstilts.training.outcome import Options
from xstilts.training.packed import self_attention

Toy = Any  # of conftest.py, which tests cannot import

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attention that GPUs take; nothing is compiled, and nothing counted."""
    monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
    compiling.forget()
    counters.clear()


def weights(model: Model) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def without_dropout(model: Model) -> Model:
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    return model


@pytest.mark.parametrize("options", [{}, {"max_tokens": 40}, {"gradient_checkpointing": True}])
def test_it_trains_to_the_same_weights(toy: Toy, options: dict[str, Any]) -> None:
    for name, kind in (("first", "pair"), ("second", "tagging"), ("third", "mlm")):
        toy.task(name, kind)
    stage = toy.stage("first", "second", "third", examples=100, learning_rate=1e-3)
    trained = []
    for compiled in (False, True):
        model = without_dropout(toy.model(stage))
        outcome = train(
            model,
            stage,
            toy.data(stage),
            toy.vocabulary,
            options=Options(compiled=compiled, **options),
        )
        trained.append((weights(model), outcome))
    (plain, one), (compiled_to, other) = trained
    assert float((plain - compiled_to).norm() / plain.norm()) < 1e-4
    for point, same in zip(one.curve, other.curve, strict=True):
        assert point == pytest.approx(same, rel=1e-3)
    # Batches of every size and of three tasks share them; every pass is whole in one.
    assert 0 < counters["stats"]["unique_graphs"] <= 4
    assert not counters["graph_break"]


def test_it_takes_the_weights_that_are_rounded_once_a_step(toy: Toy) -> None:
    """In bfloat16, where a compiler rounds less often: near the plain losses, in whole graphs."""
    toy.task("first")
    stage = toy.stage("first", examples=100, learning_rate=1e-3, precision="bf16")
    curves = []
    for compiled in (False, True):
        options = Options(compiled=compiled)
        model = without_dropout(toy.model(stage))
        outcome = train(model, stage, toy.data(stage), toy.vocabulary, options=options)
        curves.append([point["loss"] for point in outcome.curve])
    assert curves[1] == pytest.approx(curves[0], rel=2e-2)
    assert curves[0][-1] < 0.95 * curves[0][0]
    assert 0 < counters["stats"]["unique_graphs"] <= 2
    assert not counters["graph_break"]


def test_it_goes_on_to_the_same_bits(toy: Toy, tmp_path: Path) -> None:
    """With dropout, which torch draws."""
    toy.task("first")
    stage = toy.stage("first", examples=160)
    options = Options(compiled=True)

    def trained(checkpoints: Checkpoints | None = None) -> torch.Tensor:
        model = toy.model(stage)
        train(
            model,
            stage,
            toy.data(stage),
            toy.vocabulary,
            options=options,
            checkpoints=checkpoints,
        )
        return weights(model)

    whole = trained()
    path, asked = tmp_path / "checkpoint", iter([False] * 5)
    with pytest.raises(Preempted, match="after step 6 of 10"):
        trained(Checkpoints(path, "stage", 1e9, lambda: next(asked, True)))
    assert trained(Checkpoints(path, "stage", 1e9)).equal(whole)


def test_a_compiler_that_fails_is_one_line(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise FileNotFoundError("no compiler of C")

    monkeypatch.setattr(models, "compiled", lambda forward: torch.compile(forward, backend=broken))
    toy.task("first")
    stage = toy.stage("first", examples=32)
    with pytest.raises(StageError) as caught:
        train(
            toy.model(stage),
            stage,
            toy.data(stage),
            toy.vocabulary,
            options=Options(compiled=True),
        )
    assert str(caught.value) == (
        "toy: torch.compile failed: backend='broken' raised: FileNotFoundError: no compiler of C; "
        "leave resources.compile out"
    )


def test_the_bench_compiles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    monkeypatch.setitem(workloads.SHAPES, "tiny", {**shape, "hidden_size": 16, "vocab_size": 200})
    found = measure(Benchmark("tiny", ["mnli"], steps=2, rounds=2, batch_size=8, compiled=True))
    assert found["train"][0]["compiled"] and 0 < counters["stats"]["unique_graphs"] <= 2


def test_errors_of_others_are_not_the_compilers() -> None:
    assert compiling.reason(RuntimeError("shapes do not fit")) is None
    assert compiling.reason(torch.OutOfMemoryError("CUDA out of memory")) is None
