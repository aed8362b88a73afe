"""How a stage is computed, where it is, and what it reports in the end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """How a stage is computed, which changes none of its numbers but the last bits - on a GPU, and
    for encoders that run padded, also what dropout draws.

    `max_tokens`: tokens of a pass at most, where memory is known to end. `gradient_checkpointing`:
    recompute activations in the backward pass instead of keeping them. `compiled`: compile the
    encoder's training passes; on a CPU too its dropout is torch's then.
    """

    max_tokens: int | None = None
    gradient_checkpointing: bool = False
    compiled: bool = False


DEFAULTS = Options()


@dataclass(slots=True)
class Outcome:
    """What a stage reports besides its weights; times in seconds.

    `examples` are those that were drawn, by task and language: a stage that runs out of patience
    draws fewer than planned. `dev` is of the weights that are kept, `collapsed` and `undecided`
    (`xstilts.training.checks.Final`) are of the last. `wait_s` is what steps waited for their
    batch. `max_tokens` is what a pass may hold, `halvings` how often memory made it smaller in this
    stage, `is_limited` whether it ever did. Times include those before a checkpoint.
    """

    dev: dict[str, dict[str, float]]
    dev_rows: dict[str, int]
    floor: dict[str, float]
    curve: list[dict[str, float]]
    best_step: int
    steps: int
    tokens: int
    examples: dict[str, dict[str, int]]
    model_s: float
    wait_s: float
    checkpoint_s: float
    total_s: float
    max_tokens: int
    halvings: int
    is_limited: bool
    collapsed: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


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
