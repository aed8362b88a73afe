"""Four encoders of today's architectures, tiny and of random weights, in one sweep: each with its
own sort of tokenizer, none and an intermediate, and one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import (
    AutoModel,
    DebertaV2Config,
    EuroBertConfig,
    GteConfig,
    ModernBertConfig,
    PreTrainedConfig,
)

from tests.sorts_of_tokenizers import SORTS
from xstilts import mini

from .conftest import Bench

pytestmark = pytest.mark.slow

SIZE = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
}
MODELS: dict[str, tuple[str, Callable[..., PreTrainedConfig]]] = {
    "mmbert": ("mmbert", ModernBertConfig),
    "eurobert": ("eurobert", EuroBertConfig),
    "mdeberta": ("mdeberta", DebertaV2Config),
    "mgte": ("xlm-r, gte", GteConfig),
}
MORE: dict[str, dict[str, Any]] = {
    "mmbert": {"local_attention": 16, "global_attn_every_n_layers": 2},
    "eurobert": {"num_key_value_heads": 2, "head_dim": 24},
    "mdeberta": {
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
}


def write_models(folder: Path) -> dict[str, dict[str, str]]:
    """The section `models` of a sweep file, and what it names."""
    files = (mini.data_path() / "xstilts" / "mini_text").glob("**/*.parquet")
    texts = [
        text for file in sorted(files) for text in pq.read_table(file)["text"].to_pylist()[:200]
    ]
    for name, (sort, config) in MODELS.items():
        tokenizer = SORTS[sort].train(texts)
        tokenizer.save_pretrained(folder / name)
        ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": None}
        torch.manual_seed(0)
        settings = config(vocab_size=len(tokenizer), **{**SIZE, **ids, **MORE.get(name, {})})
        AutoModel.from_config(settings).save_pretrained(folder / name)
    return {name: {"path": str(folder / name)} for name in MODELS}


def test_a_sweep_compares_four_architectures(tmp_path: Path, shared_mini: Path) -> None:
    sweep = {
        "name": "encoders",
        "benchmark": "custom",
        "recipe": {"name": "mini", "epochs": 0.05, "checks": 1, "learning_rate": 1e-3},
        "models": write_models(tmp_path / "models"),
        "data": {"root": str(shared_mini)},
        "intermediates": {"nli": {"tasks": ["mini_nli"], "examples": 160}},
        "targets": ["mini_xnli", "mini_udpos"],
        "languages": ["en", "qaa"],
        "evaluation": {"examples": 40},
        "search": {"encoder": {"trials": 8, "sampler": {"name": "grid"}}},
        "storage": str(tmp_path / "runs"),
    }
    (tmp_path / "encoders.yaml").write_text(yaml.safe_dump(sweep))
    bench = Bench(tmp_path)
    bench.run("sweep", "encoders.yaml")
    records = bench.records("encoders").values()
    assert len(records) == 8 and {one["state"] for one in records} == {"finished"}
    for one in records:
        assert {row["language"] for row in one["scores"] if row["split"] == "test"} == {"en", "qaa"}
        assert {f"mini_udpos/{x}" for x in ("en", "qaa", "avg")} <= one["metrics"].keys()
    found = {(one["point"]["model"], one["point"]["intermediate"]) for one in records}
    assert found == {(name, arm) for name in MODELS for arm in ("none", "nli")}
    report = bench.run("report", "encoders")
    assert all(name in report for name in ("mini_xnli", "mini_udpos", "nli")), report
