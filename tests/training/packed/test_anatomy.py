"""Anatomies: an entry for every family that runs packed, and for no other."""

from __future__ import annotations

from transformers import AutoModel, BertConfig

from xstilts.config.families import FAMILIES
from xstilts.training.packed.anatomy import ANATOMIES, can_pack


def test_every_family_that_runs_packed_has_one() -> None:
    assert {name for name, family in FAMILIES.items() if family.packed} == {*ANATOMIES}


def test_a_decoder_of_such_a_family_does_not() -> None:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    for is_decoder in (False, True):
        config = BertConfig(**sizes, num_hidden_layers=1, vocab_size=9, is_decoder=is_decoder)
        assert can_pack(AutoModel.from_config(config)) != is_decoder
