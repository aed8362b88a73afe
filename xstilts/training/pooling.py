"""The pooler between an encoder and its classifiers: where its weights come from, where they go.

jiant has it in the encoder, where it goes on from the intermediate to the target: XLM-R's, which
its checkpoint lacks, is random at first. Here it is a part of heads, and its weights lie with those
of the saved encoder under the names that transformers gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors
import torch
from torch import Tensor, nn

from xstilts.config.families import pooler_weight
from xstilts.errors import StageError
from xstilts.files import derive_seed
from xstilts.kinds.dual_encoder import DualEncoderHead
from xstilts.kinds.kind import Pooler, SequenceHead
from xstilts.plan.stage import Train, root_of

NAME = "pooler."


def add_pooler(heads: Mapping[str, nn.Module], stage: Train, folder: Path, std: float) -> None:
    """Give all classifiers of a stage one pooler, as its recipe says.

    Args:
        folder: the parent's encoder.
        std: that of weights that are drawn (normal, zero bias).

    Raises:
        StageError: the recipe wants the pretrained pooler of a checkpoint that has none.
    """
    classifiers = [head for head in heads.values() if isinstance(head, SequenceHead)]
    if not classifiers:
        return
    pooler = Pooler(classifiers[0].dense.in_features, stage.recipe.pooler != "fresh")
    weights: dict[str, Tensor] = {}
    if pooler.is_carried:
        # A parent without a classifier has trained none: the checkpoint's, then, if it has one.
        weights = read_pooler(folder) or read_pooler(Path(root_of(stage).path))
    if not weights and stage.recipe.pooler == "pretrained":
        where = root_of(stage).path
        raise StageError(f"{where}: its weights have no pooler; take `carried` or `none` for it")
    if weights:
        pooler.load_state_dict(weights)
    else:
        random = torch.Generator().manual_seed(derive_seed(stage.seed, stage.phase, "pooler"))
        with torch.no_grad():
            pooler.dense.weight.normal_(0.0, std, generator=random)
            pooler.dense.bias.zero_()
    for head in classifiers:
        head.pooler = pooler


def take_pooler(heads: Iterable[nn.Module], stage: Train, folder: Path) -> None:
    """Give dual encoders the pooler that the parent's encoder or the checkpoint has; without one
    they keep what was drawn, as XLM-R's do in transformers.

    Args:
        folder: the parent's encoder.
    """
    for head in heads:
        if not isinstance(head, DualEncoderHead) or head.pooler is None:
            continue
        if weights := read_pooler(folder) or read_pooler(Path(root_of(stage).path)):
            head.pooler.load_state_dict(weights)


def carried_weights(heads: Iterable[nn.Module]) -> dict[str, Tensor]:
    """The weights that a saved encoder has of its pooler, by transformers' names."""
    for head in heads:
        if isinstance(head, SequenceHead) and head.pooler is not None and head.pooler.is_carried:
            return {f"{NAME}{name}": value for name, value in head.pooler.state_dict().items()}
    return {}


def read_pooler(folder: Path) -> dict[str, Tensor]:
    """The pooler's weights in a folder of an encoder, float32; empty where it has none."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                if name := pooler_weight(key):
                    found[name] = file.get_tensor(key).float()
    return found if len(found) == 2 else {}
