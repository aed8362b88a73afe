"""Dropout: the rate, the scale, the gradient, and streams that belong to sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xstilts.training.dropout import Dropout, Masks, install, scale, streams


def masks(step: int = 0, lengths: tuple[int, ...] = (300, 500, 200)) -> Masks:
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    return Masks(streams(1, step, len(lengths)), lengths, order)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_the_rate_and_the_scale(rate: float) -> None:
    keep = masks().keep(torch.Size([1, 1000, 500]), rate, torch.float32, 1)
    assert keep.unique().tolist() == [0, 1]
    assert float(keep.mean()) == pytest.approx(1 - rate, abs=2e-3)
    assert scale(rate) == pytest.approx(1 / (1 - rate), rel=1e-4)
    # Units, places and sequences do not go together.
    rows = keep[0] - keep.mean()
    assert abs(float((rows[1:] * rows[:-1]).mean())) < 2e-3
    assert abs(float((rows[:, 1:] * rows[:, :-1]).mean())) < 2e-3


def test_the_gradient_goes_where_the_values_went() -> None:
    current = masks()
    layer = Dropout(0.1, lambda: current).train()
    torch.manual_seed(0)  # once in some thousand draws a value is 0 by itself
    values = torch.randn(1, 1000, 8, requires_grad=True)
    out = layer(values)
    out.backward(torch.ones_like(out))
    kept = out != 0
    assert torch.allclose(out[kept], values[kept] * scale(0.1))
    assert values.grad is not None
    assert torch.equal(values.grad != 0, kept) and values.grad.max() == pytest.approx(scale(0.1))
    assert layer.eval()(values) is values


def test_steps_and_sequences_differ_and_repeat() -> None:
    shape = torch.Size([1, 1000, 8])
    first, again, other = (masks(step).keep(shape, 0.5, torch.float32, 1) for step in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)
    rows = torch.split(first[0], [500, 300, 200])
    assert not rows[0][:200].equal(rows[2])


def test_a_sequence_loses_the_same_alone_and_beside_others() -> None:
    together = masks()
    alone = Masks(streams(1, 0, 3)[1:2], [500], [0])
    packed = together.keep(torch.Size([1, 1000, 8]), 0.1, torch.float32, 1)
    single = alone.keep(torch.Size([1, 500, 8]), 0.1, torch.float32, 1)
    assert packed[0, :500].equal(single[0]), "it is the longest, so it stands first"
    (pairs,), (own,) = (
        which.keep_pairs([(0, count, 500)], 2, 0.1, torch.float32, 2)
        for which, count in ((together, 2), (alone, 1))
    )
    assert pairs[0].equal(own[0])
    padded = together.keep(torch.Size([3, 6]), 0.1, torch.float32, 3)
    assert padded[1].equal(alone.keep(torch.Size([1, 6]), 0.1, torch.float32, 3)[0])


def test_what_sequences_share_loses_the_same_in_all_passes_of_a_step() -> None:
    """Whatever part of it a pass uses; other modules and other steps lose other units."""

    def drawn(step: int, first: int, last: int) -> list[torch.Tensor]:
        own = Masks([], [], [], shared=(1, step))
        return [own.keep_rows(first, last, 64, 0.3, torch.float32, caller) for caller in (1, 2, 1)]

    whole, other, again = drawn(0, 0, 500)
    assert whole.shape == (500, 64) and whole.unique().tolist() == [0, 1]
    assert float(whole.mean()) == pytest.approx(0.7, abs=1e-2)
    assert whole.equal(again) and not whole.equal(other)
    part = drawn(0, 200, 300)
    assert part[0].equal(whole[200:300]) and part[1].equal(other[200:300])
    assert not drawn(1, 0, 500)[0].equal(whole)


def test_a_module_that_is_computed_again_loses_the_same() -> None:
    current = masks()
    shape = torch.Size([1, 1000, 8])
    first, other, again = (current.keep(shape, 0.5, torch.float32, caller) for caller in (1, 2, 1))
    assert first.equal(again) and not first.equal(other)


def test_every_dropout_is_replaced_once() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.3)))
    install(module, lambda: None)
    install(module, lambda: None)
    found = [child.p for child in module.modules() if isinstance(child, Dropout)]
    assert found == [0.2, 0.3]
    assert not any(isinstance(child, nn.Dropout) for child in module.modules())
    torch.manual_seed(0)
    ones = torch.ones(1000, 2)
    dropped = found and module[1].train()(ones)
    assert 0.1 < float((dropped == 0).float().mean()) < 0.3
    assert np.isclose(float(dropped.max()), 1.25)
