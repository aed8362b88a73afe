"""Tokens of an example, where a plan hangs on them: intermediates matched by tokens.

A sample of a thousand rows tells the mean within a percent or two, in seconds, and the same one
everywhere; to count all rows would mean to encode them before the sweep is even planned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xstilts.config.schema import Sweep
from xstilts.plan.inventory import Inventory
from xstilts.plan.matching import token_key
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Rows

SAMPLE = 1000


def mean_tokens(sweep: Sweep, inventory: Inventory) -> dict[str, float]:
    """Mean tokens of an example of the rows that matched stages read, by `token_key`.

    Raises:
        DataError: rows cannot be read.
    """
    planner = Planner(sweep, inventory, {})
    found: dict[str, float] = {}
    for model in inventory.models:
        for rows in planner.rows_to_count(model):
            for language, _ in rows.rows:
                key = token_key(model, rows, language)
                if key not in found:
                    found[key] = _mean(inventory, model, rows, language)
    return found


def _mean(inventory: Inventory, model: str, rows: Rows, language: str) -> float:
    # Late: most plans count nothing, and need not wait for torch.
    from xstilts import kinds
    from xstilts.data.natural import read
    from xstilts.training.model import load_tokenizer

    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    task, limit = rows.entry, min(SAMPLE, rows.limit or SAMPLE)
    columns = read(folders, rows, language, limit)
    tokenizer = load_tokenizer(Path(inventory.models[model].path))
    encoded = kinds.get(task.kind).encode(columns, task, tokenizer, rows.max_length)
    counts = np.array([_num_tokens(ids) for ids in encoded.features["input_ids"].to_pylist()])
    if task.kind_spec.is_self_supervised:  # a draw reads one of its example's windows, whichever
        owners = encoded.features["example"].to_numpy()
        counts = counts / np.bincount(owners)[owners]
    return float(counts.sum()) / int(encoded.examples.num_rows)


def _num_tokens(ids: list[int] | list[list[int]]) -> int:
    """Tokens of a sequence, or of a group of them."""
    return sum(len(part) if isinstance(part, list) else 1 for part in ids)
