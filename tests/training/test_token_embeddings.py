"""The token table: rows that train as in the whole, a gradient that is torch's dense one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from xstilts.config.recipe import StageRecipe
from xstilts.errors import Preempted
from xstilts.training import loop
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import train
from xstilts.training.optimizer import learning_rate
from xstilts.training.outcome import DEFAULTS, Options
from xstilts.training.token_embeddings import (
    EmbeddingGradient,
    EmbeddingRows,
    decay_after,
    tokens_of,
)

Toy = Any  # of conftest.py, which tests cannot import


class Dense(EmbeddingGradient):
    """Leaves everything to torch."""

    def __init__(self, encoder: torch.nn.Module, is_sparse: bool, is_shared: bool):
        super().__init__(encoder, False, is_shared)


@pytest.fixture
def weights_of(monkeypatch: pytest.MonkeyPatch, toy: Toy) -> Callable[..., torch.Tensor]:
    """All weights after a stage of some tasks, with the table's gradient of a class."""

    def trained(
        kind: type[EmbeddingGradient], *tasks: str, options: Options = DEFAULTS
    ) -> torch.Tensor:
        monkeypatch.setattr(loop, "EmbeddingGradient", kind)
        stage = toy.stage(*tasks, dev_rows=0)
        model = toy.model(stage)
        train(model, stage, toy.data(stage), toy.vocabulary, options=options)
        return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])

    return trained


def test_one_pass_gives_the_bits_of_the_dense_gradient(weights_of: Any, toy: Toy) -> None:
    toy.task("toy_a")
    assert weights_of(EmbeddingGradient, "toy_a").equal(weights_of(Dense, "toy_a"))


@pytest.mark.parametrize("tasks", [("toy_a",), ("toy_a", "toy_mlm")])
def test_many_passes_and_a_tied_head_give_the_same(
    weights_of: Any, toy: Toy, tasks: tuple[str, ...]
) -> None:
    toy.task("toy_a")
    toy.task("toy_mlm", "mlm")
    few = Options(max_tokens=20)
    own, dense = (weights_of(kind, *tasks, options=few) for kind in (EmbeddingGradient, Dense))
    assert float((own - dense).norm() / dense.norm()) < 1e-4


def test_its_memory_stays(weights_of: Any, toy: Toy) -> None:
    toy.task("toy_a")
    seen: list[tuple[int, int]] = []

    class Watched(EmbeddingGradient):
        def fill(self) -> None:
            assert self._weight is not None and self._weight.grad is not None
            assert self._weight.grad.is_sparse
            super().fill()
            grad = self._weight.grad
            seen.append((grad.data_ptr(), int(grad.any(1).sum())))

    weights_of(Watched, "toy_a")
    assert len(seen) == 16 and len({place for place, _ in seen}) == 1
    # A batch of 16 rows reads at most 9 tokens of each; what earlier steps read is cleared.
    assert all(rows <= 16 * 9 for _, rows in seen)


class Whole(EmbeddingRows):
    """Trains the whole table."""

    @classmethod
    def of(cls, *_: Any) -> None:
        return None


@pytest.mark.parametrize("recipe", [{}, {"checks": 4, "patience": 1}, {"keep": "last"}])
@pytest.mark.parametrize("tasks", [("toy_a",), ("toy_a", "toy_b")])
def test_rows_alone_train_as_in_the_whole_table(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tasks: tuple[str, ...], recipe: dict[str, Any]
) -> None:
    """Weight decay of the others included, up to the step whose weights are kept."""
    for task in tasks:
        toy.task(task)
    stage = toy.stage(*tasks, weight_decay=0.5, learning_rate=2e-2, **recipe)
    trained = []
    for kind in (EmbeddingRows, Whole):
        monkeypatch.setattr(loop, "EmbeddingRows", kind)
        model = toy.model(stage)
        table = model.encoder.get_input_embeddings()
        before = table.weight.detach().clone()
        outcome = train(model, stage, toy.data(stage), toy.vocabulary)
        assert model.encoder.get_input_embeddings() is table
        trained.append((model.state_dict(), outcome))
    (own, one), (whole, other) = trained
    assert one.curve == other.curve and one.dev == other.dev and one.best_step == other.best_step
    assert own.keys() == whole.keys()
    for name, tensor in own.items():
        assert torch.allclose(tensor, whole[name], rtol=1e-5, atol=1e-7), name
    # A token of no row, whose weights have decayed a good deal.
    unread = whole["encoder.embeddings.word_embeddings.weight"][230]
    assert float(unread.norm() / before[230].norm()) < 0.97


