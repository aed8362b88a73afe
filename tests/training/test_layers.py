"""Which layer a weight is in, for every model type that runs: what is below has no gradient then.
And that dropout is off, and on, where a phase says so, under whatever name a type has for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xstilts.config.adapt import Adapt
from xstilts.config.families import RUNNING
from xstilts.config.recipes import RECIPES
from xstilts.run.arms import SHARED_LAYERS
from xstilts.training.layers import freeze, layer_numbers
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, load_encoder

from .test_families import LAYERS, QUICK, make, padded


def is_told(name: str, folder: Path) -> None:
    """With one layer frozen no state up to it has a gradient, and all weights above it have."""
    make(folder, name)
    recipe = replace(RECIPES["mini"].target, adapt=Adapt(frozen=1))
    encoder = load_encoder(folder)
    numbers = layer_numbers(encoder)
    encoder.layerdrop = 0.0  # M2M-100's encoder leaves out layers at random
    model = Model(encoder, {}).train()
    if name in SHARED_LAYERS:
        assert set(numbers.values()) == {0, LAYERS + 1}
        return
    assert set(numbers.values()) - {LAYERS + 1} == set(range(LAYERS + 1))
    work = one_micro_batch(encoder, padded((12, 5)))
    states = model.states(work)
    assert len(states) == LAYERS + 1 and all(state.requires_grad for state in states)
    states[-1].sum().backward()
    used = {key for key, own in encoder.named_parameters() if own.grad is not None}
    encoder.zero_grad()
    freeze(encoder, recipe)
    states = model.states(work)
    assert [state.requires_grad for state in states[:LAYERS]] == [False] * LAYERS
    states[-1].sum().backward()
    above = {key for key in used if numbers[key] > 1}
    assert {key for key, own in encoder.named_parameters() if own.grad is not None} == above
    table = encoder.get_input_embeddings().weight
    assert {numbers[key] for key, own in encoder.named_parameters() if own is table} == {0}


def drops_as_told(name: str, folder: Path) -> None:
    config = load_encoder(make(folder, name)).config.to_dict()
    inputs = padded((12, 5))
    for rate, is_still in ((0.0, True), (0.4, False)):
        encoder = load_encoder(folder, rate)
        assert encoder.config.to_dict() == config
        model = Model(encoder, {}).train()
        with torch.no_grad():
            one, two = (model.states(one_micro_batch(encoder, inputs))[-1][:, 0] for _ in range(2))
        # BigBird also draws which blocks attend to each other.
        assert one.equal(two) == (is_still and name != "big_bird")


@pytest.mark.parametrize("name", QUICK)
def test_layers_are_told_and_dropout_is_the_phases(name: str, tmp_path: Path) -> None:
    is_told(name, tmp_path / "model")
    drops_as_told(name, tmp_path / "other")


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in RUNNING if name not in QUICK])
def test_so_are_those_of_the_other_families(name: str, tmp_path: Path) -> None:
    is_told(name, tmp_path / "model")
    drops_as_told(name, tmp_path / "other")
