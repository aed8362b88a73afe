"""The token table's gradient: what torch's dense one would be, in the same memory at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from xstilts.training import loop
from xstilts.training.loop import train
from xstilts.training.outcome import DEFAULTS, Options
from xstilts.training.table import TokenTable

Toy = Any  # of conftest.py, which tests cannot import


class Dense(TokenTable):
    """Leaves everything to torch."""

    def __init__(self, encoder: torch.nn.Module, is_sparse: bool, is_shared: bool):
        super().__init__(encoder, False, is_shared)


@pytest.fixture
def weights_of(monkeypatch: pytest.MonkeyPatch, toy: Toy) -> Callable[..., torch.Tensor]:
    """All weights after a stage of some tasks, with the table's gradient of a class."""

    def trained(kind: type[TokenTable], *tasks: str, options: Options = DEFAULTS) -> torch.Tensor:
        monkeypatch.setattr(loop, "TokenTable", kind)
        stage = toy.stage(*tasks, dev_rows=0)
        model = toy.model(stage)
        train(model, stage, toy.data(stage), toy.vocabulary, options=options)
        return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])

    return trained


def test_one_pass_gives_the_bits_of_the_dense_gradient(weights_of: Any, toy: Toy) -> None:
    toy.task("toy_a")
    assert weights_of(TokenTable, "toy_a").equal(weights_of(Dense, "toy_a"))


@pytest.mark.parametrize("tasks", [("toy_a",), ("toy_a", "toy_mlm")])
def test_many_passes_and_a_tied_head_give_the_same(
    weights_of: Any, toy: Toy, tasks: tuple[str, ...]
) -> None:
    toy.task("toy_a")
    toy.task("toy_mlm", "mlm")
    few = Options(max_tokens=20)
    own, dense = (weights_of(kind, *tasks, options=few) for kind in (TokenTable, Dense))
    assert float((own - dense).norm() / dense.norm()) < 1e-4


def test_its_memory_stays(weights_of: Any, toy: Toy) -> None:
    toy.task("toy_a")
    seen: list[tuple[int, int]] = []

    class Watched(TokenTable):
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
