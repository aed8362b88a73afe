"""A bootstrap of items over all languages, tasks, seeds and arms of a study.

Outcomes by item go in; draws of every run's score in every language come out, of which any contrast
is a weighted sum. Items that are translations of one another are drawn together, in all languages
and all runs. It speaks of the checkpoints that were trained, for other items like these: a claim
about the method needs seeds, which are never drawn here (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import pdtr

from xstilts.scores.items import MIN_BLOCKS, refuse

MOST_ITEMS = 2000
"""Sets with more items are drawn in blocks of items."""

BLOCKS = 500
_AT_ONCE = 100
"""Draws that are made at once. Items are dealt to blocks anew for each, so that the chance of one
deal, which is 3 % of a standard error with 500 blocks, is averaged over all of them."""

_STEPS = 2**16
_WEIGHTS = np.searchsorted(pdtr(np.arange(12), 1.0), (np.arange(_STEPS) + 0.5) / _STEPS).astype(
    np.float32
)
"""The weight of an item by a number of 16 bits: Poisson of mean 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemSet:
    """What runs gave on a task: `outcomes` (runs, languages, items), 0-100, NaN where a language
    lacks an item or has fewer. Where `is_parallel` equal places are one item in all languages;
    otherwise each language has items of its own."""

    outcomes: np.ndarray
    is_parallel: bool


def item_bootstrap(
    sets: Sequence[ItemSet], *, draws: int = 2000, seed: int = 0
) -> list[np.ndarray]:
    """Draws of scores, of each set (draws, runs, languages), 0-100.

    A score is the mean over the items that are drawn and that the language has. Weights of items
    are Poisson (Hanley & MacGibbon 2006; Chamandy et al. 2012), so how many items a draw has varies
    too, which a mean of 100 items or more does not feel; all scores of a set are one matrix product
    with them. The same seed gives the same draws. Sets above 2,000 items are drawn in 500 blocks of
    items, put together at random.

    Raises: ConfigError where a language has fewer than 100 items, or runs lack different items.
    """
    generators = np.random.SeedSequence(seed).spawn(len(sets))
    return [
        _drawn(item_set, draws, np.random.default_rng(own), place)
        for place, (item_set, own) in enumerate(zip(sets, generators, strict=True))
    ]


def _drawn(item_set: ItemSet, draws: int, generator: np.random.Generator, place: int) -> np.ndarray:
    outcomes = np.asarray(item_set.outcomes)
    runs, languages, _ = outcomes.shape
    scores = np.empty((draws, runs, languages), dtype=np.float32)
    groups = [np.arange(languages)] if item_set.is_parallel else np.arange(languages)[:, None]
    for group in groups:
        table = _table(outcomes[:, group], place)
        for begin in range(0, draws, _AT_ONCE):
            count = min(_AT_ONCE, draws - begin)
            sums = _sums(table, count, generator).reshape(count, runs + 1, len(group))
            scores[begin : begin + count, :, group] = sums[:, :-1] / sums[:, -1:]
    return scores


def _table(outcomes: np.ndarray, place: int) -> np.ndarray:
    """Outcomes (runs, languages, items) as (items, runs + 1 by languages), 0 where an item is not,
    the last run being 1 where it is; without items that no language has."""
    there = np.isfinite(outcomes)
    if (there != there[:1]).any():
        raise refuse(
            "bootstrap of items",
            "all runs have an outcome for the same items",
            f"runs of set {place} that lack some",
            "leave out the items that a run lacks",
        )
    fewest = int(there[0].sum(-1).min())
    if fewest < MIN_BLOCKS:
        raise refuse(
            "bootstrap of items",
            f"a language needs {MIN_BLOCKS} items or more",
            f"{fewest} in set {place}",
            "leave the language out",
        )
    whole = np.concatenate([np.where(there, outcomes, 0), there[:1]]).astype(np.float32)
    flat = whole.reshape(-1, whole.shape[-1]).T
    return np.ascontiguousarray(flat[there[0].any(0)])


def _sums(table: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Sums of the table's columns (draws, columns) over items, or blocks, with weights drawn."""
    if len(table) > MOST_ITEMS:
        starts = np.linspace(0, len(table), BLOCKS, endpoint=False).astype(int)
        table = np.add.reduceat(table[generator.permutation(len(table))], starts)
    drawn = generator.integers(0, _STEPS, (draws, len(table)), dtype=np.uint16)
    return np.asarray(np.take(_WEIGHTS, drawn, mode="clip") @ table)
