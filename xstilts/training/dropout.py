"""Dropout on the CPU from a fast generator, with a stream of random bits for every sequence.

Drawing `bernoulli_` costs a CPU as much as a sixth of a training step. Here the bits of encoders
that run packed come from SFC64, whose stream depends on the stage's seed, the step and the
sequence's place in its batch alone: however a batch is divided among passes or processes, each
sequence loses the same units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig

RATES = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"),
    *("dropout_rate", "embedding_dropout", "mlp_dropout"),
)
"""What configurations call the rates of an encoder's hidden states and attention weights."""

BITS = 16
"""Random bits a unit: a rate of 0.1 is kept to within 1e-5, and the scale is exact."""


class _State(ISeedSequence):
    """Words that were drawn already, as a generator's seed."""

    def __init__(self, words: np.ndarray):
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        return self._words


def streams(seed: int, step: int, count: int) -> list[np.random.SFC64]:
    """A generator for every sequence of a step's batch."""
    words = np.random.SeedSequence([seed, step]).generate_state(3 * count, np.uint64)
    # NumPy takes any `ISeedSequence`; its annotations name one class of them.
    return [np.random.SFC64(_State(own)) for own in words.reshape(count, 3)]  # type: ignore[arg-type]


class Masks:
    """What the sequences of one pass lose.

    Args:
        streams: a generator for every sequence, in the order of the padded rows.
        lengths: tokens of each.
        packed: the padded row of each sequence in the order of the packed row.
        num_read: tokens of each whose final states are computed; None: all.
        shared: numbers that all passes of a step have, for what their sequences lose together.
    """

    def __init__(
        self,
        streams: Sequence[np.random.SFC64],
        lengths: Sequence[int],
        packed: Sequence[int],
        num_read: Sequence[int] | None = None,
        shared: Sequence[int] = (),
    ):
        self._streams = streams
        self._lengths = lengths
        self._packed = packed
        self._num_read = lengths if num_read is None else num_read
        self._shared = shared
        self._num_shared = 0
        self._drawn: dict[int, list[Tensor]] = {}

    def _once(self, caller: int, draw: Callable[[], list[Tensor]]) -> list[Tensor]:
        """What a module drew in this pass: one that is computed again loses the same units."""
        if caller not in self._drawn:
            self._drawn[caller] = draw()
        return self._drawn[caller]

    def keep(self, shape: torch.Size, rate: float, dtype: torch.dtype, caller: int) -> Tensor:
        """Which units of activations of a shape stay: 1, the others 0.

        The shape is (1, tokens, size) of a packed row, of all its tokens or those that are read,
        (sequences, places, size) of padded ones, or (sequences, size). `caller` is the module's
        identity; every module draws once a pass.
        """
        (keep,) = self._once(caller, lambda: [_kept(self._units(shape), rate, dtype)])
        return keep

    def keep_pairs(
        self,
        sizes: Sequence[tuple[int, int, int]],
        num_heads: int,
        rate: float,
        dtype: torch.dtype,
        caller: int,
    ) -> list[Tensor]:
        """Which attention weights stay, block by block: (count, heads, longest, longest), 1 or 0.

        `sizes` are each block's first sequence in the packed row, their count and the longest.
        """

        def draw() -> list[Tensor]:
            return [_kept(self._pairs(*size, num_heads), rate, dtype) for size in sizes]

        return self._once(caller, draw)

    def keep_rows(
        self, first: int, last: int, size: int, rate: float, dtype: torch.dtype, caller: int
    ) -> Tensor:
        """Which units of rows of a table that all sequences share stay: (last - first, size), 1 or
        0. A row loses the same whichever are drawn with it."""

        def draw() -> list[Tensor]:
            self._num_shared += 1
            seed = np.random.SeedSequence(self._shared, spawn_key=(self._num_shared,))
            drawn = _draw(np.random.SFC64(seed), last * size)[first * size :]
            return [_kept(torch.from_numpy(drawn).view(-1, size), rate, dtype)]

        (keep,) = self._once(caller, draw)
        return keep

    def _units(self, shape: torch.Size) -> Tensor:
        """Random bits of a shape, int16."""
        for lengths in (self._lengths, self._num_read):
            if len(shape) == 3 and shape[:2] == (1, sum(lengths)):
                drawn = [
                    _draw(self._streams[row], lengths[row] * shape[-1]) for row in self._packed
                ]
                return torch.from_numpy(np.concatenate(drawn)).view(shape)
        size = shape[1:].numel()
        drawn = [_draw(stream, size) for stream in self._streams]
        return torch.from_numpy(np.concatenate(drawn)).view(shape)

    def _pairs(self, first: int, count: int, longest: int, num_heads: int) -> Tensor:
        """Random bits for pairs of tokens, 0 at padding: (count, heads, longest, longest)."""
        bits = np.zeros((count, num_heads, longest, longest), dtype=np.int16)
        for own, row in zip(bits, self._packed[first : first + count], strict=True):
            length = self._lengths[row]
            drawn = _draw(self._streams[row], num_heads * length * length)
            own[:, :length, :length] = drawn.reshape(num_heads, length, length)
        return torch.from_numpy(bits)


def scale(rate: float) -> float:
    """What the units that stay are multiplied by: one over their exact probability."""
    return (1 << BITS) / ((1 << (BITS - 1)) - _threshold(rate))


class Dropout(nn.Module):
    """Dropout from the masks of the pass in work; torch's own where there are none."""

    def __init__(self, rate: float, masks: Callable[[], Masks | None]):
        super().__init__()
        self.p = rate
        self._masks = masks

    def forward(self, values: Tensor) -> Tensor:
        """The values with some units zero and the others scaled."""
        masks = self._masks()
        if not self.training or not self.p:
            return values
        if masks is None:
            return functional.dropout(values, self.p)
        return (values * masks.keep(values.shape, self.p, values.dtype, id(self))) * scale(self.p)


def rates_of(config: PreTrainedConfig) -> dict[str, float]:
    """The rates of dropout that a configuration has, by their names in it."""
    return {name: getattr(config, name) for name in RATES if hasattr(config, name)}


def install(module: nn.Module, masks: Callable[[], Masks | None]) -> None:
    """Replace every `nn.Dropout` inside a module."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, Dropout(child.p, masks).train(child.training))


def _kept(bits: Tensor, rate: float, dtype: torch.dtype) -> Tensor:
    """1 where a unit with these random bits stays, else 0.

    In arithmetic, which is exact here: to multiply by the booleans that a comparison gives takes
    torch several times as long.
    """
    return bits.to(torch.float32).sub_(_threshold(rate) - 1).clamp_(0, 1).to(dtype)


def _threshold(rate: float) -> int:
    """Units whose signed bits lie below it are dropped."""
    return round(rate * (1 << BITS)) - (1 << (BITS - 1))


def _draw(stream: np.random.SFC64, count: int) -> np.ndarray:
    """Sixteen random bits each, as int16: (count,)."""
    words: np.ndarray = stream.random_raw(-(-count // 4))
    return words.view(np.int16)[:count]
