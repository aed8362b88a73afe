"""What a trial's stages cost: computed for it, read from others, waited for.

Seconds count once, for whoever computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xstilts.records import Outcome, StageEntry

HOURS = "cost/hours"


def costs_of(stages: Sequence[StageEntry], gpus: float) -> dict[str, float]:
    """Hours, GPU-hours, tokens and seconds waited, by the names that MLflow shows; `gpus` are those
    that the trial was allocated."""
    own = [stage for stage in stages if not stage.is_reused]
    hours = sum(stage.seconds for stage in own) / 3600
    reused_hours = sum(stage.seconds for stage in stages if stage.is_reused) / 3600
    return {
        HOURS: hours,
        "cost/reused_hours": reused_hours,
        "cost/gpu_hours": hours * gpus,
        "cost/reused_gpu_hours": reused_hours * gpus,
        "cost/tokens": sum(stage.tokens for stage in own),
        "cost/wait_s": sum(stage.wait_s for stage in stages),
        "cost/loader_s": sum(stage.loader_s for stage in own),
        "cost/checkpoint_s": sum(stage.checkpoint_s for stage in own),
    }


def told_of(outcome: Outcome | None) -> dict[str, Any]:
    """What a trial's record keeps of a training stage's outcome; zeros for an evaluation."""
    if outcome is None:
        return {"tokens": 0, "steps": 0}
    return {
        "tokens": outcome.tokens,
        "steps": outcome.steps,
        "loader_s": outcome.wait_s,
        "checkpoint_s": outcome.checkpoint_s,
        # 0: all that a pass may hold fits into memory.
        "max_tokens": outcome.max_tokens if outcome.is_limited else 0,
    }
