"""A linear mixed model with crossed random terms, by restricted maximum likelihood (REML).

Scores of a study are not independent: they share an intermediate language, a target language, a
family, a task. Each of those is a random term here, an intercept a level or a slope a level, all
independent of one another. No library that the project has fits crossed terms with the degrees of
freedom that a t test of few languages needs, so the model is fitted here, in the small: tables of
up to some thousand rows and some hundred levels. `mixed_dof` says what its estimates are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from xstilts.scores.items import refuse

_MOST_STEPS = 200
_LEAST_RESIDUAL = 1e-8
"""Of the variance about the fixed effects, what the residual is at least: below, nothing is left
to judge by."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A random term: an effect of each level, times `slope` where it is a slope.

    `levels` (rows,) are labels; `slope` (rows,) is a covariate, centred: intercepts and slopes are
    taken to be independent, which depends on where its zero is. Written for lme4: `(1 | levels)`
    and `(0 + slope | levels)`.
    """

    name: str
    levels: np.ndarray
    slope: np.ndarray | None = None

    def columns(self) -> np.ndarray:
        """Its design (rows, levels)."""
        names, codes = np.unique(np.asarray(self.levels), return_inverse=True)
        design = np.eye(len(names))[codes]
        if self.slope is not None:
            design *= np.asarray(self.slope, float)[:, None]
        return design


@dataclass(frozen=True, slots=True, eq=False)
class Crossproducts:
    """All of a table that the likelihood reads: `of` holds (terms' columns, fixed, response),
    `starts` where each term's columns begin, `rows` their number, `fixed` that of fixed effects."""

    of: np.ndarray
    starts: np.ndarray
    rows: int
    fixed: int

    @property
    def random(self) -> int:
        """Columns of all random terms."""
        return len(self.of) - self.fixed - 1

    def without(self, columns: np.ndarray, terms: np.ndarray) -> Crossproducts:
        """Those of some `terms` (terms,), whose `columns` (columns,) are given, both as masks."""
        widths = np.diff(self.starts, append=self.random)[terms]
        kept = np.append(columns, np.ones(self.fixed + 1, bool))
        starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(int)[: len(widths)]
        return replace(self, of=self.of[np.ix_(kept, kept)], starts=starts)

    def blocks(self, matrix: np.ndarray) -> np.ndarray:
        """Sums of a matrix over the terms' blocks, (columns, columns) to (terms, terms)."""
        by_row = np.add.reduceat(matrix, self.starts, axis=0)
        return np.asarray(np.add.reduceat(by_row, self.starts, axis=1))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over the terms' columns (columns,) to (terms,)."""
        return np.asarray(np.add.reduceat(values, self.starts))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The table seen through the inverse V of its covariance, at given variances.

    With P = V⁻¹ - V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹: `zpz` is Z'PZ, `zpy` Z'Py, `ypy` y'Py, `xvz` X'V⁻¹Z, `xvx`
    X'V⁻¹X and `xvy` X'V⁻¹y; `zvz` Z'V⁻¹Z. `criterion` is minus twice the restricted log likelihood.
    """

    variances: np.ndarray
    zvz: np.ndarray
    zpz: np.ndarray
    zpy: np.ndarray
    ypy: float
    xvz: np.ndarray
    xvx: np.ndarray
    xvy: np.ndarray
    criterion: float

    def without(self, columns: np.ndarray, terms: np.ndarray) -> Moments:
        """Those of some `terms` (terms,), whose `columns` (columns,) are given, both as masks."""
        return replace(
            self,
            variances=self.variances[np.append(terms, True)],
            zvz=self.zvz[np.ix_(columns, columns)],
            zpz=self.zpz[np.ix_(columns, columns)],
            zpy=self.zpy[columns],
            xvz=self.xvz[:, columns],
        )


@dataclass(frozen=True, slots=True, eq=False)
class MixedFit:
    """A fitted model.

    `estimates` (fixed,) with `covariance` (fixed, fixed) as if the variances were known;
    `variances` (terms,) of the random terms, in the order of `names`; `residual`; `criterion` is
    lme4's REML criterion.
    """

    estimates: np.ndarray
    covariance: np.ndarray
    names: tuple[str, ...]
    variances: np.ndarray
    residual: float
    criterion: float
    moments: Moments
    products: Crossproducts

    @property
    def is_singular(self) -> bool:
        """Whether a term's variance is estimated as zero."""
        return bool((self.variances == 0).any())

    def without_zeros(self) -> MixedFit:
        """The same fit of the model that lacks the terms whose variance is zero, which is its
        maximum too."""
        there = self.variances > 0
        names = tuple(name for name, kept in zip(self.names, there, strict=True) if kept)
        columns = np.repeat(there, np.diff(self.products.starts, append=self.products.random))
        return replace(
            self,
            names=names,
            variances=self.variances[there],
            products=self.products.without(columns, there),
            moments=self.moments.without(columns, there),
        )


def fit(response: np.ndarray, fixed: np.ndarray, terms: Sequence[Term]) -> MixedFit:
    """Fits `response` (rows,) by `fixed` (rows, effects) and independent random `terms`.

    REML (Patterson & Thompson 1971) by Newton's method and Fisher scoring within the variances that
    are not below 0: a term stays at 0 while the likelihood falls from there. The covariance is only
    met through crossproducts (Woodbury), so a step costs what the levels cost, whatever the number
    of rows.

    Raises: ConfigError where a value is missing, fixed effects are confounded, no row is left over
    for the residual, or the residual is zero.
    """
    products, start = _products(response, fixed, terms)
    scale = start.residual
    moments = _scored(products, _start(products, scale), scale)
    covariance = np.linalg.inv(moments.xvx)
    return MixedFit(
        estimates=start.estimates + covariance @ moments.xvy,
        covariance=covariance,
        names=tuple(term.name for term in terms),
        variances=moments.variances[:-1],
        residual=float(moments.variances[-1]),
        criterion=moments.criterion,
        moments=moments,
        products=products,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    estimates: np.ndarray
    residual: float


def _products(
    response: np.ndarray, fixed: np.ndarray, terms: Sequence[Term]
) -> tuple[Crossproducts, _Start]:
    """Crossproducts about the least squares fit, which keep more digits, and that fit."""
    response, fixed = np.asarray(response, dtype=np.float64), np.asarray(fixed, dtype=np.float64)
    rows, effects = fixed.shape
    designs = [term.columns() for term in terms]
    whole = np.concatenate([*designs, fixed, response[:, None]], axis=1)
    if not np.isfinite(whole).all():
        holes = int((~np.isfinite(whole)).any(1).sum())
        raise refuse("mixed model", "every row is finite", f"{holes} rows with holes", "leave out")
    if not terms or rows <= effects:
        raise refuse(
            "mixed model",
            "it needs a random term, and more rows than fixed effects",
            f"{len(terms)} terms, {rows} rows, {effects} effects",
            "",
        )
    estimates, _, rank, _ = np.linalg.lstsq(fixed, response, rcond=None)
    if rank < effects:
        raise refuse(
            "mixed model",
            "fixed effects can be told apart",
            f"{effects} effects of rank {rank}",
            "leave out what another stands for",
        )
    whole[:, -1] -= fixed @ estimates
    residual = float(whole[:, -1] @ whole[:, -1]) / (rows - effects)
    if residual <= 1e-20 * max(float(response @ response) / rows, 1e-300):
        raise refuse("mixed model", "rows differ from the fixed effects", "none that does", "")
    widths = [design.shape[1] for design in designs]
    starts = np.concatenate([[0], np.cumsum(widths[:-1])]).astype(int)
    return Crossproducts(whole.T @ whole, starts, rows, effects), _Start(estimates, residual)


def _start(products: Crossproducts, residual: float) -> np.ndarray:
    """Half of the variance to the residual, half to the terms in equal shares."""
    sizes = products.sums(np.diag(products.of)[: products.random]) / products.rows
    return np.append(residual / (2 * len(sizes) * np.maximum(sizes, 1e-12)), residual / 2)


def moments_at(products: Crossproducts, variances: np.ndarray) -> Moments:
    """Everything that the likelihood and its derivatives read, at `variances` (terms + 1,), the
    residual's last."""
    residual, random, fixed = float(variances[-1]), products.random, products.fixed
    widths = np.diff(products.starts, append=random)
    ratios = np.repeat(variances[:-1] / residual, widths)
    of_z = products.of[:random]
    # Z'V⁻¹[Z, X, y] = (I + Z'Z Γ)⁻¹ Z'[Z, X, y] / residual, which cancels no digits.
    seen, inside = _solved(np.eye(random) + of_z[:, :random] * ratios, of_z, _largest(products))
    rest = products.of[random:, random:] - (of_z[:, random:].T * ratios) @ seen[:, random:]
    zvz = (seen[:, :random] + seen[:, :random].T) / (2 * residual)
    xvz = seen[:, random : random + fixed].T / residual
    zvy, rest = seen[:, -1] / residual, rest / residual
    xvx, xvy = rest[:fixed, :fixed], rest[:fixed, -1]
    known = np.linalg.solve(xvx, np.column_stack([xvz, xvy]))
    ypy = float(rest[-1, -1] - xvy @ known[:, -1])
    criterion = (
        inside
        + products.rows * np.log(residual)
        + float(np.linalg.slogdet(xvx)[1])
        + ypy
        + (products.rows - fixed) * np.log(2 * np.pi)
    )
    return Moments(
        variances=variances,
        zvz=zvz,
        zpz=zvz - xvz.T @ known[:, :-1],
        zpy=zvy - xvz.T @ known[:, -1],
        ypy=ypy,
        xvz=xvz,
        xvx=xvx,
        xvy=xvy,
        criterion=float(criterion),
    )


def _largest(products: Crossproducts) -> slice:
    """Where the columns of the term with the most levels are."""
    widths = np.diff(products.starts, append=products.random)
    start = int(products.starts[widths.argmax()])
    return slice(start, start + int(widths.max()))


def _solved(matrix: np.ndarray, of: np.ndarray, diagonal: slice) -> tuple[np.ndarray, float]:
    """The inverse of `matrix` times `of`, and the logarithm of its determinant. The part `diagonal`
    of the matrix is a diagonal, as levels of one term share no row, and is eliminated first."""
    rest = np.r_[0 : diagonal.start, diagonal.stop : len(matrix)]
    own = np.diag(matrix)[diagonal]
    across = matrix[diagonal][:, rest]
    into = matrix[rest][:, diagonal] / own
    solved = np.empty_like(of)
    inside = float(np.log(own).sum())
    if len(rest):
        factors = lu_factor(matrix[np.ix_(rest, rest)] - into @ across)
        solved[rest] = lu_solve(factors, of[rest] - into @ of[diagonal])
        inside += float(np.log(np.abs(np.diag(factors[0]))).sum())
    solved[diagonal] = (of[diagonal] - across @ solved[rest]) / own[:, None]
    return solved, inside


def traces(products: Crossproducts, moments: Moments) -> np.ndarray:
    """tr(P V_k P V_l), (terms + 1, terms + 1), V_k being what variance k multiplies: twice the
    expected information. The residual's come from P V P = P."""
    terms = len(moments.variances) - 1
    squares = products.blocks(moments.zpz**2)
    out = np.zeros((terms + 1, terms + 1))
    own, residual = moments.variances[:-1], moments.variances[-1]
    single = products.sums(np.diag(moments.zpz))
    out[:-1, :-1] = squares
    out[-1, :-1] = out[:-1, -1] = (single - squares @ own) / residual
    trace = (products.rows - products.fixed - own @ single) / residual
    out[-1, -1] = (trace - own @ out[-1, :-1]) / residual
    return out


def observed(products: Crossproducts, moments: Moments) -> np.ndarray:
    """The observed information of the variances, (terms + 1, terms + 1): y'P V_k P V_l P y less
    half of tr(P V_k P V_l)."""
    own, residual = moments.variances[:-1], moments.variances[-1]
    of_columns = np.repeat(own, np.diff(products.starts, append=products.random))
    quadratic = np.zeros((len(own) + 1, len(own) + 1))
    quadratic[:-1, :-1] = products.blocks(np.outer(moments.zpy, moments.zpy) * moments.zpz)
    zppy = (moments.zpy - moments.zpz @ (of_columns * moments.zpy)) / residual
    quadratic[-1, :-1] = quadratic[:-1, -1] = products.sums(moments.zpy * zppy)
    ppy = (moments.ypy - own @ products.sums(moments.zpy**2)) / residual
    quadratic[-1, -1] = (ppy - own @ quadratic[-1, :-1]) / residual
    return np.asarray(quadratic - traces(products, moments) / 2)


def _score(products: Crossproducts, moments: Moments) -> np.ndarray:
    """The gradient of the restricted log likelihood by the variances (terms + 1,)."""
    own, residual = moments.variances[:-1], moments.variances[-1]
    single = products.sums(np.diag(moments.zpz))
    squares = products.sums(moments.zpy**2)
    trace = (products.rows - products.fixed - own @ single) / residual
    ppy = (moments.ypy - own @ squares) / residual
    return np.asarray(np.append(squares - single, ppy - trace) / 2)


def _scored(products: Crossproducts, variances: np.ndarray, scale: float) -> Moments:
    """The moments at the maximum of the restricted likelihood, from a start."""
    moments = moments_at(products, variances)
    least = np.append(np.zeros(len(variances) - 1), _LEAST_RESIDUAL * scale)
    for _ in range(_MOST_STEPS):
        variances = moments.variances
        score = _score(products, moments)
        free = (variances > least) | (score > 0)
        step = np.zeros(len(variances))
        if not free.any():
            break
        step[free] = _ascent(products, moments, score, free)
        # What the step is worth by the quadratic that it climbs.
        if float(step @ score) < 1e-12:
            break
        better = _climbed(products, moments, step, least)
        if better is None:
            break
        moments = better
    return moments


def _ascent(
    products: Crossproducts, moments: Moments, score: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Newton's step of the `free` variances; Fisher's, which always climbs, where the likelihood
    is not concave."""
    chosen = np.ix_(free, free)
    expected = traces(products, moments)[chosen] / 2
    scale = np.sqrt(np.diag(expected))
    sizes = np.outer(scale, scale)
    own = observed(products, moments)[chosen] / sizes
    concave = float(np.linalg.eigvalsh(own).min()) > 0.05
    information = own if concave else expected / sizes
    found = np.linalg.lstsq(information, score[free] / scale, rcond=1e-12)[0]
    return np.asarray(found / scale)


def _climbed(
    products: Crossproducts, moments: Moments, step: np.ndarray, least: np.ndarray
) -> Moments | None:
    """Where a step leads that is halved until the likelihood rises; None where none does."""
    for halvings in range(30):
        tried = np.maximum(moments.variances + step / 2**halvings, least)
        found = moments_at(products, tried)
        if found.criterion < moments.criterion:
            return found
    return None
