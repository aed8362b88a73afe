"""Stages: the fingerprint holds every input of the result and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple

import pytest

from xstilts.config.recipe import StageRecipe
from xstilts.files import sha256_of
from xstilts.identity import later
from xstilts.plan import stage as stages
from xstilts.plan.stage import (
    Evaluate,
    Part,
    Pretrained,
    Rows,
    Stage,
    Train,
    encoded_key,
    fingerprint,
    stage_name,
)
from xstilts.tasks import HeldOut, Slice, Source, Task

RECIPE = StageRecipe(learning_rate=1e-3, batch_size=32, epochs=2, max_length=96)
TRAIN_ROWS = Rows("mini_nli", "train", "sha", (("en", 90), ("qaa", 10)), 1, 1, ("yes", "no"), 96)
PART = Part(TRAIN_ROWS, replace(TRAIN_ROWS, use="dev"), 65, 32, (0.9, 0.1))
PRETRAINED = Pretrained("xlmr", "/models/xlmr", "weights-sha", "tokenizer-sha")
INTERMEDIATE = Train(PRETRAINED, "intermediate", "nli", (PART,), RECIPE, seed=3)
TARGET = Train(INTERMEDIATE, "target", "mini_xnli", (PART, PART), RECIPE, seed=3)
EVALUATE = Evaluate(TARGET, TRAIN_ROWS, "test", 8)

CHOICES = {
    "stratified": "first",
    "best": "last",
    "cpu": "gpu",
    "none": "fresh",
    "pooler": "mean",
    "linear": "cosine",
}
"""Another value of fields that take only some."""


class Change(NamedTuple):
    """A value with one leaf changed: where, and whether a field on the way there says that it does
    not count."""

    place: str
    value: Any
    is_uncounted: bool = False


def changes_of(value: Any, place: str = "") -> Iterator[Change]:
    """Every way to change one leaf of a value."""
    if is_dataclass(value):
        for own in fields(value):
            here = f"{place}.{own.name}" if place else own.name
            for one in changes_of(getattr(value, own.name), here):
                changed = replace(value, **{own.name: one.value})
                is_uncounted = one.is_uncounted or "uncounted" in own.metadata
                yield Change(one.place, changed, is_uncounted)
    elif isinstance(value, tuple):
        if value:  # plugins have their own tests
            yield Change(f"{place}[]", value[:-1])
        for i, item in enumerate(value):
            for one in changes_of(item, f"{place}[{i}]"):
                yield one._replace(value=(*value[:i], one.value, *value[i + 1 :]))
    elif isinstance(value, str):
        yield Change(place, CHOICES.get(value, f"{value}x"))
    elif isinstance(value, float):
        yield Change(place, value / 2 or 0.5)
    elif isinstance(value, bool):
        yield Change(place, not value)
    elif isinstance(value, int):
        yield Change(place, value + 1)
    elif value is None:
        yield Change(place, 1)
    else:
        raise AssertionError(f"{place}: no change known for {value!r}")


@pytest.mark.parametrize("stage", [PRETRAINED, INTERMEDIATE, TARGET, EVALUATE])
def test_a_field_changes_the_fingerprint_unless_it_says_that_it_does_not_count(
    stage: Stage,
) -> None:
    """Generic over the fields, nested ones too, so that one that is added is tested as well."""
    changed = list(changes_of(stage))
    assert {one.place.partition(".")[0].partition("[")[0] for one in changed} == {
        own.name for own in fields(stage)
    }
    same = {one.place for one in changed if fingerprint(one.value) == fingerprint(stage)}
    # No part is span QA or a dual encoder, and none reads this of the recipe.
    fields_of_others = ("span_dropout", "pooling", "negatives", "false_negatives")
    unread = {one.place for one in changed if one.place.endswith(fields_of_others)}
    assert same == {one.place for one in changed if one.is_uncounted} | unread
    prints = [fingerprint(one.value) for one in changed if one.place not in same]
    assert len(set(prints)) == len(prints), "two different stages share a fingerprint"


def test_what_does_not_count_is_this() -> None:
    """A field that is declared so by mistake is seen here."""
    uncounted = {
        f"{kind.__name__}.{one.name}"
        for kind in (Rows, Part, Pretrained, Train, Evaluate, StageRecipe)
        for one in fields(kind)
        if "uncounted" in one.metadata
    }
    recipe = ("batch_size", "epochs", "max_length")
    assert uncounted == {
        *("Pretrained.model", "Pretrained.path", "Train.label"),
        *(f"StageRecipe.{name}" for name in recipe),
    }
    unencoded = {one.name for one in fields(Rows) if one.metadata.get("encoded", "") is None}
    assert unencoded == {"rows", "apart", "whole"}
    assert {one.name for one in fields(Task) if "neutral" in one.metadata} == {
        *("languages", "lacks", "group", "dev_note", "chain")
    }


OTHERS = {
    "use": "test",
    "where": ("genre", "fact"),
    "normaliser": ("detokenise", 1),
    "plugins": (("mine", "b"),),
}
"""Other values of fields of rows that tell nothing of their own sort."""


@pytest.mark.parametrize("name", [own.name for own in fields(Rows)])
def test_a_field_of_rows_changes_the_key_of_their_encoded_form_unless_it_says_otherwise(
    name: str,
) -> None:
    whole = replace(own_rows(), where=("genre", "fiction"), plugins=(("mine", "a"),), limit=9)
    for rows in (TRAIN_ROWS, whole):
        if name == "declared":
            other = replace(rows, declared=own_rows(metrics=("f1",)).declared)
        elif name in OTHERS:
            other = replace(rows, **{name: OTHERS[name]})
        else:
            other = replace(rows, **{name: next(changes_of(getattr(rows, name))).value})
        assert other != rows
        (own,) = (one for one in fields(Rows) if one.name == name)
        is_the_same = sha256_of(encoded_key(other)) == sha256_of(encoded_key(rows))
        assert is_the_same == (own.metadata.get("encoded", "") is None)


@pytest.mark.parametrize(
    ("stage", "other"),
    [
        (PART, replace(PART, dev=None)),
        (EVALUATE, replace(EVALUATE, layer=None)),
        (PART, replace(PART, train=replace(TRAIN_ROWS, rows=TRAIN_ROWS.rows[::-1]))),
    ],
)
def test_what_is_absent_or_in_another_order_counts(stage: Any, other: Any) -> None:
    if isinstance(stage, Part):
        stage, other = (replace(INTERMEDIATE, parts=(part,)) for part in (stage, other))
    assert fingerprint(stage) != fingerprint(other)


def test_a_version_is_of_one_class_and_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [
        PRETRAINED,
        *(replace(stage, device=at) for stage in (TARGET, EVALUATE) for at in ("cpu", "gpu")),
    ]

    def prints() -> list[str]:
        stages.fingerprint.cache_clear()
        return [fingerprint(stage) for stage in everything]

    before = prints()
    for name, device, changed in (("Evaluate", "cpu", [3]), ("Train", "gpu", [2])):
        with monkeypatch.context() as patch:
            patch.setitem(stages.VERSIONS[name], device, stages.VERSIONS[name][device] + 1)
            after = prints()
        assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == changed
    stages.fingerprint.cache_clear()


@dataclass(frozen=True)
class Before:
    """A value of a version of before."""

    size: int


@dataclass(frozen=True)
class After(Before):
    """The same with a field that came later."""

    shape: str = field(default="plain", metadata=later("round"))


def test_a_field_that_came_later_leaves_finished_stages_as_they_are() -> None:
    assert stages._fields(After(1, "round")) == stages._fields(Before(1))
    assert stages._fields(After(1)) == {"size": 1, "shape": "plain"}


def test_rows_as_they_always_were_have_no_word_of_later_fields() -> None:
    words = "task use source rows task_version encoding_version labels max_length limit"
    assert set(stages._fields(TRAIN_ROWS)) == {*words.split(), "translated", "where"}


@pytest.mark.parametrize(
    ("field", "value", "task"),
    [("pooler", "carried", "mini_nli"), ("span_dropout", False, "mini_qa")],
)
def test_what_no_part_reads_of_a_recipe_changes_no_stage(field: str, value: Any, task: str) -> None:
    """A recipe says once how heads are; stages without such heads are not computed again."""
    for name in ("mini_nli", "mini_qa", "mini_udpos"):
        part = replace(PART, train=replace(TRAIN_ROWS, task=name))
        stage = replace(INTERMEDIATE, parts=(part,))
        other = replace(stage, recipe=replace(RECIPE, **{field: value}))
        assert (fingerprint(stage) != fingerprint(other)) == (name == task)
        mixed = (replace(stage, parts=(PART, part)), replace(other, parts=(PART, part)))
        assert (fingerprint(mixed[0]) != fingerprint(mixed[1])) == (task in ("mini_nli", name))


def test_whole_number_where_a_fraction_may_stand_is_the_same_stage() -> None:
    """`choice: [0, 0.1]` gives the int 0; `fingerprint` is cached by ==, so 0 and 0.0 must agree
    or a process's fingerprints depend on what it saw first."""
    whole, fraction = (
        replace(INTERMEDIATE, recipe=replace(RECIPE, warmup_ratio=zero)) for zero in (0, 0.0)
    )
    assert whole == fraction
    assert fingerprint.__wrapped__(whole) == fingerprint.__wrapped__(fraction)


