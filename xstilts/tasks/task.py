"""Task: what a data set is - data, no behaviour. Behaviour belongs to its kind (`xstilts.kinds`).

A new task is one entry in `intermediate.py` or `targets.py`; constructing it checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = {"pair": 1, "choice": 1, "tagging": 1, "span": 1, "retrieval": 1, "mlm": 1}
"""Names of the kinds, as `xstilts.kinds.get` knows them, with the version of their encoding.

The version is part of every fingerprint: raise it when a kind turns rows into other inputs.
"""

GROUPS = ("classification", "tagging", "qa", "retrieval")
"""XTREME's task groups, for `group/<name>` averages."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's rows are: a data set in the layout of the Hugging Face Hub.

    `config` and the split names may hold `{language}`. `columns` maps the names that the kind
    reads to the names in the files, where they differ.
    """

    hub_id: str
    config: str = "default"
    revision: str = "main"
    columns: Mapping[str, str] = field(default_factory=dict)

    def config_of(self, language: str) -> str:
        """The configuration that holds one language."""
        return self.config.format(language=language)


@dataclass(frozen=True, slots=True)
class Task:
    """One data set as an intermediate or a target.

    `splits` maps the uses `train`, `dev` (selection, training language) and `test`, `validation`
    (what `evaluation.split` names) to split names of the source; a use that is absent does not
    exist. `metrics` are the names of the kind's metrics that make up the score, 0-100 each; their
    mean is the task's score (EM and F1 for QA, one metric elsewhere). `family` names data sets
    that share their training data, so that overlap of an intermediate with a target shows.
    """

    name: str
    kind: str
    source: Source
    languages: tuple[str, ...]
    splits: Mapping[str, str]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    train_language: str = "en"
    group: str | None = None
    has_test_labels: bool = True
    family: str | None = None
    description: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        assert self.kind in KINDS, f"task {self.name}: unknown kind {self.kind!r}"
        assert self.group is None or self.group in GROUPS, f"task {self.name}: {self.group!r}"
        assert self.kind not in ("pair", "tagging") or self.labels, f"task {self.name}: no labels"
        assert self.languages, f"task {self.name}: no languages"

    @property
    def is_target(self) -> bool:
        """Whether a sweep may name it under `targets`."""
        return self.group is not None

    @property
    def is_trained(self) -> bool:
        """Whether the task has training data; retrieval targets have none."""
        return "train" in self.splits

    def languages_of(self, use: str) -> tuple[str, ...]:
        """The languages whose rows a use reads: the training language for `train` and `dev`."""
        if self.kind == "mlm" or use not in ("train", "dev"):
            return self.languages
        return (self.train_language,)