def test_optimiser_and_checkpoints_hold_rows(toy: Toy, tmp_path: Path) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a")
    path = tmp_path / "checkpoint"
    with pytest.raises(Preempted):
        train(
            toy.model(stage),
            stage,
            toy.data(stage),
            toy.vocabulary,
            checkpoints=Checkpoints(path, "stage", 1e9, lambda: True),
        )
    found = Checkpoints(path, "stage", 1e9).read()
    assert found is not None
    tables = {shape for tensor in found[0].values() if len(shape := tensor.shape) == 2}
    features = [rows.features for part in toy.data(stage) for rows in (*part.train, part.dev)]
    count = len(tokens_of(features, [1]))
    assert (count, 32) in tables and 100 < count < 200
    whole = toy.model(stage).encoder.get_input_embeddings().num_embeddings
    assert not any(shape[0] == whole for shape in tables)


def test_a_token_of_no_row_is_an_error_not_another_token(toy: Toy) -> None:
    toy.task("toy_a")
    encoder = toy.model(toy.stage("toy_a")).encoder
    before = encoder.get_input_embeddings()
    rows = EmbeddingRows(encoder, np.array([1, 5, 9]))
    inside = encoder.get_input_embeddings()
    assert inside(torch.tensor([[9, 1]])).equal(before.weight[torch.tensor([[9, 1]])])
    with pytest.raises(IndexError):
        inside(torch.tensor([6]))
    rows.put_back(1.0)
    assert encoder.get_input_embeddings() is before


@pytest.mark.parametrize("family", ["Bert", "Electra", "ModernBert", "DebertaV2", "EuroBert"])
def test_every_family_finds_its_rows(family: str) -> None:
    config = getattr(transformers, f"{family}Config")(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=16,
        pad_token_id=0,
    )
    encoder = transformers.AutoModel.from_config(config).eval()
    before = encoder.get_input_embeddings().weight.detach().clone()
    ids = torch.tensor([[7, 50, 3], [50, 9, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    with torch.no_grad():
        expected = encoder(**inputs).last_hidden_state
        rows = EmbeddingRows(encoder, np.array([0, 3, 7, 9, 50]))
        assert encoder.get_input_embeddings().num_embeddings == 5
        assert encoder(**inputs).last_hidden_state.equal(expected)
        encoder.get_input_embeddings().weight += 1
        rows.put_back(0.5)
        assert not encoder(**inputs).last_hidden_state.equal(expected)
        after = encoder.get_input_embeddings().weight
        assert after[[3, 50]].equal(before[[3, 50]] + 1)
        assert after[[4, 59]].equal(before[[4, 59]] * 0.5)


def test_masking_and_its_head_have_the_whole_table(toy: Toy) -> None:
    toy.task("toy_a")
    toy.task("toy_mlm", "mlm")
    stage = toy.stage("toy_a", "toy_mlm")
    assert EmbeddingRows.of(toy.model(stage), toy.data(stage), toy.vocabulary) is None


def test_tokens_of_groups_of_sequences() -> None:
    single = pa.table({"input_ids": [[3, 1], [7]]})
    groups = pa.table({"input_ids": [[[3, 9], [2]], [[9, 9]]]})
    assert tokens_of([single, groups], [1, 0]).tolist() == [0, 1, 2, 3, 7, 9]
    assert tokens_of([], [4]).tolist() == [4]


def test_what_never_has_a_gradient_decays_as_adamw_has_it() -> None:
    recipe = StageRecipe(
        batch_size=2,
        epochs=1,
        max_length=8,
        learning_rate=0.1,
        weight_decay=0.3,
        warmup_ratio=0.2,
    )
    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], weight_decay=0.3)
    for step in range(7):
        optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, 10)
        weight.grad = torch.zeros(3)
        optimizer.step()
    assert weight.tolist() == pytest.approx([decay_after(recipe, 7, 10)] * 3, rel=1e-6)
    assert decay_after(recipe, 0, 10) == 1
