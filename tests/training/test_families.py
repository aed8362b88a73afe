"""The contract of every model type that runs, held to tiny encoders with random weights.

Twenty-five types are tried always, the others and the reasons of those that are refused with
`pytest -m soak tests/training/test_families.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from xstilts.config.families import FAMILIES, RUNNING, family_of
from xstilts.data.inventory import Hashes, model_facts
from xstilts.errors import StageError
from xstilts.tasks import Source, Task
from xstilts.tasks.kinds import IN_TRANSFORMERS
from xstilts.training.heads import build_heads
from xstilts.training.huggingface import to_transformers
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, load_encoder, load_encoder_with_lm_head, save

Toy = Any  # of conftest.py, which tests cannot import

SIZE, LAYERS, POSITIONS, VOCABULARY = 32, 2, 26, 400
MARKS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": SIZE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.1,
    **MARKS,
}
BART = {
    "vocab_size": VOCABULARY,
    "d_model": SIZE,
    "encoder_layers": LAYERS,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": POSITIONS,
    "decoder_start_token_id": 0,
    "init_std": 0.1,
    **MARKS,
}
T5 = {
    "vocab_size": VOCABULARY,
    "d_model": SIZE,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": LAYERS,
    "num_decoder_layers": 1,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "pad_token_id": 1,
}
XLM = {
    "vocab_size": VOCABULARY,
    "emb_dim": SIZE,
    "n_layers": LAYERS,
    "n_heads": 4,
    "max_position_embeddings": POSITIONS,
    "pad_index": 1,
    "bos_index": 0,
    "eos_index": 2,
    "mask_index": 5,
    "embed_init_std": 0.1,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
OWN: Mapping[str, Mapping[str, Any]] = {
    "albert": {**BERT, "embedding_size": 16},
    "big_bird": {**BERT, "block_size": 8, "num_random_blocks": 1},
    "deberta": {**BERT, **RELATIVE, "position_biased_input": False},
    "deberta-v2": {**BERT, **RELATIVE, "position_buckets": 32, "norm_rel_ebd": "layer_norm"},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": SIZE,
        "n_layers": LAYERS,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 1,
    },
    "electra": {**BERT, "embedding_size": 16},
    "flaubert": XLM,
    "longformer": {**BERT, "attention_window": 8},
    "luke": {**BERT, "entity_vocab_size": 10, "entity_emb_size": 8, "type_vocab_size": 1},
    "mobilebert": {
        **BERT,
        "embedding_size": 32,
        "true_hidden_size": 32,
        "intra_bottleneck_size": 32,
        "num_feedforward_networks": 1,
    },
    "modernbert": {**BERT, "global_attn_every_n_layers": 2, "local_attention": 16},
    "rembert": {**BERT, "input_embedding_size": 16, "output_embedding_size": 16},
    "roc_bert": {**BERT, "pronunciation_vocab_size": 20, "shape_vocab_size": 20},
    "roformer": {**BERT, "embedding_size": 16},
    "squeezebert": {
        **BERT,
        "embedding_size": SIZE,
        **{f"{part}_groups": 1 for part in ("q", "k", "v", "post_attention", "intermediate")},
        "output_groups": 1,
    },
    "xlm": {**XLM, "n_langs": 1, "use_lang_emb": False},
    "xlnet": {
        "vocab_size": VOCABULARY,
        "d_model": SIZE,
        "n_layer": LAYERS,
        "n_head": 4,
        "d_inner": 64,
        "initializer_range": 0.1,
        "pad_token_id": 1,
    },
    **dict.fromkeys(
        ("bart", "blenderbot", "m2m_100", "marian", "mbart", "mvp", "pegasus", "plbart"), BART
    ),
    **dict.fromkeys(("longt5", "mt5", "t5", "umt5"), T5),
    # Refused for its padding:
    "convbert": {**BERT, "embedding_size": SIZE},
}
"""What a configuration of a type is called, where it is not called as BERT's."""

QUICK = (
    *("albert", "bert", "big_bird", "camembert", "data2vec-text", "deberta-v2", "distilbert"),
    *("electra", "ernie", "eurobert", "longformer", "luke", "mbart", "megatron-bert", "modernbert"),
    *("mpnet", "mt5", "nomic_bert", "rembert", "roberta", "roberta-prelayernorm", "t5", "xlm"),
    *("xlm-roberta", "xlm-roberta-xl"),
)


