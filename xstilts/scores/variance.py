"""The variance of a gain, and its interval: a part that falls with seeds, a part that items set.

Runs are seeds crossed with items, both random: a run's score varies with its seed, with the items
that happen to be in the evaluation set, and with how seed and item meet. The last is in the
variance between runs already and is taken off the item part, so that it counts once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from xstilts.scores.items import refuse
from xstilts.scores.moderation import Prior

CONFIDENCE = 0.95


_MEND = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Independent parts of variances, (..., parts): `variances` in squared points, `dof` of each,
    and whether it `is_own`, judged by its own runs alone."""

    variances: np.ndarray
    dof: np.ndarray
    is_own: np.ndarray


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of one run's score, squared points: of the seed alone, of the items alone, of how
    they meet. `seed + interaction` is what runs on the same items differ by."""

    seed: float
    item: float
    interaction: float


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of mean scores in points, with its interval.

    `variance` is `seed_part + item_part`, on `dof` degrees of freedom. `p` is the probability of a
    difference as large where there is none, one-sided.
    """

    gain: float
    low: float
    high: float
    variance: float
    dof: float
    seed_part: float
    item_part: float
    p: float


def components(scores: np.ndarray, covariance: np.ndarray) -> Components:
    """Variance components of an arm, by mean squares: `scores` (runs,), `covariance` (runs, runs)
    of `items.item_covariance`.

    In the words of the two-way table of S seeds by I items: the mean square of seeds is I times
    the variance of `scores`, that of the interaction I times what the matrix's diagonal has above
    the rest, that of items both together.
    Raises: ConfigError with fewer than two runs.
    """
    runs = len(scores)
    if runs < 2:
        raise refuse("variance components", "they need two runs or more", f"{runs}", "")
    diagonal = float(np.trace(covariance)) / runs
    item = _between_runs(covariance)
    interaction = max(diagonal - item, 0.0)
    seed = max(float(np.var(scores, ddof=1)) - interaction, 0.0)
    return Components(seed, max(item, 0.0), interaction)


def item_part(covariance: np.ndarray, candidate: np.ndarray, baseline: np.ndarray) -> float:
    """The variance of a difference of two arms' means over samples of items, without interaction.

    `candidate` and `baseline` are the runs' places in `covariance` (runs, runs). Covariances of
    different runs hold what the items alone do; an arm of one run has no other to compare with,
    and its interaction stays in.
    """
    own = _between_runs(covariance[np.ix_(candidate, candidate)])
    other = _between_runs(covariance[np.ix_(baseline, baseline)])
    return max(own + other - 2 * float(covariance[np.ix_(candidate, baseline)].mean()), 0.0)


def gain(
    candidate: np.ndarray,
    baseline: np.ndarray,
    *,
    item_variance: float = 0.0,
    num_items: int | None = None,
    paired: bool = False,
    prior: Prior | None = None,
    confidence: float = CONFIDENCE,
) -> Gain:
    """The gain of a candidate over a baseline, from scores of their runs (seeds,), 0-100.

    `item_variance` is `item_part` of the two, of `num_items`; `paired` means that equal places are
    equal seeds, and the variance is that of the differences. `prior` moderates the candidate's
    variance: of runs, or of differences where paired (`moderation.estimate_prior` of the target's
    candidates).

    Raises: ConfigError where an arm has no run, one run without a prior, pairs of unequal number,
    or a confidence that is none.
    """
    check_share("confidence", confidence)
    candidate, baseline = np.asarray(candidate, float), np.asarray(baseline, float)
    if paired and len(candidate) != len(baseline):
        raise refuse(
            "gain",
            "paired seeds are as many in both arms",
            f"{len(candidate)} and {len(baseline)}",
            "leave out seeds that one arm lacks, or compare unpaired",
        )
    arms = [candidate - baseline] if paired else [candidate, baseline]
    least = 1 if prior is not None else 2
    if min(map(len, arms)) < least:
        raise refuse(
            "gain",
            f"an arm needs {least} runs or more" + ("" if prior else " without neighbours"),
            f"{min(map(len, arms))}",
            "train it with more seeds",
        )
    # The baseline is no candidate: it has no neighbours whose variance would be its own, and is
    # judged by its own runs wherever it has two.
    parts = [_seed_part(arms[0], prior)]
    parts += [_seed_part(arm, prior if len(arm) == 1 else None) for arm in arms[1:]]
    seed = Parts(*(np.array(column) for column in zip(*parts, strict=True)))
    item = item_parts(np.array([item_variance]), num_items)
    return interval(float(candidate.mean() - baseline.mean()), seed, item, confidence)


