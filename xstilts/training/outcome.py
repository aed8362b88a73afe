"""How a stage is computed (memory, compilation), and where it stands after a step.

The options go into the training loop, the state is what a checkpoint holds beside tensors. What a
stage reports in the end is an `xstilts.records.Outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """How a stage is computed, which changes none of its numbers but the last bits - on a GPU, and
    for encoders that run padded, also what dropout draws.

    `max_tokens`: tokens of a micro-batch at most, where memory is known to end.
    `gradient_checkpointing`: recompute activations in the backward pass instead of keeping them.
    `compiled`: compile the encoder's training passes; on a CPU too its dropout is torch's then.
    """

    max_tokens: int | None = None
    gradient_checkpointing: bool = False
    compiled: bool = False


DEFAULTS = Options()


@dataclass(slots=True)
class State:
    """Where a stage is: all that is not weights or the optimiser's."""

    step: int = 0
    tokens: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_value: float | None = None
    best_step: int = 0
    checks_since_best: int = 0
    max_tokens: int = 0
    halvings: int = 0
    model_s: float = 0.0
    wait_s: float = 0.0
    checkpoint_s: float = 0.0
    total_s: float = 0.0
