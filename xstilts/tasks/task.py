"""Task: what a data set is - data, no behaviour. Behaviour belongs to its kind (`xstilts.kinds`).

A new task is one entry in `intermediate.py` or `targets.py`; constructing it checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from xstilts.identity import later
from xstilts.tasks.kinds import BROUGHT, KINDS, KindSpec, kind_spec

NORMALISERS = {"detokenise": 1}
"""What brings translated rows to natural text (`xstilts.data.natural`), with its version.

The version is part of the fingerprint of the stages that read such rows.
"""

POOL = "pool"
"""The use of the candidates among which all that is scored is ranked."""

GROUPS = ("classification", "tagging", "qa", "retrieval")
"""XTREME's task groups, for `group/<name>` averages."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's rows are: a data set in the layout of the Hugging Face Hub.

    `config` may hold `{language}`, and `names` says what the data set calls a language where that
    is not its code. `columns` maps the names that the kind reads to the names in the files, where
    they differ: a name, a name within a column (`choices.text`), a template, or several of them
    that make up a list. `sides` names further configurations of a language, whose columns come as
    `<side>.<column>`. `sizes` are the rows of a split as published, by split, or by language and
    split (`sw/test`). `copies` names the data set whose rows these are, as they are or in
    translation, where several copies of them are known. `instead` is set where the Hub has no
    copy or a wrong one: why, and which original files to import. `form` names what makes rows of
    the kind of rows that have other columns (`xstilts.data.forms`).
    """

    hub_id: str
    config: str = "default"
    revision: str = "main"
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    copies: str = ""
    instead: str = ""
    form: str = field(default="", metadata=later(""))

    def config_of(self, language: str) -> str:
        """The configuration that holds one language."""
        return self.config.format(language=self.names.get(language, language))

    def size_of(self, split: str, language: str) -> int | None:
        """The rows of a split as published; None where nothing is declared."""
        return self.sizes.get(f"{language}/{split}", self.sizes.get(split))

    def side_configs_of(self, language: str) -> dict[str, str]:
        """The configurations that hold the other sides of one language."""
        name = self.names.get(language, language)
        return {side: config.format(language=name) for side, config in self.sides.items()}

    def configs_of(self, language: str) -> tuple[str, ...]:
        """All configurations of one language."""
        return (self.config_of(language), *self.side_configs_of(language).values())


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A share of a split's groups: those whose name's sha256 is below `percent` of its range.

    So the choice is the same everywhere, and a group is whole: all questions of an article. Where
    that puts all rows on one side, as with a single article, `otherwise` names the groups.
    """

    column: str
    percent: int
    otherwise: str = ""

    def holds(self, group: str) -> bool:
        """Whether a group is among those held out."""
        return int(sha256(group.encode()).hexdigest()[:8], 16) % 100 < self.percent


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of one use: a split of a source (None: the task's own), and which of its rows.

    `unlike` drops rows whose value in its column stands in that split of another data set:
    selection must not see what is scored. `labelled` names the column of a label without which a
    row is dropped. `where` keeps the rows that have a value in a column. Of what is left `only`
    keeps the groups held out, `without` drops them.
    """

    split: str
    source: Source | None = None
    only: HeldOut | None = None
    without: HeldOut | None = None
    unlike: tuple[Source, str, str] | None = None  # source, split, column
    labelled: str = ""
    where: tuple[str, str] | None = None  # column, value

    @property
    def origin(self) -> Source:
        """The data set of the rows, in slices that `Task.slices_of` gives."""
        assert self.source is not None
        return self.source

    @property
    def filter(self) -> str:
        """What the slice leaves out, in words; empty if it is the whole split."""
        words = []
        if self.unlike:
            source, split, column = self.unlike
            words.append(f"without any {column} of {source.hub_id} {split}")
        if self.labelled:
            words.append(f"with a {self.labelled}")
        if self.where:
            words.append(f"where {self.where[0]} is {self.where[1]}")
        if self.only:
            words.append(f"{self.only.percent}% of {self.only.column}s")
        if self.without:
            words.append(f"without {self.without.percent}% of {self.without.column}s")
        return ", ".join(words)


def shapes_no_rows(neutral: Any) -> dict[str, Any]:
    """Of a field of a task that shapes no rows: where rows are known by their task's declaration
    (`xstilts.plan.stage.declaration`), `neutral` stands in its place."""
    return {"neutral": neutral}


@dataclass(frozen=True, slots=True)
class Task:
    """One data set as an intermediate or a target.

    `splits` maps the uses `train`, `dev` (selection, training language) and `test`, `validation`
    (what `evaluation.split` names) to split names of the source, to a slice, or to several that are
    joined; a use that is absent does not exist. `lacks` names languages that a use has no rows
    for. `metrics` are the names of the kind's metrics that make up the score, 0-100 each; their
    mean is the task's score (EM and F1 for QA, one metric elsewhere); those `beside` are given too.
    `is_parallel`: the rows of
    all languages are translations of each other, one by one.

    `trained_as` names the target whose training stage this one reads: both are fine-tuned on the
    same rows. `chain` names the tasks that a target is fine-tuned on, a stage after the other with
    the head carried along; `train` and `dev` are the last one's rows. `fitted_on` is the use whose
    labels fit a threshold that is then applied to what is scored. `normalization` says how QA
    answers are compared: as SQuAD or as MLQA does; in a task that `can_abstain` a question may have
    no answer. `open_labels`: the labels are those that the training rows have. `translations` has
    the training rows in `translated_languages`, translated by machine; English beside them went the
    same way but for the translation.

    `translated` are the splits of a sweep that wants a target in translation: `train` translated
    from English to one of the `translated_languages`, with `dev` where that is not the task's own
    in that language; what is scored translated to English, from the languages `to_english`.
    `in_translation` names the uses that a sweep reads so.

    `query_tokens` are those of a query at most, where a dual encoder cuts queries before candidates
    (0: nowhere). The use `pool` are the candidates among which all that is scored is ranked: those
    of all languages at once.

    `dev_note` says what the dev set shares with what is scored, `apart` are the splits of a sweep
    that wants nothing shared (`selection.articles: held_out`).
    """

    name: str
    kind: str
    source: Source
    languages: tuple[str, ...] = field(metadata=shapes_no_rows(("",)))
    splits: Mapping[str, str | Slice | tuple[Slice, ...]]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    train_language: str = "en"
    group: str | None = field(default=None, metadata=shapes_no_rows(None))
    is_parallel: bool = False
    description: str = ""
    version: int = 1
    lacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict, metadata=shapes_no_rows({}))
    trained_as: str = ""
    fitted_on: str = ""
    normalization: str = "squad"
    can_abstain: bool = False
    open_labels: bool = False
    translations: Source | None = None
    translated_languages: tuple[str, ...] = ()
    dev_note: str = field(default="", metadata=shapes_no_rows(""))
    apart: Mapping[str, Slice] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    # Its stages are parents of each other, which says it where it counts.
    chain: tuple[str, ...] = field(default=(), metadata=shapes_no_rows(()) | later(()))
    query_tokens: int = field(default=0, metadata=later(0))
    translated: Mapping[str, Slice] = field(default_factory=dict, metadata=later({}))
    to_english: tuple[str, ...] = field(default=(), metadata=later(()))
    in_translation: tuple[str, ...] = field(default=(), metadata=later(()))

    def __post_init__(self) -> None:
        known = self.kind in KINDS or self.kind in BROUGHT
        assert known, f"task {self.name}: unknown kind {self.kind!r}"
        assert self.group is None or self.group in GROUPS, f"task {self.name}: {self.group!r}"
        needs_labels = self.kind_spec.declares_labels and not self.open_labels
        assert self.labels or not needs_labels, f"task {self.name}: no labels"
        assert self.languages, f"task {self.name}: no languages"

    @property
    def kind_spec(self) -> KindSpec:
        """What its kind is."""
        return kind_spec(self.kind)

    @property
    def is_target(self) -> bool:
        """Whether a sweep may name it under `targets`."""
        return self.group is not None

    @property
    def is_trained(self) -> bool:
        """Whether the task has training data; retrieval targets have none."""
        return "train" in self.splits

    def languages_of(self, use: str) -> tuple[str, ...]:
        """The languages whose rows a use reads: the training language for `train` and `dev`, and
        for a pool that is in no language."""
        if use == POOL and not any("{language}" in x.origin.config for x in self.slices_of(use)):
            return (self.train_language,)
        if self.kind_spec.is_self_supervised or use not in ("train", "dev"):
            absent = self.lacks.get(use, ())
            return tuple(language for language in self.languages if language not in absent)
        return (self.train_language,)

    @property
    def head(self) -> str:
        """The name of the task whose training stage and head this one reads."""
        return self.trained_as or self.name

    def slices_of(self, use: str) -> tuple[Slice, ...]:
        """The rows of a use, each slice with its source."""
        declared = self.splits[use]
        if isinstance(declared, str):
            declared = Slice(declared)
        slices = declared if isinstance(declared, tuple) else (declared,)
        return tuple(
            one if one.source is not None else replace(one, source=self.source) for one in slices
        )

    def sources_of(self, use: str) -> tuple[Source, ...]:
        """The data sets that a use reads: those of its rows, and those whose rows it leaves out."""
        slices = self.slices_of(use)
        others = [one.unlike[0] for one in slices if one.unlike]
        return (*(one.origin for one in slices), *others)

    def origins_of(self, use: str) -> frozenset[tuple[str, str]]:
        """The rows that a use reads, as data set and split, whatever copy it reads them from."""
        slices = self.slices_of(use) if use in self.splits else ()
        return frozenset(
            (one.origin.copies or f"{one.origin.hub_id} {one.origin.config}", one.split)
            for one in slices
        )

    def held_apart(self) -> Task:
        """The task with no article of its training or dev set in what targets are scored on."""
        if not self.apart:
            return self
        return replace(self, splits={**self.splits, **self.apart}, dev_note="")

    @property
    def cuts_dev_from_train(self) -> bool:
        """Whether the dev set is no published one but rows held out of the training set."""
        if not {"train", "dev"} <= self.splits.keys():
            return False
        train, dev = self.slices_of("train"), self.slices_of("dev")
        return any(one.without is not None for one in train) and any(
            one.only is not None and replace(one, only=None, without=one.only) in train
            for one in dev
        )

    def trained_on(self, links: tuple[Task, ...]) -> Task:
        """The task as a target that is fine-tuned on the rows of other tasks, one after the other.

        What selects it is the dev set of the last."""
        last, own = links[-1], ("train", "dev")
        learnt = {use: last.slices_of(use) for use in own if use in last.splits}
        scored = {use: rows for use, rows in self.splits.items() if use not in own}
        return replace(
            self,
            splits={**scored, **learnt},
            train_language=last.train_language,
            apart=last.apart,
            dev_note="",
            chain=tuple(link.name for link in links),
        )

    def whole(self) -> Task:
        """The task with all of its training rows, those of a dev set that was cut from them too."""
        rows = tuple(replace(one, without=None) for one in self.slices_of("train"))
        return replace(self, splits={**self.splits, "train": rows})

    def read_in_translation(self, uses: tuple[str, ...]) -> Task:
        """The task with its translated rows for some uses, where it has them."""
        named = tuple(use for use in uses if use in self.translated)
        if not named:
            return self
        rows = {use: self.translated[use] for use in named}
        found = (*self.in_translation, *named)
        task = replace(self, splits={**self.splits, **rows}, in_translation=found)
        # Rows that select in translation are held apart already.
        return replace(task, apart={}, dev_note="") if "dev" in named else task

    def variant(self, translated: bool, where: tuple[str, str] | None) -> Task:
        """The task with other training rows: their translations, or only some of them. A target has
        all of its rows that there are in translation."""
        if not translated and where is None:
            return self
        if translated and self.translated:
            return self.read_in_translation(tuple(self.translated))
        (rows,) = self.slices_of("train")
        if translated:
            assert self.translations is not None, f"task {self.name}: no translations"
            rows = replace(rows, source=self.translations)
        rows = replace(rows, where=where)
        return replace(self, splits={**self.splits, "train": rows})