def test_names_are_readable_unique_and_short() -> None:
    long = replace(TRAIN_ROWS, task="a_task_with_quite_a_long_name")
    for stage in (
        PRETRAINED,
        replace(PRETRAINED, model="m" * 60),
        INTERMEDIATE,
        replace(INTERMEDIATE, parts=(replace(PART, train=long),) * 9),
        EVALUATE,
        replace(EVALUATE, rows=long),
    ):
        name = stage_name(stage)
        assert len(name) <= 60
        assert name.endswith(f"-{fingerprint(stage)[:12]}")
    assert stage_name(INTERMEDIATE).startswith("intermediate-mini_nli-")
    assert stage_name(TARGET).startswith("target-mini_nli-mini_nli-")
    assert stage_name(EVALUATE).startswith("evaluate-mini_nli-")
    assert stage_name(PRETRAINED).startswith("pretrained-xlmr-")


def test_steps_count_the_last_small_batch() -> None:
    assert PART.num_steps == 3
    assert replace(PART, examples=64).num_steps == 2
    assert TARGET.num_steps == 6
    assert PART.epochs == 0.65


def own_rows(**changes: Any) -> Rows:
    """Training rows of a task that the package does not bring."""
    task = Task(
        name="reviews",
        kind="sentence",
        source=Source("own:reviews"),
        languages=("en", "de"),
        splits={"train": Slice("train", only=HeldOut("text", 10)), "test": "test"},
        metrics=("accuracy",),
        labels=("neg", "pos"),
        group="classification",
    )
    task = replace(task, **changes)
    return Rows("reviews", "train", "sha", (("en", 9),), 1, 1, task.labels, 96, declared=task)


