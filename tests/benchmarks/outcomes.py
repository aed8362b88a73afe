"""What outcomes of items take on disk: nine targets of XTREME, one trial, sets of full size.

    python -m tests.benchmarks.outcomes

Values are drawn, which compresses worse than what models give: models of any quality agree on easy
and on hard items. The budget is ten megabytes a trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xstilts.run.outcomes import Items, outcomes_path, read_outcomes, write_outcomes
from xstilts.scores.outcomes import Outcomes

BUDGET = 10_000_000

TARGETS: dict[str, tuple[int, int]] = {
    "xnli": (15, 5_010),
    "pawsx": (7, 2_000),
    "udpos": (33, 600),
    "panx": (40, 7_000),
    "xquad": (11, 1_190),
    "mlqa": (7, 6_000),
    "tydiqa": (9, 560),
    "bucc2018": (4, 1_000),
    "tatoeba": (36, 1_000),
}
"""Languages, and items in each: 20,000 sentences of UDPOS, blocks of BUCC."""

Draw = Callable[[np.random.Generator, int], dict[str, list[tuple[np.ndarray, ...]]]]


def hits(random: np.random.Generator, count: int) -> dict[str, list[tuple[np.ndarray, ...]]]:
    ones = np.ones(count)
    return {"accuracy": [(random.random(count) < 0.7, ones, ones)]}


def answers(random: np.random.Generator, count: int) -> dict[str, list[tuple[np.ndarray, ...]]]:
    """Exact in half of all; F1 of the others from lengths of answers."""
    ones, exact = np.ones(count), random.random(count) < 0.5
    sizes = random.integers(1, 12, (2, count))
    common = random.integers(0, sizes.min(0) + 1)
    f1 = np.where(exact, 1.0, 2 * common / sizes.sum(0))
    return {"exact_match": [(exact, ones, ones)], "f1": [(f1, ones, ones)]}


def chunks(random: np.random.Generator, count: int) -> dict[str, list[tuple[np.ndarray, ...]]]:
    gold = random.poisson(12, count)
    predicted = np.maximum(0, gold + random.integers(-2, 3, count))
    return {"f1": [(random.binomial(np.minimum(gold, predicted), 0.8), predicted, gold)]}


def drawn(target: str, share: float) -> dict[str, Items]:
    """Outcomes of a target, with as many items as the share of the full set."""
    random = np.random.default_rng(0)
    languages, full = TARGETS[target]
    count = max(1, round(full * share))
    draw: Draw = hits
    if target in ("xquad", "mlqa", "tydiqa"):
        draw = answers
    elif target in ("udpos", "panx", "bucc2018"):
        draw = chunks
    found = {}
    for number in range(languages):
        keys: list[str | None] = [None] * count
        if target in ("xnli", "pawsx"):
            keys = [str(i) for i in range(count)]
        elif target in ("xquad", "mlqa"):
            keys = [sha256(f"{target} {i}".encode()).hexdigest()[:40] for i in range(count)]
        elif target == "tydiqa":  # no question stands in two languages
            keys = [
                f"language-{sha256(f'{number} {i}'.encode()).hexdigest()}" for i in range(count)
            ]
        elif target == "tatoeba":  # few English sentences do
            texts = random.integers(0, 20_000, count)
            keys = [sha256(str(text).encode()).hexdigest()[:12] for text in texts]
        found[f"l{number}"] = Items(Outcomes.of(draw(random, count)), keys)
    return found


def written_bytes(folder: Path, share: float = 1.0) -> dict[str, int]:
    """The size of every target's file."""
    for target in TARGETS:
        write_outcomes(folder, target, drawn(target, share))
    return {target: outcomes_path(folder, target).stat().st_size for target in TARGETS}


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        sizes = written_bytes(folder)
        for target, size in sizes.items():
            begun = time.perf_counter()
            read_outcomes(folder, target)
            took = time.perf_counter() - begun
            languages, count = TARGETS[target]
            facts = f"{size / 1e6:6.2f} MB  read in {took:.2f} s"
            print(f"{target:10} {languages:3} x {count:6,}  {facts}")
        print(f"{'all':10}               {sum(sizes.values()) / 1e6:6.2f} MB of {BUDGET / 1e6:g}")


if __name__ == "__main__":
    main()
