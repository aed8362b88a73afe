"""Which examples a stage sees, in which order: deterministic from the seed, by task.

The order of a language's examples depends on the seed, the phase, the task and the language alone -
not on the rate of the task, the other tasks or the learning rate - so that trials see paired draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from xstilts.files import derive_seed
from xstilts.plan.stage import Part, Train


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """A NumPy generator for one use of randomness."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def schedule(stage: Train) -> list[int]:
    """The part that each optimiser step trains, one task a step as in jiant.

    Every part gets exactly its steps; their order is a seeded shuffle.
    """
    steps = [i for i, part in enumerate(stage.parts) for _ in range(part.num_steps)]
    generator(stage.seed, stage.phase, "schedule").shuffle(steps)
    return steps


def numbers_within(steps: Sequence[int]) -> list[int]:
    """For every step of a schedule, how many steps of its part come before it."""
    seen: dict[int, int] = {}
    numbers = []
    for part in steps:
        numbers.append(seen.get(part, 0))
        seen[part] = numbers[-1] + 1
    return numbers


def example_order(part: Part, seed: int, phase: str) -> np.ndarray:
    """The examples that a part draws: (examples,), positions in its languages' rows joined.

    Every pass over a language is a new permutation. With several languages each gives its share
    of the examples, and the languages are shuffled together.
    """
    task = part.train.task
    offset, drawn = 0, []
    for (language, rows), count in zip(part.train.rows, part.by_language.values(), strict=True):
        source = generator(seed, phase, "order", task, language)
        passes = [source.permutation(rows) for _ in range(-(-count // max(rows, 1)))]
        if passes:
            drawn.append(offset + np.concatenate(passes)[:count])
        offset += rows
    order = np.concatenate(drawn)
    if len(drawn) > 1:
        generator(seed, phase, "languages", task).shuffle(order)
    return order


def window_turns(part: Part, order: np.ndarray, seed: int, phase: str) -> np.ndarray:
    """Which window every draw of an example reads, where a draw reads one: (examples,), to be taken
    modulo the number of its windows.

    The first draw reads any, every other the next, so that as many draws as an example has windows
    read them all.

    Args:
        order: the examples drawn, as `example_order` gives them.
    """
    begins = [
        generator(seed, phase, "windows", part.train.task, language).integers(0, 2**31, rows)
        for language, rows in part.train.rows
    ]
    by_example = np.argsort(order, kind="stable")
    grouped = order[by_example]
    earlier = np.empty_like(order)
    earlier[by_example] = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    turns: np.ndarray = np.concatenate(begins)[order] + earlier
    return turns


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    """A table's columns by name, lists of numbers as arrays, which are views of the table's."""
    columns = zip(table.column_names, table.columns, strict=True)
    return {name: _values(column.combine_chunks()) for name, column in columns}


def _values(column: pa.Array) -> list[Any]:
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not is_list or column.null_count:
        values: list[Any] = column.to_pylist()
        return values
    ends = column.offsets.to_numpy()
    inner = column.flatten()
    is_number = pa.types.is_primitive(inner.type) and not pa.types.is_boolean(inner.type)
    flat = inner.to_numpy() if is_number and not inner.null_count else _values(inner)
    return [flat[start - ends[0] : end - ends[0]] for start, end in pairwise(ends)]


def by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Positions in batches of similar length, the longest first, at most `max_tokens` padded.

    For evaluation only, where the order changes nothing but the speed.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batch[0]] if batch else lengths[position]
        if batch and (len(batch) + 1) * longest > max_tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