def fingerprint_of(rows: Rows) -> str:
    part = Part(rows, None, 9, 3, (1.0,))
    return fingerprint(Train(PRETRAINED, "target", "reviews", (part,), RECIPE, seed=3))


def test_a_task_of_ones_own_is_its_declaration() -> None:
    rows = own_rows()
    assert rows.entry == rows.declared and hash(rows) == hash(own_rows())
    first = fingerprint_of(rows)
    assert first == fingerprint_of(own_rows())
    other_cut = {"train": Slice("train", only=HeldOut("text", 20)), "test": "test"}
    for change in (
        {"kind": "mlm"},
        {"labels": ("pos", "neg")},
        {"metrics": ("f1",)},
        {"splits": other_cut},
        {"source": Source("own:reviews", columns={"text": "review"})},
    ):
        assert fingerprint_of(own_rows(**change)) != first, change
    assert first != fingerprint_of(replace(rows, declared=own_rows(metrics=("f1",)).declared))


def test_what_is_scored_of_a_task_of_ones_own_trains_nothing_again() -> None:
    """A language more to score is another evaluation of the stage that is there."""
    splits = {**own_rows().entry.splits, "test": Slice("other"), "validation": "validation"}
    more = own_rows(languages=("en", "de", "sw"), splits=splits, lacks={"test": ("en",)})
    assert fingerprint_of(more) == fingerprint_of(own_rows())
