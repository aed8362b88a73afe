"""What is measured: encoders of known shapes with random weights, rows of known lengths.

Speed depends on a model's shape and the rows' lengths, not on what either has learnt or says, so
nothing needs to be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoConfig, AutoModel

from xstilts.config.recipe import StageRecipe
from xstilts.errors import ConfigError, Problem
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.stage import Part, Pretrained, Rows, Train
from xstilts.tasks import lookup

SHAPES: dict[str, dict[str, Any]] = {
    "xlmr-mini": {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "vocab_size": 30_000,
    },
    "xlmr-base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 250_002,
    },
    "xlmr-large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "vocab_size": 250_002,
    },
    "modernbert-mini": {
        "model_type": "modernbert",
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 680,
        "vocab_size": 30_000,
    },
    "eurobert-mini": {
        "model_type": "eurobert",
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 768,
        "vocab_size": 30_000,
    },
    "deberta-mini": {
        "model_type": "deberta-v2",
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "vocab_size": 30_000,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": "p2c|c2p",
        "share_att_key": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
    },
    "mmbert-base": {
        "model_type": "modernbert",
        "hidden_size": 768,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "intermediate_size": 1152,
        "vocab_size": 256_000,
    },
}
"""XLM-R's where no `model_type` is said; the small ones have as many weights in their products."""

XLMR = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "type_vocab_size": 1}
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


@dataclass(frozen=True, slots=True)
class Workload:
    """Rows of one kind: the median of their lengths, its spread (of the logarithm), the cut."""

    kind: str
    task: str
    median: float
    spread: float
    max_length: int


WORKLOADS = {
    "mnli": Workload("pair", "mnli", 36.5, 0.42, 128),
    "udpos": Workload("tagging", "udpos", 26.0, 0.60, 128),
    "squad": Workload("span", "squad_v1", 165.0, 0.40, 384),
}
"""Lengths like those of MNLI (mean 40 tokens, 99 % below 93), UD and SQuAD under XLM-R."""


def encoder_of(name: str) -> Any:
    """A random encoder of a named shape, or of the configuration in a folder.

    Raises:
        ConfigError: neither a known shape nor a folder with a configuration of transformers' own.
    """
    torch.manual_seed(0)
    if name in SHAPES:
        shape = SHAPES[name] if "model_type" in SHAPES[name] else XLMR | SHAPES[name]
        config = AutoConfig.for_model(**IDS, **shape)
    elif (Path(name) / "config.json").exists():
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        except ValueError as error:
            rule = "is an architecture that transformers has itself"
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError([Problem("--model", rule, f'"{name}" ({reason})')]) from error
    else:
        rule = f"is one of {', '.join(SHAPES)}, or a folder with a config.json"
        raise ConfigError([Problem("--model", rule, f'"{name}"')])
    try:
        return AutoModel.from_config(config, trust_remote_code=False, add_pooling_layer=False)
    except TypeError:  # classes without a pooler do not know the argument
        return AutoModel.from_config(config, trust_remote_code=False)


def vocabulary_of(config: Any) -> Vocabulary:
    """The ids that collating needs."""
    return Vocabulary(config.pad_token_id or 0, -1, config.vocab_size, ())


def rows_of(work: Workload, count: int, vocab_size: int, seed: int) -> Encoded:
    """Random rows with a workload's lengths."""
    random = np.random.default_rng(seed)
    drawn = np.rint(work.median * np.exp(work.spread * random.standard_normal(count)))
    lengths = np.clip(drawn, 8, work.max_length).astype(int)
    labels = lookup(work.task).labels
    columns: dict[str, Any] = {
        "example": list(range(count)),
        "input_ids": [random.integers(5, vocab_size, length) for length in lengths],
    }
    if work.kind == "pair":
        columns["label"] = random.integers(0, len(labels), count).tolist()
    elif work.kind == "tagging":
        # About every third sub-token goes on with a word.
        columns["positions"] = [list(range(1, length - 1, 2)) for length in lengths]
        columns["labels"] = [
            random.integers(0, len(labels), len(own)).tolist() for own in columns["positions"]
        ]
    else:
        starts = random.integers(1, lengths - 3)
        columns["start"], columns["end"] = starts.tolist(), (starts + 2).tolist()
    return Encoded(pa.table(columns), pa.table({"id": [str(i) for i in range(count)]}))


def stage_of(work: Workload, examples: int, batch_size: int, seed: int, precision: str) -> Train:
    """A stage that trains so many examples and checks nothing."""
    labels = lookup(work.task).labels
    rows = Rows(work.task, "train", "0" * 64, (("en", examples),), 1, 1, labels, work.max_length)
    # Without warm-up: Trainer's begins with a step at rate 0.
    recipe = StageRecipe(
        learning_rate=1e-5,
        batch_size=batch_size,
        epochs=1,
        max_length=work.max_length,
        warmup_ratio=0.0,
        checks=1,
    )
    part = Part(rows, None, examples, batch_size, (1.0,))
    parent = Pretrained("random", "", "0" * 64, "0" * 64)
    return Train(parent, "target", work.task, (part,), recipe, seed, precision)
