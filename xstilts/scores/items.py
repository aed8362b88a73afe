"""What the items of the evaluation sets add to the variance of runs' scores.

Outcomes of runs on the same items go in; a covariance matrix of the runs' scores over samples of
items comes out, in squared points. Where the rows of several languages are translations of one
item, the item is drawn once for all of them. All that compares runs reads its item part off this
matrix (`variance.item_part`), whichever of the two functions made it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xstilts.errors import ConfigError, Problem

MIN_BLOCKS = 100
"""With fewer items a bootstrap's variance is itself noise."""

_AT_ONCE = 64


def refuse(where: str, rule: str, got: str, repair: str) -> ConfigError:
    """The error of a statistic that was asked for what it cannot say."""
    return ConfigError([Problem(f"statistics: {where}", rule, got, repair)])


def item_covariance(
    outcomes: np.ndarray, items: np.ndarray | None = None, languages: np.ndarray | None = None
) -> np.ndarray:
    """The covariance of runs' scores over samples of items, for scores that are means over rows.

    `outcomes` is (runs, rows), 0-100: a row's points in a run. `items` (rows,) joins the rows that
    are one item, by default each is its own; `languages` (rows,) says which language each belongs
    to, by default all are of one. The score of a run is the mean over its languages of the means
    over their rows. Returns (runs, runs): each item's share in the deviation of the scores, rows
    taken about the run's mean in their language, so that neither languages of unequal difficulty
    nor a seed that suits one language passes for noise of items.

    Raises: ConfigError where a language has fewer than two rows or an outcome is missing.
    """
    outcomes = np.asarray(outcomes, dtype=np.float64)
    if outcomes.ndim != 2 or not np.isfinite(outcomes).all():
        raise refuse(
            "item covariance",
            "every run has a finite outcome for every row",
            f"an array of shape {outcomes.shape} with {int((~np.isfinite(outcomes)).sum())} holes",
            "leave out the rows that a run lacks",
        )
    rows = outcomes.shape[1]
    names, language_of = _codes(languages, rows, default_is_one=True)
    sizes = np.bincount(language_of)
    if sizes.min(initial=rows) < 2:
        raise refuse(
            "item covariance",
            "a language needs two rows or more",
            f"{sizes.min(initial=rows)} of {names[int(sizes.argmin())] if rows else 'none'}",
            "leave the language out",
        )
    deviations = np.empty_like(outcomes)
    for language, size in enumerate(sizes):
        chosen = language_of == language
        own = outcomes[:, chosen]
        # n / (n - 1), as in any sample variance, then the row's weight in the mean of means.
        scale = np.sqrt(size / (size - 1)) / (size * len(sizes))
        deviations[:, chosen] = (own - own.mean(1, keepdims=True)) * scale
    if items is not None:
        deviations = _sums_by(deviations, _codes(items, rows)[1])
    covariance: np.ndarray = deviations @ deviations.T
    return covariance


def bootstrap_covariance(
    counts: np.ndarray,
    metric: Callable[[np.ndarray], np.ndarray],
    items: np.ndarray | None = None,
    languages: np.ndarray | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """The same for corpus metrics, as F1 over all sentences: by a bootstrap of the items.

    `counts` is (runs, rows, counts), as true positives, predicted and gold of a sentence; `metric`
    takes their sums (..., counts) to scores (...), 0-100; `items` and `languages` as in
    `item_covariance`. Seeds are not resampled: an item that is drawn is drawn in every run.

    Raises: ConfigError with fewer than 100 items.
    """
    counts = np.asarray(counts, dtype=np.float64)
    runs, rows, kinds = counts.shape
    names, language_of = _codes(languages, rows, default_is_one=True)
    item_of = np.arange(rows) if items is None else _codes(items, rows)[1]
    blocks = int(item_of.max(initial=-1)) + 1
    if blocks < MIN_BLOCKS:
        raise refuse(
            "bootstrap of items",
            f"it needs {MIN_BLOCKS} items or more",
            f"{blocks}",
            "state the gain without its item part, or add evaluation data",
        )
    # One matrix product a language: (draws, its rows) with (its rows, runs x counts).
    rows_of = [np.flatnonzero(language_of == language) for language in range(len(names))]
    tables = [counts[:, own].transpose(1, 0, 2).reshape(len(own), -1) for own in rows_of]
    generator = np.random.default_rng(seed)
    scores = []
    for begin in range(0, resamples, _AT_ONCE):
        draws = min(_AT_ONCE, resamples - begin)
        weights = generator.multinomial(blocks, np.full(blocks, 1 / blocks), draws).astype(float)
        by_language = [
            metric((weights[:, item_of[own]] @ table).reshape(draws, runs, kinds))
            for own, table in zip(rows_of, tables, strict=True)
        ]
        scores.append(np.mean(by_language, axis=0))
    return np.atleast_2d(np.cov(np.concatenate(scores), rowvar=False))


def _codes(
    labels: np.ndarray | None, rows: int, *, default_is_one: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels and each row's number among them."""
    if labels is None:
        codes = np.zeros(rows, dtype=np.int64) if default_is_one else np.arange(rows)
        return np.array(["all"]), codes
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    if len(codes) != rows:
        raise refuse("items", "labels have an entry a row", f"{len(codes)} for {rows} rows", "")
    return names, codes


def _sums_by(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums of columns of equal code: (runs, rows) to (runs, codes)."""
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sums: np.ndarray = np.add.reduceat(values[:, order], begins, axis=1)
    return sums
