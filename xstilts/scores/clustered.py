"""Linear models of differences by item, whose errors are alike within items and within languages.

A row is an item in a language. Rows of an item share what makes it easy, rows of a language what
that language does, and a covariate of either has as many values as there are items or languages,
not rows. The errors here are cluster-robust in both ways at once, with the corrections that few
clusters need: CR2, and Satterthwaite's degrees of freedom (Bell & McCaffrey 2002; Pustejovsky &
Tipton 2018; two ways by Cameron, Gelbach & Miller 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from xstilts.scores.items import refuse
from xstilts.scores.mixed_dof import Estimate, t_estimate
from xstilts.scores.variance import CONFIDENCE

_SINGULAR = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A least squares fit: design (rows, effects), inverse of X'X, residuals (rows,)."""

    design: np.ndarray
    inverse: np.ndarray
    estimates: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A variance as a quadratic form of the response: its value, mean and variance where errors
    are independent and alike, of variance 1."""

    value: float
    mean: float
    spread: float


def clustered(
    response: np.ndarray,
    design: np.ndarray,
    clusters: Sequence[np.ndarray],
    weights: np.ndarray,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The sum of the effects times `weights` (effects,) in a least squares fit of `response`
    (rows,) by `design` (rows, effects), with a t interval.

    `clusters` are one or two arrays (rows,) of labels, within which errors are alike: as items and
    languages. With two, the variance is the sum of both ways' less that of rows alike in both,
    and never below the larger of both: the difference may be by chance too small, or negative
    (MacKinnon, Nielsen & Webb 2021). Degrees of freedom are those of the variance that was taken,
    from its mean and spread where errors are independent.

    Raises: ConfigError where a value is missing, effects are confounded, or a way of clustering
    has fewer than two clusters.
    """
    response, design = np.asarray(response, float), np.asarray(design, float)
    weights = np.asarray(weights, float)
    model = _fitted(response, design)
    ways = [np.unique(labels, return_inverse=True)[1] for labels in clusters]
    fewest = min(int(codes.max()) + 1 for codes in ways)
    if fewest < 2:
        raise refuse("clustered errors", "there are two clusters or more", f"{fewest}", "")
    parts = [_scattered(model, codes, weights) for codes in ways]
    forms = [_form(model, [part], [1.0]) for part in parts]
    if len(ways) == 2:
        both = np.unique(np.stack(ways), axis=1, return_inverse=True)[1]
        parts.append(_scattered(model, both, weights))
        forms.append(_form(model, parts, [1.0, 1.0, -1.0]))
    taken = max(forms, key=lambda form: form.value)
    dof = 2 * taken.mean**2 / taken.spread
    return t_estimate(float(weights @ model.estimates), taken.value**0.5, dof, confidence)


def _fitted(response: np.ndarray, design: np.ndarray) -> _Model:
    if not (np.isfinite(response).all() and np.isfinite(design).all()):
        raise refuse("clustered errors", "every row is finite", "rows with holes", "leave them out")
    estimates, _, rank, _ = np.linalg.lstsq(design, response, rcond=None)
    if rank < design.shape[1]:
        raise refuse(
            "clustered errors",
            "effects can be told apart",
            f"{design.shape[1]} effects of rank {rank}",
            "leave out what another stands for",
        )
    inverse = np.linalg.inv(design.T @ design)
    return _Model(design, inverse, estimates, response - design @ estimates)


def _scattered(model: _Model, codes: np.ndarray, weights: np.ndarray) -> csc_array:
    """Of each cluster g the vector (I - H_gg)^(-1/2) X_g (X'X)^-1 weights, whose product with the
    residuals is the cluster's share in the estimate: (rows, clusters), sparse.

    With X_g (X'X)^(-1/2) = U S W' the inverse root is I + U ((1 - S²)^(-1/2) - 1) U', so that no
    matrix has the cluster's rows twice; where S is 1 the cluster alone tells an effect, and a
    pseudo-inverse has 0 there.
    """
    values, vectors = np.linalg.eigh(model.inverse)
    root = vectors * np.sqrt(values) @ vectors.T
    linear = model.design @ (model.inverse @ weights)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 2))
    out, counts = np.empty(len(codes)), np.diff(starts)
    for count in np.unique(counts):  # clusters of one size are taken apart at once
        rows = order[starts[:-1][counts == count][:, None] + np.arange(count)]
        left, sizes, _ = np.linalg.svd(model.design[rows] @ root, full_matrices=False)
        gap = 1 - sizes**2
        scale = np.where(gap > _SINGULAR, np.maximum(gap, _SINGULAR) ** -0.5, 0.0) - 1
        own = linear[rows][..., None]
        shares = scale[..., None] * (left.swapaxes(-1, -2) @ own)
        out[rows] = (own + left @ shares)[..., 0]
    return csc_array((out, (np.arange(len(codes)), codes)))


def _form(model: _Model, parts: Sequence[csc_array], signs: Sequence[float]) -> _Form:
    """The quadratic form Σ sign (b'y)², b = (I - H) a over all clusters' vectors a, and its first
    two moments for independent y: tr Q and 2 tr Q², Q = Σ sign b b'.

    Products b'b are a'a - (X'a)' (X'X)^-1 (X'a); the first is sparse, as clusters share few rows.
    """
    value = mean = first = second = 0.0
    combined = np.zeros_like(model.inverse)
    for sign, part in zip(signs, parts, strict=True):
        value += sign * float(((part.T @ model.rest) ** 2).sum())
        effects = part.T @ model.design
        combined += sign * effects.T @ effects
        own = np.asarray(part.multiply(part).sum(0)).ravel()
        mean += sign * float(own.sum() - np.einsum("ua,ab,ub->", effects, model.inverse, effects))
        for other_sign, other in zip(signs, parts, strict=True):
            shared = (part.T @ other).tocoo()
            around = effects[shared.row] @ model.inverse
            others = (other.T @ model.design)[shared.col]
            first += sign * other_sign * float((shared.data**2).sum())
            second += sign * other_sign * float(shared.data @ (around * others).sum(1))
    whole = combined @ model.inverse
    third = float(np.trace(whole @ whole))
    return _Form(value, mean, 2 * (first - 2 * second + third))
