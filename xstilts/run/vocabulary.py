"""Whether a model's tokenizer belongs to its weights, and knows the texts of a sweep.

A tokenizer whose files have another name than its class expects loads without an error and knows
nothing: everything it encodes is unknown, and trials train on it. So it is looked at before
anything runs, once; what was found is remembered by content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import reads
from xstilts.config.families import num_token_vectors
from xstilts.config.schema import Sweep
from xstilts.data.inventory import VOCABULARY_FILES
from xstilts.data.sources import first_rows
from xstilts.errors import DataError, Problem, StageError
from xstilts.files import read_json_if_whole, sha256_of, write_json
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.run.storage import CACHES

if TYPE_CHECKING:
    from xstilts.tasks import Task

UNKNOWN_WARNED, UNKNOWN_REFUSED = 20.0, 50.0
"""Percent of unknown tokens: of any rows, from which on `prepare` warns; of a task's training rows,
from which on a tokenizer is refused. Of XLM-R's languages none has one percent."""

SPARE = 2
"""Token vectors a token at most. Tables are padded to round sizes; the most that a published model
has is 1.5, ByT5's for sentinels."""

SAMPLE_ROWS = 100


def tokenizer_problems(sweep: Sweep, inventory: Inventory, storage: Path) -> Iterator[Problem]:
    """What is wrong with the tokenizers of a sweep's models, whose folders and data are there."""
    memory = storage / CACHES / "tokenizers.json"
    known: dict[str, Any] = read_json_if_whole(memory, dict) or {}
    before = len(known)
    versions = [version(name) for name in ("transformers", "tokenizers")]
    for name, facts in inventory.models.items():
        where = f"models.{name}.path"
        key = sha256_of([facts.tokenizer, *versions])[:24]
        if key not in known:
            try:
                known[key] = _facts(facts)
            except StageError as error:
                yield Problem(where, _without_folder(str(error), facts))
                continue
        found = [*_misfits(where, facts, known[key])]
        yield from found or _strangers(where, sweep, inventory, facts, key, known)
    if len(known) > before:
        write_json(memory, known)


def _facts(facts: ModelFacts) -> dict[str, Any]:
    """What a tokenizer is: its class, its size, and the vocabularies that it did not read."""
    tokenizer = _tokenizer(facts.path)
    read = set(type(tokenizer).vocab_files_names.values())
    there = [name for name in VOCABULARY_FILES if (Path(facts.path) / name).is_file()]
    return {
        "class": type(tokenizer).__name__,
        "size": len(tokenizer),
        "unread": [name for name in there if name not in read],
    }


def _misfits(where: str, facts: ModelFacts, known: Mapping[str, Any]) -> Iterator[Problem]:
    """Too few tokens for the weights, or too many."""
    settings = json.loads((Path(facts.path) / "config.json").read_text(encoding="utf-8"))
    vectors, size = num_token_vectors(settings), known["size"]
    if vectors is None or size <= vectors <= SPARE * size:
        return
    repair = "take the tokenizer that was published with the weights"
    if known["unread"]:
        repair = (
            f"{known['class']} did not read {', '.join(known['unread'])}: name the class that does "
            "under tokenizer_class in tokenizer_config.json, or add tokenizer.json"
        )
    yield Problem(
        where,
        f"its tokenizer ({known['class']}) has {size:,} tokens and its weights {vectors:,} token "
        "vectors; they do not belong together",
        f'"{facts.path}"',
        repair,
    )


def _strangers(
    where: str,
    sweep: Sweep,
    inventory: Inventory,
    facts: ModelFacts,
    key: str,
    known: dict[str, Any],
) -> Iterator[Problem]:
    """Tasks whose training rows a tokenizer does not know in any of their languages; where nothing
    is trained, all that is scored."""
    shares: dict[str, dict[str, float]] = {}
    rows = reads(sweep)
    for task, use, language in [row for row in rows if row[1] == "train"] or rows:
        identities = [inventory.data[one.hub_id] for one in task.sources_of(use)]
        of = f"{key}/{sha256_of([identities, task.name, use, language])[:24]}"
        if of not in known:
            known[of] = _unknown(inventory, facts, task, use, language)
        shares.setdefault(task.name, {})[language] = known[of]
    for name, by_language in shares.items():
        language = min(by_language, key=lambda x: by_language[x])
        if by_language[language] >= UNKNOWN_REFUSED:
            yield Problem(
                where,
                f"its tokenizer ({known[key]['class']}) does not know what it is to read: of the "
                f"first {SAMPLE_ROWS} rows of {name} in {language} {by_language[language]:.0f}% of "
                "the tokens are unknown",
                f'"{facts.path}"',
                "take the tokenizer that was published with the weights",
            )


def _unknown(inventory: Inventory, facts: ModelFacts, task: Task, use: str, language: str) -> float:
    """Percent of the tokens of a use's first rows that a tokenizer does not know."""
    # Late: both import torch, which what is remembered does not need.
    from xstilts.data.statistics import percent_unknown, texts_of

    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    try:
        columns = first_rows(folders, task, use, language, SAMPLE_ROWS)
    except DataError:
        return 0.0  # said by whoever reads all of them
    return percent_unknown(texts_of(columns, task), _tokenizer(facts.path))


@cache
def _tokenizer(folder: str) -> Any:
    from xstilts.training.model import load_tokenizer

    return load_tokenizer(Path(folder))


def _without_folder(message: str, facts: ModelFacts) -> str:
    return message.removeprefix(f"{facts.path}: ")
