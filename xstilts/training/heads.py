"""The heads of a stage: drawn from the seed, read again, or carried on along a chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from xstilts import kinds
from xstilts.config.recipe import StageRecipe
from xstilts.files import derive_seed
from xstilts.kinds.dual_encoder import DualEncoderHead
from xstilts.kinds.kind import Pooler, SequenceHead
from xstilts.plan.stage import Train
from xstilts.tasks import Task

HEADS_FILE = "heads.safetensors"


def build_heads(
    tasks: Mapping[str, Task],
    hidden_size: int,
    dropout: float,
    std: float,
    seed: int,
    phase: str,
    *,
    span_dropout: float | None = None,
) -> dict[str, nn.Module]:
    """Fresh heads; each task's weights come from its own generator (normal, zero bias).

    `span_dropout` is the rate of span QA's heads, where it is another.
    """
    heads = {}
    for name, task in tasks.items():
        rate = dropout
        if span_dropout is not None and "span_dropout" in task.kind_spec.recipe_fields:
            rate = span_dropout
        head = kinds.get(task.kind).build_head(hidden_size, task, rate)
        random = torch.Generator().manual_seed(derive_seed(seed, phase, "head", name))
        with torch.no_grad():
            for parameter in head.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, std, generator=random)
                else:
                    parameter.zero_()
        heads[name] = head
    return heads


def shape(head: nn.Module, recipe: StageRecipe) -> None:
    """Make a head what a recipe says, where that decides what it reads or is compared with."""
    if isinstance(head, DualEncoderHead):
        head.shape(recipe.pooling, recipe.negatives, recipe.false_negatives)


def reads_all(head: nn.Module | None) -> bool:
    """Whether a head reads every token, whatever its kind says."""
    return isinstance(head, DualEncoderHead) and head.reads_all


def load_heads(
    folder: Path, tasks: Mapping[str, Task], hidden_size: int, recipe: StageRecipe | None = None
) -> dict[str, nn.Module]:
    """The heads that a stage wrote, without dropout: for evaluation. `recipe` is that of the stage,
    which dual encoders need."""
    heads = {
        name: kinds.get(task.kind).build_head(hidden_size, task, 0.0)
        for name, task in tasks.items()
    }
    for name, head in heads.items():
        if recipe is not None:
            shape(head, recipe)
        _load_head(head, folder, name, hidden_size, is_carried=False)
    return heads


def _load_head(
    head: nn.Module, folder: Path, name: str, hidden_size: int, *, is_carried: bool
) -> None:
    """Give a head the weights that a stage wrote of a task's, with the pooler that it had."""
    state = safetensors.torch.load_file(folder / HEADS_FILE)
    prefix = f"{name}."
    own = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
    if isinstance(head, SequenceHead) and any(key.startswith("pooler.") for key in own):
        head.pooler = Pooler(hidden_size, is_carried)
    head.load_state_dict(own)


def take_head(heads: Mapping[str, nn.Module], stage: Train, folder: Path, hidden_size: int) -> None:
    """Let the head of a link go on from that of the link before it, whose stage lies in a folder.

    Its pooler comes with it, whatever the recipe would draw.
    """
    assert isinstance(stage.parent, Train)
    (before,), (head,) = stage.parent.parts, heads.values()
    is_carried = stage.recipe.pooler != "fresh"
    _load_head(head, folder, before.train.task, hidden_size, is_carried=is_carried)
