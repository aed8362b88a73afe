"""Scores of rankings: how near the top the right ones stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence

CUT = 20
"""The places of a ranking that count, in LAReQA and Mewsli-X as XTREME-R has them."""


def average_precision(gold: Collection[str], ranking: Sequence[str], cut: int = CUT) -> float:
    """The mean of the precisions at the places of the right ones, 0-1: average precision, cut.

    The sum over hits among the first `cut` of (hits so far / place), by the number of right ones or
    by `cut`, whichever is less, as XTREME-R's `utils_lareqa.py` has it (Ruder et al. 2021, arXiv
    2104.07412). One that stands twice is hit once and takes both places. With one right one it is
    1 / place, or 0 behind the cut: Mewsli-X's reciprocal rank.
    """
    if not gold:
        return 0.0
    hit: set[str] = set()
    total = 0.0
    for place, name in enumerate(ranking[:cut], start=1):
        if name in gold and name not in hit:
            hit.add(name)
            total += len(hit) / place
    return total / min(len(gold), cut)
