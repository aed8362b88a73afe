"""Inventory: the identity and size of every input of a sweep, taken once before the launch.

Stages are named by content, so a plan needs the hashes of weights, tokenizers and data sets and
the row counts; `xstilts.data.inventory` takes them, this is what it hands over (as JSON).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xstilts.config.derive import reads
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.files import read_json
from xstilts.tasks import Task


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A pretrained model: where it lies, what it contains. `num_bytes` is the weights' size;
    `has_lm_head` whether they hold a head that MLM can go on with, `has_pooler` a pooler that
    classifiers can; `max_length` the tokens that it has positions for, special ones included;
    `family_version` that of what encoders of its type compute."""

    path: str
    weights: str
    tokenizer: str
    num_layers: int
    num_bytes: int
    has_lm_head: bool = True
    max_length: int = 512
    has_pooler: bool = True
    family_version: int = 0

    def computing_weights(self) -> float:
        """Weights that take part in matrix products; all of them where the shape is not known."""
        try:
            shape = read_json(Path(self.path) / "config.json")
            hidden, inner = int(shape["hidden_size"]), int(shape["intermediate_size"])
            return int(shape["num_hidden_layers"]) * (4.0 * hidden**2 + 2.0 * hidden * inner)
        except (OSError, ValueError, KeyError, TypeError):
            return self.num_bytes / 4


@dataclass(frozen=True, slots=True)
class Inventory:
    """Models by their name in the sweep; folders and identities of data sets by Hub id; rows by
    `row_key`, and items that languages have in common by `items_key`; labels by task, where its
    rows declare them; what a reader must know of the data; mean tokens of an example, by
    `matching.token_key`, where a plan hangs on them."""

    models: Mapping[str, ModelFacts]
    folders: Mapping[str, str]
    data: Mapping[str, str]
    rows: Mapping[str, int]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    tokens: Mapping[str, float] = field(default_factory=dict)

    def rows_of(self, task: Task, use: str, language: str) -> int:
        """How many rows a task has for a use in a language."""
        return self.rows[row_key(task, use, language)]

    def items_of(self, task: Task, languages: Sequence[str]) -> int:
        """How many items the training rows of several languages have in common."""
        return self.rows[items_key(task, languages)]

    def relative_to(self, root: Path) -> Inventory:
        """The inventory with what lies under a folder named from there, so that the folder may be
        moved; `under` is the way back."""
        return self._mapped(
            lambda path: str(path.relative_to(root) if path.is_relative_to(root) else path)
        )

    def under(self, root: Path) -> Inventory:
        """The inventory with what is named from a folder found there."""
        return self._mapped(lambda path: str(root / path))

    def _mapped(self, change: Callable[[Path], str]) -> Inventory:
        models = {
            name: replace(facts, path=change(Path(facts.path)))
            for name, facts in self.models.items()
        }
        folders = {name: change(Path(folder)) for name, folder in self.folders.items()}
        return replace(self, models=models, folders=folders)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict that `from_json` reads."""
        models = {
            name: {field: getattr(facts, field) for field in ModelFacts.__slots__}
            for name, facts in self.models.items()
        }
        return {
            "models": models,
            "folders": dict(self.folders),
            "data": dict(self.data),
            "rows": dict(self.rows),
            "labels": {task: list(labels) for task, labels in self.labels.items()},
            "notes": list(self.notes),
            "tokens": dict(self.tokens),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Inventory:
        """The inventory that `to_json` wrote."""
        models = {name: ModelFacts(**facts) for name, facts in value["models"].items()}
        known = {name: value[name] for name in ("folders", "data", "rows", "labels")}
        later = {"notes": tuple(value.get("notes", ())), "tokens": value.get("tokens", {})}
        return cls(models=models, **known, **later)


def row_key(task: Task, use: str, language: str) -> str:
    """The key of `Inventory.rows`."""
    keys = []
    for one in task.slices_of(use):
        key = f"{one.origin.hub_id}|{one.origin.config_of(language)}|{one.split}"
        keys.append(f"{key}|{one.filter}" if one.filter else key)
    return " + ".join(keys)


def items_key(task: Task, languages: Sequence[str]) -> str:
    """The key of `Inventory.rows` of the items that training rows of several languages share."""
    return " & ".join(row_key(task, "train", language) for language in languages)


def check_rows(sweep: Sweep, inventory: Inventory) -> None:
    """Refuse a sweep whose data lack rows that it needs.

    Raises:
        ConfigError: a task that takes part has no rows for a use.
    """
    problems = [
        Problem(f"data.root: {task.name}", f"has no rows for {use} in {language}")
        for task, use, language in reads(sweep)
        if not inventory.rows_of(task, use, language)
    ]
    if problems:
        raise ConfigError(problems)
