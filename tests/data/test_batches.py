"""Draws: exact counts, orders that depend on seed, phase and task alone, every row once a pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xstilts.config.recipe import StageRecipe
from xstilts.data.batches import (
    by_length,
    columns_of,
    example_order,
    generator,
    schedule,
    window_turns,
)
from xstilts.plan.stage import Part, Pretrained, Rows, Train

RECIPE = StageRecipe(learning_rate=1e-3, batch_size=4, epochs=1, max_length=32)


def part(
    task: str,
    examples: int,
    batch_size: int = 4,
    rows: tuple[tuple[str, int], ...] = (("en", 10),),
    shares: tuple[float, ...] = (1.0,),
) -> Part:
    train = Rows(task, "train", "a" * 64, rows, 1, 1, (), 32)
    return Part(train, None, examples, batch_size, shares)


def stage(*parts: Part, seed: int = 0, phase: str = "intermediate") -> Train:
    return Train(Pretrained("m", "p", "w", "t"), phase, "x", parts, RECIPE, seed)


def test_every_part_gets_exactly_its_steps() -> None:
    mixture = stage(part("a", 41), part("b", 8), part("c", 1))
    steps = schedule(mixture)
    assert Counter(steps) == {0: 11, 1: 2, 2: 1}
    assert len(steps) == mixture.num_steps
    assert steps != sorted(steps), "the parts' steps are mixed"
    assert schedule(mixture) == steps
    assert schedule(replace(mixture, recipe=replace(RECIPE, learning_rate=1e-5))) == steps
    assert schedule(replace(mixture, seed=1)) != steps
    assert schedule(replace(mixture, phase="target")) != steps


@pytest.mark.parametrize("chunks", [1, 3])
def test_columns_are_those_of_the_table(chunks: int) -> None:
    """Also of a slice, whose lists do not begin at 0, and of lists of lists."""
    values = {
        "example": list(range(7)),
        "input_ids": [[i] * (i % 3) for i in range(7)],
        "groups": [[[i, 1], [], [2] * i] for i in range(7)],
        "words": [["a"] * i for i in range(7)],
        "label": ["x", "y", None, "", "z", "x", "y"],
    }
    large = pa.array(values["input_ids"], pa.large_list(pa.int32()))
    table = pa.concat_tables([pa.table({**values, "large": large})] * chunks)
    for given in (table, table.slice(2, 4), table.take([3, 1, 1])):
        got = columns_of(given)
        assert list(got) == [*values, "large"]
        plain = {name: [_plain(value) for value in column] for name, column in got.items()}
        assert plain == given.to_pydict()
    for name in ("input_ids", "large"):
        assert isinstance(columns_of(table)[name][0], np.ndarray)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_every_epoch_is_another_permutation() -> None:
    order = example_order(part("a", 35), 0, "target")
    assert len(order) == 35
    epochs = [order[start : start + 10].tolist() for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(set(order[30:].tolist())) == 5


def test_the_order_depends_on_seed_phase_and_task_alone() -> None:
    order = example_order(part("a", 25), 0, "target")
    # Neither the rate (more examples), nor the batch size, nor the dev set changes what comes.
    more = example_order(part("a", 70, batch_size=8), 0, "target")
    assert np.array_equal(more[:25], order)
    assert np.array_equal(example_order(part("a", 25), 0, "target"), order)
    for other in (
        example_order(part("a", 25), 1, "target"),
        example_order(part("a", 25), 0, "intermediate"),
        example_order(part("b", 25), 0, "target"),
    ):
        assert not np.array_equal(other, order)


LANGUAGES = (("en", 1000), ("th", 100), ("my", 10))


def shares_of(alpha: float) -> tuple[float, ...]:
    weights = [count**alpha for _, count in LANGUAGES]
    return tuple(weight / sum(weights) for weight in weights)


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, [901, 90, 9]), (0.0, [334, 333, 333])])
def test_languages_share_by_alpha(alpha: float, expected: list[int]) -> None:
    order = example_order(part("mlm", 1000, rows=LANGUAGES, shares=shares_of(alpha)), 0, "x")
    assert len(order) == 1000
    languages = np.searchsorted([1000, 1100, 1110], order, side="right")
    assert np.bincount(languages, minlength=3).tolist() == expected
    # Languages are mixed, and a small one is passed as often as its share asks.
    assert len(set(languages[:100].tolist())) > 1
    passes = Counter(order[languages == 2].tolist())
    assert max(passes.values()) - min(passes.get(i, 0) for i in range(1100, 1110)) <= 1


def test_a_languages_draws_do_not_depend_on_the_others() -> None:
    alone = example_order(part("mlm", 60, rows=(("en", 1000),)), 0, "x")
    both = example_order(part("mlm", 120, rows=LANGUAGES[:2], shares=(0.5, 0.5)), 0, "x")
    assert sorted(alone.tolist()) == sorted(i for i in both.tolist() if i < 1000)


def test_generators_of_other_purposes_differ() -> None:
    draws = {
        generator(seed, *purpose).integers(1 << 60)
        for seed, *purpose in ((0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"))
    }
    assert len(draws) == 5
    assert generator(0, "a").integers(1 << 60) == generator(0, "a").integers(1 << 60)


@pytest.mark.parametrize("max_tokens", [1, 40, 100, 10_000])
def test_by_length_covers_every_position_once(max_tokens: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 64, 200).tolist()
    got = list(by_length(lengths, max_tokens))
    assert sorted(i for batch in got for i in batch) == list(range(200))
    for batch in got:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= max_tokens or len(batch) == 1
    flat = [lengths[i] for batch in got for i in batch]
    assert flat == sorted(flat, reverse=True)


def test_by_length_fills_its_batches() -> None:
    assert [len(batch) for batch in by_length([10] * 25, 100)] == [10, 10, 5]
    assert list(by_length([], 100)) == []


def test_draws_begin_at_any_window_and_go_on_with_the_next() -> None:
    whole = part("mlm", 3000, rows=(("en", 1000),))
    order = example_order(whole, 0, "x")
    turns = window_turns(whole, order, 0, "x")
    by_example = [turns[order == i] for i in range(1000)]
    assert all(np.diff(each).tolist() == [1, 1] for each in by_example)
    assert len(set(order[:1000].tolist())) == 1000
    shares = np.bincount(turns[:1000] % 4, minlength=4) / 1000
    assert shares == pytest.approx([0.25] * 4, abs=0.06), "no window comes first"
    assert window_turns(whole, order, 1, "x").tolist() != turns.tolist()


def test_a_languages_windows_do_not_depend_on_the_other_languages() -> None:
    turns = []
    for languages, examples in ((LANGUAGES[:1], 60), (LANGUAGES[:2], 120)):
        shares = (1.0,) if examples == 60 else (0.5, 0.5)
        drawn = part("mlm", examples, rows=languages, shares=shares)
        order = example_order(drawn, 0, "x")
        pairs = zip(order, window_turns(drawn, order, 0, "x"), strict=True)
        turns.append({row: turn for row, turn in pairs if row < 1000})
    assert len(turns[0]) == 60 and turns[0] == turns[1]
