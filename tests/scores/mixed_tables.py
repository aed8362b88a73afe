"""Tables of crossed random terms, for the tests of mixed models."""

from __future__ import annotations

import numpy as np

from xstilts.scores.mixed import Term


def crossed(
    seed: int,
    *,
    sources: int = 8,
    targets: int = 14,
    tasks: int = 3,
    variances: tuple[float, ...] = (1.0, 0.5, 0.3, 0.2),
    missing: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, list[Term]]:
    """A table of sources by targets by tasks with two covariates and their product: response, fixed
    effects, and terms of source, target, and each side's slope over the other; `variances` are
    theirs (source, target, slope over sources, slope over targets), the residual's is 1."""
    generator = np.random.default_rng([31, seed])
    source, target, task = (
        codes.ravel()
        for codes in np.meshgrid(range(sources), range(targets), range(tasks), indexing="ij")
    )
    kept = generator.random(len(source)) >= missing
    source, target, task = source[kept], target[kept], task[kept]
    x, z = generator.normal(size=sources), generator.normal(size=targets)
    x, z = (x - x.mean())[source], (z - z.mean())[target]
    fixed = np.column_stack([np.ones(len(x)), x, z, x * z, task == 1, task == 2]).astype(float)
    terms = [
        Term("source", source),
        Term("target", target),
        Term("source slope", source, z),
        Term("target slope", target, x),
    ]
    response = fixed @ generator.normal(size=fixed.shape[1]) + generator.normal(size=len(x))
    for term, variance in zip(terms, variances, strict=True):
        columns = term.columns()
        response = response + variance**0.5 * columns @ generator.normal(size=columns.shape[1])
    return response, fixed, terms
