"""Languages by thirds of a covariate, and what "points" of a slope over it means.

A slope by unit of a covariate says little to a reader. Stated between the mean of the upper third
of the languages and that of the lower, it is in points: what a typical complex language has and a
typical simple one has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xstilts.scores.items import refuse

NAMES = ("lower", "middle", "upper")


@dataclass(frozen=True, slots=True, eq=False)
class Terciles:
    """Languages in the order of a covariate: `languages`, their `values` (languages,) and `third`
    (languages,), 0 the lower to 2 the upper. `distance` is between the outer thirds' means."""

    languages: tuple[str, ...]
    values: np.ndarray
    third: np.ndarray
    distance: float

    def centred(self, labels: np.ndarray) -> np.ndarray:
        """The covariate of each label (rows,), about the mean over languages."""
        order = dict(zip(self.languages, self.values - self.values.mean(), strict=True))
        return np.array([order[name] for name in labels.tolist()])

    def thirds(self, labels: np.ndarray) -> np.ndarray:
        """The third of each label (rows,)."""
        order = dict(zip(self.languages, self.third.tolist(), strict=True))
        return np.array([order[name] for name in labels.tolist()])


def terciles(values: Mapping[str, float | None]) -> Terciles:
    """Languages by thirds of equal size, the middle taking what is left over; languages of equal
    value go by name, and into the third of the first of them.

    Raises: ConfigError with fewer than three languages, a value missing, or none that differ.
    """
    known = sorted((value, name) for name, value in values.items() if value is not None)
    numbers = np.array([value for value, _ in known], dtype=np.float64)
    if len(known) < max(3, len(values)) or not np.isfinite(numbers).all():
        raise refuse(
            "thirds of languages",
            "they need three languages or more, each with a value",
            f"{len(known)} of {len(values)}",
            "leave out languages without one",
        )
    size = len(numbers) // 3
    lower, upper = numbers[size - 1], numbers[len(numbers) - size]
    third = np.where(numbers <= lower, 0, np.where(numbers >= upper, 2, 1))
    if lower >= upper:
        raise refuse(
            "thirds of languages", "the covariate differs between them", f"{lower:g} of most", ""
        )
    distance = float(numbers[third == 2].mean() - numbers[third == 0].mean())
    return Terciles(tuple(name for _, name in known), numbers, third, distance)


def table(
    points: np.ndarray, rows: np.ndarray, columns: np.ndarray | None = None
) -> dict[tuple[str, ...], tuple[float, int]]:
    """Means of `points` and their numbers by group: `rows` (points,) labels, `columns` likewise for
    a table of two sides. Groups without a value are absent, never 0."""
    keys = [rows] if columns is None else [rows, columns]
    grouped: dict[tuple[str, ...], list[float]] = {}
    for key, value in zip(zip(*(key.tolist() for key in keys), strict=True), points, strict=True):
        grouped.setdefault(tuple(map(str, key)), []).append(float(value))
    return {key: (float(np.mean(own)), len(own)) for key, own in sorted(grouped.items())}