def make(folder: Path, name: str) -> Path:
    """A folder of a type with random weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **OWN.get(name, BERT))
    AutoModel.from_config(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def padded(lengths: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Rows of random tokens, with the types that a tokenizer of another family gives."""
    random = torch.Generator().manual_seed(0)
    longest = max(lengths)
    ids = torch.randint(5, 200, (len(lengths), longest), generator=random)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids = torch.where(mask.bool(), ids, 1)
    types = (torch.arange(longest) > 2).long() * 2 * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def states_of(encoder: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        return Model(encoder, {}).eval().states(one_micro_batch(encoder, inputs))


def keeps_contract(name: str, folder: Path, toy: Toy) -> None:
    facts = model_facts(make(folder, name), "models.m.path", Hashes(folder.parent / "hashes.json"))
    assert facts.num_layers == LAYERS
    encoder = load_encoder(folder)
    whole = AutoModel.from_pretrained(folder)
    assert type(encoder).__name__ == (family_of({"model_type": name}).part or type(whole).__name__)
    if "max_position_embeddings" in OWN.get(name, BERT):
        table = POSITIONS - (2 if FAMILIES[name].after_padding else 0)
        assert facts.max_length == (24 if name == "big_bird" else table)

    # The longest sequence has positions; padding changes nothing of the short one beside it.
    longest = min(facts.max_length, 40)
    inputs = padded((longest, 5))
    states = states_of(encoder, inputs)
    assert len(states) == LAYERS + 1
    assert all(state.shape == (2, longest, SIZE) for state in states)
    short = {key: tensor[1:, :5] for key, tensor in inputs.items()}
    for beside, alone in zip(states, states_of(encoder, short), strict=True):
        assert torch.allclose(beside[1, :5], alone[0], atol=1e-4)
    # States tell positions apart, and what is after a token changes it.
    assert not torch.allclose(states[-1][0, 3], states[-1][0, 4], atol=1e-3)
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, 8] = 300
    assert not torch.allclose(states_of(encoder, other)[-1][0, 0], states[-1][0, 0], atol=1e-6)

    # It trains, and what a stage saves is loaded again to the bit.
    toy.task("toy_a")
    toy.task("toy_t", "tagging")
    own = replace(toy, folder=folder)
    model, outcome = own.train(own.stage("toy_a", "toy_t", examples=32, checks=1))
    assert len(outcome.curve) and all(point["loss"] < 10 for point in outcome.curve)
    trained = states_of(model.encoder, inputs)
    assert not torch.allclose(trained[-1], states[-1], atol=1e-4)
    save(model, folder / "stage")
    again = states_of(load_encoder(folder / "stage" / "encoder"), inputs)
    assert all(one.equal(two) for one, two in zip(again, trained, strict=True))


@pytest.mark.parametrize("name", QUICK)
def test_a_family_keeps_the_contract(name: str, tmp_path: Path, toy: Toy) -> None:
    keeps_contract(name, tmp_path / "model", toy)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in RUNNING if name not in QUICK])
def test_the_other_families_keep_it(name: str, tmp_path: Path, toy: Toy) -> None:
    keeps_contract(name, tmp_path / "model", toy)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["convbert", "fnet", "yoso"])
def test_who_is_refused_for_its_padding_breaks_it(name: str, tmp_path: Path) -> None:
    encoder, inputs = load_encoder(make(tmp_path / "model", name)), padded((20, 5))
    short = {key: tensor[1:, :5] for key, tensor in inputs.items()}
    beside, alone = states_of(encoder, inputs)[-1], states_of(encoder, short)[-1]
    assert not torch.allclose(beside[1, :5], alone[0], atol=1e-2)


def test_of_an_encoder_decoder_the_states_are_its_encoders(tmp_path: Path) -> None:
    for name in ("mt5", "mbart"):
        folder = make(tmp_path / name, name)
        whole = AutoModel.from_pretrained(folder).eval()
        inputs = padded((9, 5))
        del inputs["token_type_ids"]
        with torch.inference_mode():
            expected = whole.get_encoder()(**inputs).last_hidden_state
        got = states_of(load_encoder(folder), inputs)[-1]
        real = inputs["attention_mask"].bool()
        assert torch.allclose(got[real], expected[real], atol=1e-6)
        # Its LM head stands behind the decoder.
        facts = model_facts(folder, "models.m.path", Hashes(tmp_path / "hashes.json"))
        assert not facts.has_lm_head


def test_weights_of_an_encoder_alone_are_taken(tmp_path: Path) -> None:
    from transformers import MT5Config, MT5EncoderModel

    folder = tmp_path / "model"
    encoder = MT5EncoderModel(MT5Config(**T5))
    encoder.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "mt5"
    assert (
        load_encoder(folder)
        .encoder.block[0]
        .layer[0]
        .SelfAttention.q.weight.equal(encoder.encoder.block[0].layer[0].SelfAttention.q.weight)
    )


EXPORTED = {
    "albert": ["tagging", "span"],
    "big_bird": ["tagging"],
    "deberta-v2": ["tagging", "span"],
    "distilbert": ["tagging", "span"],
    "eurobert": ["tagging"],
    "mbart": [],
    "mpnet": ["sentence", "pair", "multilabel", "tagging", "span"],
    "t5": ["tagging"],
    "xlm": ["tagging", "span"],
}
"""Kinds whose heads these types have in the same form."""


@pytest.mark.parametrize("name", EXPORTED)
def test_a_head_is_exported_to_the_same_scores_or_refused_in_a_line(
    name: str, tmp_path: Path
) -> None:
    encoder = load_encoder(make(tmp_path / "model", name))
    exported = []
    for kind in IN_TRANSFORMERS:
        task = Task("toy", kind, Source("toy/toy"), ("en",), {}, ("f1",), labels=("a", "b", "c"))
        heads = build_heads({"toy": task}, SIZE, 0.0, 0.1, 0, "target")
        save(Model(encoder, heads), tmp_path / kind)
        try:  # it compares the scores itself
            to_transformers(tmp_path / kind, task)
            exported.append(kind)
        except StageError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
    assert exported == EXPORTED[name]


def test_an_error_of_transformers_is_one_line(tmp_path: Path) -> None:
    """For a class that is not there it lists all that are."""
    folder = make(tmp_path / "model", "bert-generation")
    with pytest.raises(StageError) as caught:
        load_encoder_with_lm_head(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
