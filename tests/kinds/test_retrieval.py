"""Retrieval: English queries against the other language, means over all tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xstilts import kinds
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.tasks import Source, Task

RETRIEVAL = kinds.get("retrieval")
TASK = Task("toy", "retrieval", Source("toy/toy"), ("th",), {}, ("accuracy",))


def encode(tokenizer: Any, texts: dict[str, tuple[str, ...]], count: int) -> Encoded:
    rows = {
        "source_sentence": [f"{text}\n" for text in texts["th"][:count]],
        "target_sentence": list(texts["en"][:count]),
    }
    return RETRIEVAL.encode(rows, TASK, tokenizer, 64)


def test_sources_come_first_without_line_ends(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    encoded = encode(tiny_tokenizer, texts, 3)
    expected = tiny_tokenizer([*texts["th"][:3], *texts["en"][:3]])["input_ids"]
    assert encoded.features["input_ids"].to_pylist() == expected
    assert encoded.features["example"].to_pylist() == [0, 1, 2, 0, 1, 2]


def test_every_english_sentence_looks_for_its_nearest(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    encoded = encode(tiny_tokenizer, texts, 3)
    sources = [[1.0, 0.0], [0.8, 0.6], [0.0, 2.0]]
    english = [[0.9, 0.1], [0.95, 0.05], [0.0, 0.1]]
    vectors = [np.array(vector) for vector in (*sources, *english)]
    # Asked the other way the second source would find 0 and the first 1.
    assert RETRIEVAL.decode(vectors, encoded, TASK) == [0, 0, 2]
    assert RETRIEVAL.score([0, 0, 2], encoded.examples, TASK) == {"accuracy": 200 / 3}


def test_cosine_ignores_length(tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]) -> None:
    encoded = encode(tiny_tokenizer, texts, 2)
    vectors = [np.array(v) for v in ([0.1, 0.0], [9.0, 9.0], [5.0, 1.0], [1.0, 1.0])]
    assert RETRIEVAL.decode(vectors, encoded, TASK) == [0, 1]


def test_the_mean_takes_special_tokens_and_no_padding(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    encoded = encode(tiny_tokenizer, texts, 2)
    columns = encoded.features.to_pydict()
    batch = RETRIEVAL.collate(columns, Vocabulary.of(tiny_tokenizer), np.random.default_rng(0))
    hidden = torch.randn(*batch.inputs["input_ids"].shape, 5)
    vectors = RETRIEVAL.outputs(None, hidden, batch)
    for states, ids, vector in zip(hidden, columns["input_ids"], vectors, strict=True):
        assert np.allclose(vector, states[: len(ids)].mean(0), atol=1e-6)
        assert not np.allclose(vector, states[1 : len(ids) - 1].mean(0), atol=1e-3)
