"""What is said of a model before its weights are opened, by its config.json alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.families import (
    FAMILIES,
    RUNNING,
    max_length,
    num_layers,
    num_token_vectors,
    num_types,
    why_refused,
)


def published(model_type: str, **keys: Any) -> dict[str, Any]:
    return {"model_type": model_type, "vocab_size": 250002, **keys}


def test_every_type_of_transformers_runs_or_is_refused_in_a_sentence() -> None:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    for name in MODEL_MAPPING_NAMES:
        reason = why_refused(published(name))
        assert (reason == "") == (name in RUNNING), name
        assert "\n" not in reason and len(reason) < 200
    # No name of the table is a slip of the pen.
    assert set(FAMILIES) <= {*MODEL_MAPPING_NAMES, "encoder-decoder", "gpt-sw3"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (published("xmod"), 'its model_type "xmod" has an adapter for every language'),
        (published("gpt2"), "is a decoder"),
        (published("beyond", architectures=["BeyondForCausalLM"]), "is a decoder"),
        ({"model_type": "vit", "hidden_size": 768}, "has no vocabulary: it reads no text"),
        (published("led"), "is an encoder-decoder whose encoder is not taken alone"),
        (published("convbert"), "from the padding behind it too"),
        (published("beyond"), 'its model_type "beyond" has not been tried here'),
        (published("bert", is_decoder=True), "says is_decoder"),
        (published("xlm", n_langs=15), "adds a vector for every language"),
        (published("xlm", n_langs=100, use_lang_emb=False), ""),
        ({"hidden_size": 768}, "names no model_type"),
    ],
)
def test_what_is_refused_says_why(settings: dict[str, Any], reason: str) -> None:
    assert (reason in why_refused(settings)) and bool(why_refused(settings)) == bool(reason)


def test_figures_are_those_that_published_configurations_give() -> None:
    # microsoft/mpnet-base, studio-ousia/mluke-base, facebook/xlm-roberta-xl: 514 rows, two unused.
    for name in ("mpnet", "luke", "xlm-roberta-xl", "roberta-prelayernorm", "xlm-roberta"):
        assert max_length(published(name, max_position_embeddings=514, pad_token_id=1)) == 512
    # klue/roberta-base pads with 0.
    assert max_length(published("roberta", max_position_embeddings=514, pad_token_id=0)) == 513
    assert max_length(published("bert", max_position_embeddings=512, pad_token_id=0)) == 512
    # Relative positions have no end: google/mt5-base, xlnet-base-cased.
    assert max_length(published("mt5")) == max_length(published("xlnet")) == 512
    assert max_length(published("xlnet", max_position_embeddings=-1)) == 512
    assert num_layers(published("mt5", num_layers=12, num_decoder_layers=12)) == 12
    # facebook/mbart-large-50 has both.
    assert num_layers(published("mbart", encoder_layers=12, num_hidden_layers=12)) == 12
    assert num_layers(published("xlm", n_layers=16)) == 16
    assert num_layers(published("xlnet", n_layer=12)) == 12
    with pytest.raises(ValueError, match="num_hidden_layers"):
        num_layers(published("bert"))
    assert num_token_vectors({"model_type": "xlm", "n_words": 200000}) == 200000
    assert num_token_vectors({"model_type": "vit"}) is None
    assert num_types(published("roberta", type_vocab_size=1)) == 1
    assert num_types(published("xlm")) == 0 and num_types(published("xlnet")) is None


def test_the_table_of_the_documentation_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    told = {}
    for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE):
        names, treatment, reason = row.split(" | ")
        told |= dict.fromkeys(re.findall(r"`(.+?)`", names), (treatment, reason.strip()))
    assert told == {name: (f.treatment, f.refused) for name, f in FAMILIES.items()}
