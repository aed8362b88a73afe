"""The miniature benchmark: a small world with English and six constructed languages.

`data_path` is the folder of its data sets, in the layout of the Hugging Face Hub; `encoder_path`
that of the tiny encoder that was pretrained on the world's text. `tools/mini` made both.
"""

from __future__ import annotations

from pathlib import Path

VERSION = 3
"""Raised whenever the data or the encoder become others, for stages are known by their inputs."""


def encoder_path() -> Path:
    """The folder of the encoder with its tokenizer, for `AutoModel.from_pretrained`."""
    return Path(__file__).parent / "encoder"


def data_path() -> Path:
    """The folder of the data sets, a mirror as `data.root` names one.

    Its files stay byte for byte those that version 2 had from the start; version 3 has parallel
    text beside them. What is known of a data set is their sha256, and another writer of Parquet
    would make other bytes of the same rows.
    """
    return Path(__file__).parent / "data"
