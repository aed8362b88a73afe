"""Stages: frozen nodes of a trial's tree, known by the fingerprint of their inputs.

`Pretrained -> Train (intermediate) -> Train (target) -> Evaluate`, and `Signal` on an encoder. Two
stages with one fingerprint are one stage: it is computed once and read by all. What a field counts
for in it stands at the field (`xstilts.identity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any

from xstilts.config.adapt import Lora
from xstilts.config.recipe import StageRecipe
from xstilts.files import sha256_of
from xstilts.identity import RUNTIME_ONLY, counted, later
from xstilts.plan.mixture import allocate
from xstilts.tasks import Task, lookup
from xstilts.tasks.kinds import BROUGHT, KINDS
from xstilts.tasks.plugins import load_plugin

VERSIONS = {
    "Pretrained": {"cpu": 9, "gpu": 9},
    "Train": {"cpu": 9, "gpu": 10},
    "Evaluate": {"cpu": 9, "gpu": 10},
    "Signal": {"cpu": 1, "gpu": 1},
}
"""Versions of what each class of stage computes on each class of device.

Raise one when equal inputs give other results there, so that a change costs what it changes: a
later evaluation keeps the trained stages, one on GPUs the stages of CPUs. What a kind encodes has
its own version (`xstilts.tasks.kinds.KINDS`).
"""

RETRIEVAL_LAYERS = {12: 8, 24: 14}
"""Hidden state that retrieval pools, by depth, 0 being the embeddings: XTREME's for base and
jiant's for large models. Other depths take the nearest to the same 0.6 of the depth."""


RETRIEVAL, PROBE = "retrieval", "probe"
"""The signals of a race."""


def encoded(name: str | None) -> dict[str, Any]:
    """Of a field of rows: where in the key of their encoded form it stands, unless it is one of the
    `VARIANT`; None where it does not shape them."""
    return {"encoded": name}


VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Items:
    """How items stand in rows of several languages: the same in each of them, or each item in one
    alone, of which every language has as many (`xstilts.data.shared_items`)."""

    languages: tuple[str, ...]
    disjoint: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one use of a task: which data set by content, which languages, how many of each.

    `limit` is the cap of rows a language, None for all of them; `translated`, `where`, `apart`
    and `whole` say which variant of the task's rows they are; `normaliser` names what their text
    is brought to natural text by, with its version; `items` how the languages share items, where
    that is more than the cap. `declared` is the declaration of a task that
    the package does not bring: whoever reads the rows needs no other. `plugins` are the modules
    that bring it or its kind, with the digests of their source.
    """

    task: str = field(metadata=encoded("rows"))
    use: str = field(metadata=encoded("rows"))
    source: str = field(metadata=encoded("rows"))
    # Languages are encoded one by one, and all rows of each.
    rows: tuple[tuple[str, int], ...] = field(metadata=encoded(None))
    task_version: int = field(metadata=encoded("rows"))
    encoding_version: int = field(metadata=encoded("encoding"))
    labels: tuple[str, ...] = field(metadata=encoded("rows"))
    max_length: int = field(metadata=encoded("max_length"))
    limit: int | None = field(default=None, metadata=encoded("limit"))
    translated: bool = False
    where: tuple[str, str] | None = None
    # `source` says how the rows are cut.
    apart: bool = field(default=False, metadata=later(False) | encoded(None))
    whole: bool = field(default=False, metadata=later(False) | encoded(None))
    normaliser: tuple[str, int] | None = field(default=None, metadata=later(None))
    # No part of the hash of Python's: it holds mappings.
    declared: Task | None = field(default=None, hash=False, metadata=later(None))
    plugins: tuple[tuple[str, str], ...] = field(default=(), metadata=later(()))
    items: Items | None = field(default=None, metadata=later(None))

    @property
    def entry(self) -> Task:
        """The task, with the labels of these rows and the splits that they are cut from."""
        task = self.declared or lookup(self.task)
        if task.kind not in (*KINDS, *BROUGHT):  # in a process that has not read the sweep file
            for module, _ in self.plugins:
                load_plugin(module)
        if self.apart:
            task = task.held_apart()
        task = task.variant(self.translated, self.where)
        if self.whole:
            task = task.whole()
        return replace(task, labels=self.labels) if task.open_labels else task

    @property
    def num_rows(self) -> int:
        """Rows in all languages."""
        return sum(count for _, count in self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One task of a mixture: its rows and how many examples the stage draws from them.

    `shares` are the languages' shares of the examples, in the order of `train.rows`. `pivots` are
    dev rows of other languages that select beside `dev`.
    """

    train: Rows
    dev: Rows | None
    examples: int
    batch_size: int
    shares: tuple[float, ...]
    pivots: Rows | None = field(default=None, metadata=later(None))

    @property
    def by_language(self) -> dict[str, int]:
        """How many of the examples each language gives."""
        counts = allocate(self.examples, self.shares)
        return {name: count for (name, _), count in zip(self.train.rows, counts, strict=True)}

    @property
    def num_steps(self) -> int:
        """Optimiser steps: each draws `batch_size` examples, the last perhaps fewer."""
        return -(-self.examples // self.batch_size)

    @property
    def epochs(self) -> float:
        """Passes over the rows."""
        return self.examples / self.train.num_rows


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The pretrained encoder with its tokenizer, by the sha256 of their files and the version of
    what is computed with a model of its type (`xstilts.config.families`)."""

    model: str = field(metadata=RUNTIME_ONLY)
    path: str = field(metadata=RUNTIME_ONLY)
    weights: str
    tokenizer: str
    family_version: int = field(default=0, metadata=later(0))


@dataclass(frozen=True, slots=True)
class Train:
    """Training of one mixture from a parent's encoder; heads start fresh, but for one part's that
    goes on from the parent's head (`carries_head`): a link of a chain after the first.

    `phase` is `intermediate`, `target`, or `final` after selection. `recipe` holds what is common
    to the parts; its `batch_size`, `max_length` and `epochs` have become the parts' own and count
    no more.
    """

    parent: Pretrained | Train
    phase: str
    label: str = field(metadata=RUNTIME_ONLY)
    parts: tuple[Part, ...]
    recipe: StageRecipe
    seed: int
    precision: str = "fp32"
    world_size: int = 1
    device: str = "cpu"
    carries_head: bool = field(default=False, metadata=later(False))

    @property
    def lora(self) -> Lora | None:
        """The adapters that the stage trains and keeps in place of its parent's encoder."""
        return self.recipe.adapt.lora

    @property
    def links_before(self) -> tuple[Train, ...]:
        """The links of its chain that it goes on from, the first of them first."""
        if not self.carries_head:
            return ()
        assert isinstance(self.parent, Train)
        return (*self.parent.links_before, self.parent)

    def grown_from(self, root: Pretrained | Train) -> Train:
        """The stage, and the links that it goes on from, on another encoder."""
        links = self.links_before
        return replace(self, parent=links[-1].grown_from(root) if links else root)

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the stage."""
        return sum(part.num_steps for part in self.parts)

    def recipe_of(self, part: Part) -> StageRecipe:
        """What a part is trained by: the common recipe with what has become the part's own."""
        return replace(
            self.recipe,
            batch_size=part.batch_size,
            epochs=part.epochs,
            max_length=part.train.max_length,
        )


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Zero-shot evaluation of a target in its languages, by the encoder and head of the parent.

    `precision` and `device` are those of the computation. `layer` is the hidden state that
    retrieval pools, None elsewhere. `fitted` are the rows whose labels fit a threshold, where the
    target has one and they are not those that are scored. `pool` are the candidates among which all
    that is scored is ranked, where rows do not bring their own.
    """

    parent: Pretrained | Train
    rows: Rows
    split: str
    layer: int | None
    precision: str = "fp32"
    fitted: Rows | None = None
    device: str = "cpu"
    pool: Rows | None = field(default=None, metadata=later(None))


@dataclass(frozen=True, slots=True)
class Signal:
    """What forward passes alone tell of the parent's encoder: nothing is trained or tuned.

    `signal` is `retrieval`, on parallel text, `probe`, on the English dev set of a target, or a
    probe that a sweep asks for by its name (`xstilts.config.probes`); `rows` are theirs. `layer` is
    the hidden state that retrieval pools, None where that is not what is told first.
    """

    parent: Pretrained | Train
    signal: str
    rows: Rows
    layer: int | None
    precision: str = "fp32"
    device: str = "cpu"

    @property
    def name(self) -> str:
        """What a trial calls it: `retrieval/TASK` or `probe/TARGET`."""
        return f"{self.signal}/{self.rows.task}"


Computable = Train | Evaluate | Signal
"""What is computed and stored; the pretrained encoder is there."""

Stage = Pretrained | Computable

READ_BY_SOME = frozenset[str]().union(*(spec.recipe_fields for spec in KINDS.values()))
"""Fields of a recipe that parts of some kinds read; without such a part they change nothing."""


def root_of(stage: Stage) -> Pretrained:
    """The pretrained encoder that a stage, and all that it goes on from, begin with."""
    return stage if isinstance(stage, Pretrained) else root_of(stage.parent)


def retrieval_layer(num_layers: int) -> int:
    """The hidden state that retrieval pools in a model of that depth."""
    return RETRIEVAL_LAYERS.get(num_layers, max(1, round(0.6 * num_layers)))


@cache
def fingerprint(stage: Stage) -> str:
    """Hex sha256 of everything that a stage's result depends on."""
    name = type(stage).__name__
    version = VERSIONS[name]["cpu" if isinstance(stage, Pretrained) else stage.device]
    return sha256_of({"class": name, "version": version, **_inputs(stage)})


LONGEST = 47
"""Letters of a stage's name before its fingerprint."""


def stage_name(stage: Stage) -> str:
    """The stage's folder name: readable, unique by twelve digits of the fingerprint."""
    if isinstance(stage, Train):
        words = [stage.phase, "-".join(part.train.task for part in stage.parts)]
    elif isinstance(stage, Evaluate):
        words = ["evaluate", stage.rows.task]
    elif isinstance(stage, Signal):
        words = ["signal", stage.signal, stage.rows.task]
    else:
        words = ["pretrained", stage.model]
    return f"{'-'.join(words)[:LONGEST]}-{fingerprint(stage)[:12]}"


def stage_title(name: str) -> str:
    """A stage's name without its fingerprint."""
    return name.rpartition("-")[0][:LONGEST]


def class_of(name: str) -> str:
    """The first word of a stage's name: the phase of training, `evaluate`, `signal` or
    `pretrained`."""
    return name.partition("-")[0]


def encoded_key(rows: Rows) -> dict[str, Any]:
    """What of rows shapes their encoded form, as JSON."""
    key: dict[str, Any] = {"rows": [], VARIANT: []}
    for one, value in counted(rows):
        name = one.metadata.get("encoded", VARIANT)
        if name in ("rows", VARIANT):
            key[name].append(_value(value, rows))
        elif name is not None:
            key[name] = value
    return key


def declaration(rows: Rows) -> dict[str, Any] | None:
    """What of the declaration of rows shapes them and what is done with them, as JSON: nothing of
    the task's other uses, so that a language more to score trains nothing again."""
    if rows.declared is None:
        return None
    neutral = {x.name: x.metadata["neutral"] for x in fields(Task) if "neutral" in x.metadata}
    own = {rows.use: rows.declared.splits[rows.use]}
    return _fields(replace(rows.declared, splits=own, **neutral))


def _inputs(stage: Stage) -> dict[str, Any]:
    inputs = _fields(stage)
    if not isinstance(stage, Pretrained):
        usual = "gpu" if stage.precision == "bf16" else "cpu"
        if stage.device == usual:  # the precision says it
            del inputs["device"]
    if isinstance(stage, Train):
        for name in READ_BY_SOME & inputs["recipe"].keys():
            kinds = (part.train.entry.kind_spec for part in stage.parts)
            if not any(name in kind.recipe_fields for kind in kinds):
                del inputs["recipe"][name]
    return inputs


def _fields(item: Any) -> dict[str, Any]:
    """The fields of a dataclass that count, as JSON."""
    return {
        # A file may say 0 where a fraction stands: as equal as 0.0, so equal in JSON too.
        one.name: _value(float(value) if one.type == "float" else value, item)
        for one, value in counted(item)
    }


def _value(value: Any, item: Any) -> Any:
    """A field of an item as JSON; a parent stands for itself by its fingerprint."""
    if isinstance(value, (Pretrained, Train, Evaluate)):
        return fingerprint(value)
    if isinstance(value, Task):
        return declaration(item)
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, tuple):
        return [_value(one, value) for one in value]
    if isinstance(value, Mapping):
        return {key: _value(one, value) for key, one in value.items()}
    return value
