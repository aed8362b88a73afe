"""MLM: 15 % of the tokens, of which 80 % masked, 10 % random, 10 % kept; loss only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from xstilts import kinds
from xstilts.kinds import mlm
from xstilts.kinds.kind import IGNORED, Encoded, Vocabulary
from xstilts.tasks import Source, Task

MLM = kinds.get("mlm")
TASK = Task("toy", "mlm", Source("toy/toy"), ("en",), {}, ())
VOCABULARY = Vocabulary(pad_id=1, mask_id=999, size=1000, special_ids=(0, 1, 2, 3, 999))


def test_shares_of_masked_random_and_kept_tokens() -> None:
    random = np.random.default_rng(0)
    rows = [[0, *random.integers(4, 999, 98).tolist(), 2] for _ in range(1000)]
    batch = MLM.collate({"input_ids": rows}, VOCABULARY, random)
    original, shown = torch.tensor(rows), batch.inputs["input_ids"]
    labels = batch.targets["label"]
    chosen = labels != IGNORED
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(0.15, abs=0.004)
    assert torch.equal(labels[chosen], original[chosen])
    assert torch.equal(shown[~chosen], original[~chosen])
    masked = shown[chosen] == 999
    kept = shown[chosen] == original[chosen]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=0.012)
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.01)
    others = shown[chosen][~masked & ~kept]
    assert others.unique().numel() > 500, "replacements come from the whole vocabulary"
    # The choice moves from batch to batch.
    again = MLM.collate({"input_ids": rows}, VOCABULARY, random).targets["label"]
    assert not torch.equal(again, labels)


def test_special_tokens_and_padding_are_never_masked() -> None:
    rows = [[0, 10, 3, 999, 11, 2], [0, 12, 2, 2, 13, 2], [0, 2]] * 200
    batch = MLM.collate({"input_ids": rows}, VOCABULARY, np.random.default_rng(1))
    for ids, labels in zip(rows, batch.targets["label"].tolist(), strict=True):
        targets = {i for i, label in enumerate(labels) if label != IGNORED}
        assert targets <= {i for i, token in enumerate(ids) if token not in VOCABULARY.special_ids}
        # Every text with an ordinary token teaches something, however short it is.
        assert bool(targets) == (len(ids) > 2)


def test_loss_counts_masked_positions_only() -> None:
    rows = [[0, *range(10, 30), 2], [0, *range(30, 40), 2]]
    batch = MLM.collate({"input_ids": rows}, VOCABULARY, np.random.default_rng(2))
    head = nn.Linear(6, 1000)
    hidden = torch.randn(*batch.inputs["input_ids"].shape, 6)
    chosen = batch.targets["label"] != IGNORED
    logs = torch.log_softmax(head(hidden[chosen]), -1)
    expected = -logs[range(len(logs)), batch.targets["label"][chosen]].mean()
    assert torch.allclose(MLM.loss(head, hidden, batch), expected)
    hidden[~chosen] = 1e3
    assert torch.allclose(MLM.loss(head, hidden, batch), expected)
    with torch.no_grad():
        outputs = MLM.outputs(head, hidden, batch)
    assert MLM.score(outputs, None, TASK, "en")["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_of_empty_texts_teaches_nothing() -> None:
    """The last batch of a part may hold one row; an empty text there must not end the stage."""
    batch = MLM.collate({"input_ids": [[0, 2]]}, VOCABULARY, np.random.default_rng(0))
    hidden = torch.randn(1, 2, 6, requires_grad=True)
    loss = MLM.loss(nn.Linear(6, 1000), hidden, batch)
    (gradient,) = torch.autograd.grad(loss, [hidden])
    assert loss.item() == 0.0 and not gradient.any()


def test_windows_hold_every_token_of_a_text_once(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlm, "BLOCK_TEXTS", 2)
    lines = ["", *(" ".join(texts[code]) for code in texts), "tea"]
    encoded = MLM.encode({"text": lines}, TASK, tiny_tokenizer, 48)
    assert encoded.examples.num_rows == len(lines)
    assert encoded.features.num_rows > 2 * len(texts)
    whole = tiny_tokenizer(lines, add_special_tokens=False)["input_ids"]
    held: list[list[int]] = [[] for _ in lines]
    for row in encoded.features.to_pylist():
        assert len(row["input_ids"]) <= 48
        held[row["example"]] += row["input_ids"][1:-1]
    assert held == whole


def test_a_texts_prediction_is_of_all_its_windows() -> None:
    features = pa.table({"example": [0, 1, 0], "input_ids": [[0, 5, 2]] * 3})
    encoded = Encoded(features, pa.table({"id": ["a", "b"]}))
    assert MLM.decode([(1.0, 2), (4.0, 3), (8.0, 16)], encoded, TASK) == [[9.0, 18], [4.0, 3]]


def test_the_tokenizers_special_tokens_are_respected(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    lines = [" ".join(texts[code])[:60] for code in texts]
    encoded = MLM.encode({"text": lines}, TASK, tiny_tokenizer, 48)
    ids = [row for row in encoded.features["input_ids"].to_pylist() if len(row) == 48]
    assert ids
    vocabulary = Vocabulary.of(tiny_tokenizer)
    assert vocabulary.mask_id == tiny_tokenizer.mask_token_id == len(tiny_tokenizer) - 1
    batch = MLM.collate({"input_ids": ids}, vocabulary, np.random.default_rng(0))
    assert batch.inputs["input_ids"][:, 0].eq(tiny_tokenizer.cls_token_id).all()
    assert batch.inputs["input_ids"][:, -1].eq(tiny_tokenizer.sep_token_id).all()
