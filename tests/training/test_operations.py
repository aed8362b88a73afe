"""How much a step asks a GPU for: with the batches of a recipe it computes faster than it is asked.

Counted on a CPU, which takes the same operations where it takes a GPU's attention and nothing is
dropped: dropout is one operation more on a GPU, and one back.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, XLMRobertaConfig

from tests.benchmarks.trainer import Peer
from xstilts.bench.measure import model_of
from xstilts.bench.workloads import WORKLOADS, rows_of, stage_of, vocabulary_of
from xstilts.training import loop
from xstilts.training.feed import Feed, PartData
from xstilts.training.optimizer import build_optimizer
from xstilts.training.packed import self_attention

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 200}
STEPS, BATCH = 3, 8


class Count(TorchDispatchMode):
    """Counts operations that compute something: not views, not memory."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function._schema.name
        is_free = function.is_view or "view" in name or "empty" in name or "aten" not in name
        self.count += not is_free
        return function(*args, **(kwargs or {}))


def work_of(num_layers: int) -> Any:
    torch.manual_seed(0)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = XLMRobertaConfig(**SIZES, **none, num_hidden_layers=num_layers, pad_token_id=1)
    rows = rows_of(WORKLOADS["mnli"], STEPS * BATCH, 200, 0)
    stage = stage_of(WORKLOADS["mnli"], STEPS * BATCH, BATCH, 0, "bf16")
    return AutoModel.from_config(config, add_pooling_layer=False), rows, stage


def ours(num_layers: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Operations of a stage's second step."""
    encoder, rows, stage = work_of(num_layers)
    step, counts = loop._Training._step, []

    def counted(self: Any, prepared: Any) -> None:
        with Count() as count:
            step(self, prepared)
        counts.append(count.count)

    with monkeypatch.context() as patch:
        patch.setattr(self_attention, "by_hand", lambda *_: False)
        patch.setattr(loop._Training, "_step", counted)
        model = model_of(encoder, stage, "cpu")
        loop.train(model, stage, [PartData([rows], None)], vocabulary_of(encoder.config))
    return counts[1]


def transformers_own(num_layers: int) -> int:
    """Those of the same step as Trainer does it."""
    encoder, rows, stage = work_of(num_layers)
    vocabulary = vocabulary_of(encoder.config)
    batch = Feed(stage.parts[0], PartData([rows], None), stage, vocabulary).batch(0)
    peer = Peer(copy.deepcopy(encoder), stage).train()
    optimizer = build_optimizer(peer, stage.recipe)
    for _ in range(2):
        with Count() as count:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = peer(batch.targets, **batch.inputs)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
    return count.count


def test_a_layer_asks_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a layer between the first and the last, which others would be added to."""
    layer = ours(4, monkeypatch) - ours(3, monkeypatch)
    their_layer = transformers_own(4) - transformers_own(3)
    print(f"a layer: {layer} operations a step, transformers' own {their_layer}")
    assert 20 < layer <= 42
    assert layer < 0.6 * their_layer