def interval(difference: float, seed: Parts, item: Parts, confidence: float = CONFIDENCE) -> Gain:
    """The t interval of a difference from the parts (parts,) of its variance."""
    check_share("confidence", confidence)
    variance = float(seed.variances.sum() + item.variances.sum())
    dof = float(satterthwaite(joined(seed, item)))
    error = variance**0.5
    known = min(dof, 1e9)
    half = float(stdtrit(known, (1 + confidence) / 2)) * error if error else 0.0
    p = float(stdtr(known, -difference / error)) if error else float(difference <= 0)
    return Gain(
        gain=difference,
        low=difference - half,
        high=difference + half,
        variance=variance,
        dof=dof,
        seed_part=float(seed.variances.sum()),
        item_part=float(item.variances.sum()),
        p=p,
    )


def joined(some: Parts, others: Parts) -> Parts:
    """All of two, part by part."""
    return Parts(
        np.concatenate([some.variances, others.variances], -1),
        np.concatenate([some.dof, others.dof], -1),
        np.concatenate([some.is_own, others.is_own], -1),
    )


def satterthwaite(parts: Parts) -> np.ndarray:
    """Degrees of freedom (...) of sums over `parts` (..., parts); infinite where nothing varies.

    Satterthwaite 1946, with one mend for few seeds: where the part that adds most to the
    uncertainty is judged by its own runs alone, it counts (1 + 3 / dof) times for the degrees of
    freedom, a number found by measuring (docs/statistics.md). Where it is by chance small the
    formula sees many parts of equal size, gives most degrees of freedom, and the interval is too
    short just when its variance is too small.
    """
    variances, dof = parts.variances, parts.dof
    with np.errstate(divide="ignore", invalid="ignore"):
        uncertain = np.where(variances > 0, variances**2 / dof, 0.0)
        worst = uncertain.argmax(-1)[..., None] == np.arange(variances.shape[-1])
        mended = worst & parts.is_own & (variances > 0)
        counted = np.where(mended, variances * (1 + _MEND / dof), variances)
        total = np.where(counted > 0, counted**2 / dof, 0.0).sum(-1)
        return np.asarray(np.where(total > 0, counted.sum(-1) ** 2 / total, np.inf))


def gain_over_languages(
    candidate: np.ndarray,
    baseline: np.ndarray,
    *,
    common_item_variance: float = 0.0,
    confidence: float = CONFIDENCE,
) -> Gain:
    """The gain in languages like these: the languages are a sample too, and a seed is a pair.

    `candidate` and `baseline` are (seeds, languages), paired by seed: scores by language. Another
    estimand than `gain`, whose languages are those of the benchmark. The part of languages
    contains the items of each; `common_item_variance` is what items that all languages share add
    (0 where none are). The part of seeds is `seed_part`, the rest of the variance `item_part`.

    Raises: ConfigError with fewer than two seeds or three languages.
    """
    check_share("confidence", confidence)
    differences = np.asarray(candidate, float) - np.asarray(baseline, float)
    seeds, languages = differences.shape
    if seeds < 2 or languages < 3:
        raise refuse(
            "gain over languages",
            "it needs two seeds and three languages or more",
            f"{seeds} and {languages}",
            "state the gain in the languages of the benchmark",
        )
    by_seed, by_language = differences.mean(1), differences.mean(0)
    rest = differences - by_seed[:, None] - by_language + differences.mean()
    interaction = float((rest**2).sum()) / ((seeds - 1) * (languages - 1))
    seed_part = float(by_seed.var(ddof=1)) / seeds
    language_part = float(by_language.var(ddof=1)) / languages - interaction / seeds / languages
    languages_part = max(language_part, 0.0)
    return interval(
        float(differences.mean()),
        Parts(np.array([seed_part]), np.array([seeds - 1.0]), np.array([True])),
        Parts(
            np.array([languages_part, common_item_variance]),
            np.array([languages - 1.0, np.inf]),
            np.array([True, False]),
        ),
        confidence,
    )


def item_parts(variances: np.ndarray, num_items: int | None) -> Parts:
    """Item parts (...) of differences as parts of their variances: of so many items, or of so
    many that their variance is as good as known."""
    dof = np.inf if num_items is None else max(num_items - 1.0, 1.0)
    return Parts(variances, np.full(variances.shape, dof), np.zeros(variances.shape, bool))


def check_share(name: str, value: float) -> None:
    """Refuses what is no share between 0 and 1."""
    if not 0 < value < 1:
        raise refuse(name, "it lies between 0 and 1", f"{value:g}", "give a share, as 0.95")


def _between_runs(covariance: np.ndarray) -> float:
    """The mean covariance of two different runs; the variance of the one where it is alone."""
    runs = len(covariance)
    if runs == 1:
        return float(covariance[0, 0])
    return float(covariance.sum() - np.trace(covariance)) / (runs * (runs - 1))


def _seed_part(scores: np.ndarray, prior: Prior | None) -> tuple[float, float, bool]:
    """The variance of a mean over seeds, its degrees of freedom, whether it is its own."""
    runs = len(scores)
    own = float(scores.var(ddof=1)) if runs > 1 else 0.0
    if prior is None:
        return own / runs, runs - 1.0, True
    variance, dof = prior.moderated(np.array([own]), np.array([runs - 1.0]))
    return float(variance[0]) / runs, float(dof[0]), False
