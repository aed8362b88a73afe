"""The miniature benchmark: a small world with English and six constructed languages.

`write_benchmark` writes its data sets in the layout of the Hugging Face Hub; `encoder_path` is the
folder of the tiny encoder that was pretrained on the world's text. Importing this loads no torch.
"""

from __future__ import annotations

from pathlib import Path

# Changes whenever the same seed would give other data or the shipped encoder is another.
VERSION: int = 2


def encoder_path() -> Path:
    """The folder of the shipped encoder with its tokenizer, for `AutoModel.from_pretrained`."""
    return Path(__file__).parent / "encoder"


def write_benchmark(root: Path, seed: int = 0) -> None:
    """Write all data sets of the world of this seed below `root/xstilts`."""
    from xstilts.mini.world import write_benchmark as write

    write(root, seed)
