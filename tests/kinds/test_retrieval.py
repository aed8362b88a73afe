"""Retrieval: English queries against the other language, means over all tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.kinds import retrieval
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.tasks import Source, Task, lookup

from ..conftest import require

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
    # English is sorted, as in XTREME's submissions: "My brother" before "The cat".
    english = [texts["en"][i] for i in (1, 0, 2)]
    expected = tiny_tokenizer([*texts["th"][:3], *english])["input_ids"]
    assert encoded.features["input_ids"].to_pylist() == expected
    assert encoded.features["example"].to_pylist() == [0, 1, 2, 0, 1, 2]
    assert encoded.examples["gold"].to_pylist() == [1, 0, 2]


def test_every_english_sentence_looks_for_its_nearest(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    encoded = encode(tiny_tokenizer, texts, 3)
    sources = [[1.0, 0.0], [0.8, 0.6], [0.0, 2.0]]
    english = [[0.9, 0.1], [0.95, 0.05], [0.0, 0.1]]
    vectors = [np.array(vector) for vector in (*sources, *english)]
    # Asked the other way the second source would find 0 and the first 1.
    assert RETRIEVAL.decode(vectors, encoded, TASK) == [0, 0, 2]
    assert RETRIEVAL.score([0, 0, 2], encoded.examples, TASK, "en") == {"accuracy": 200 / 3}
    assert RETRIEVAL.score([1, 0, 2], encoded.examples, TASK, "en") == {"accuracy": 100}


def test_the_profile_compares_layers_and_controls(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]
) -> None:
    encoded = encode(tiny_tokenizer, texts, 3)  # gold is [1, 0, 2]
    eye = np.eye(3, dtype="f4")
    right = np.concatenate([eye, eye[[1, 0, 2]]])
    # One direction that all English sentences share hides which is which; centring shows it.
    shifted = right.copy()
    shifted[3:] += np.array([9.0, 0.0, 0.0])
    outputs = [np.stack([one, other]) for one, other in zip(shifted, right, strict=True)]
    profile = RETRIEVAL.profile(outputs, 0, encoded, TASK)
    assert profile["by_layer/01"] == 100
    assert profile["by_layer/00"] == pytest.approx(100 / 3)
    assert profile["centred"] == 100
    assert 40 < profile["anisotropy"] < 60, "0 among the sources, nearly 100 in English"
    assert set(profile) == {"centred", "csls", "anisotropy", "by_layer/00", "by_layer/01"}
    assert RETRIEVAL.profile(outputs, 1, encoded, TASK)["anisotropy"] == pytest.approx(0, abs=1e-4)


def test_csls_takes_the_hub_away(
    tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that is near to everything wins by cosine, and not once its density is taken off."""
    monkeypatch.setattr(retrieval, "CSLS_NEIGHBOURS", 2)
    encoded = encode(tiny_tokenizer, texts, 3)
    sources = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    english = np.array([[0.6, 0.9, 0.0], [0.9, 0.7, 0.7], [0.7, 0.0, 0.9]])
    outputs = [row[None].astype("f4") for row in np.concatenate([sources, english])]
    decoded = RETRIEVAL.decode([row[0] for row in outputs], encoded, TASK)
    assert RETRIEVAL.score(decoded, encoded.examples, TASK, "th")["accuracy"] < 100
    assert RETRIEVAL.profile(outputs, 0, encoded, TASK)["csls"] == 100


RECORDS = Path(__file__).parents[3] / "shared"


@pytest.mark.parametrize("language", ["de", "th", "zh", "jv", "el"])
def test_the_order_is_that_of_xtremes_labels(language: str, tiny_tokenizer: Any) -> None:
    labels = RECORDS / f"conformance/xtreme_mock/labels/tatoeba/test-{language}.tsv"
    require("records", labels.exists(), f"no labels at {labels}")
    code = lookup("tatoeba").source.names[language]
    (path,) = (RECORDS / "data/tatoeba").rglob(f"tatoeba.{code}-eng.eng")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = {"source_sentence": lines, "target_sentence": lines}
    gold = RETRIEVAL.encode(rows, TASK, tiny_tokenizer, 8).examples["gold"].to_pylist()
    official = [int(line) for line in labels.read_text().split()]
    assert gold[: len(official)] == official


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
