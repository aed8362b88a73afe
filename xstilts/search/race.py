"""The race: a policy that says which candidate runs next on which target, and when a target ends.

Two things are kept apart. Spending - who gets the next run - follows a normal model of candidates
and targets together and claims nothing: a candidate without runs is parked, not beaten. Exclusion
- who is not the best - is tested as the set of ties is. Both are pure functions of the scores that
were seen, so a race that was killed goes on as if it had not been.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xstilts.scores.arms import arms_of
from xstilts.scores.ties import ALPHA, out_at, spend
from xstilts.search.race_model import Belief, believe, expected_excess, screening

OPENING = 6
"""Candidates of a target that run before the model is asked: without them it knows no spread."""

HINTED_OPENING = OPENING - 2
"""Those of a target whose candidates have all run at a lower rung, from the top of its order to its
end."""

CUT = 0.01
"""A candidate whose chance to lie above the leader is below has no first run: it is parked."""

LEAST, MOST = 0.4, 0.75
"""Runs beyond each candidate's first, as shares of the number of candidates, that a target has at
least and at most. With fewer the model knows its own noise too badly to be believed that it is
done; these were chosen on simulated grids (docs/replay.md)."""

PRICE = 0.2
"""Between the two a target ends where its leader's expected regret is below this share of the
noise of a run, averaged over targets: further runs then lower the mean regret by little."""

LEAST_KNOWN, MOST_KNOWN = 1.05, 1.14
"""Where candidates' scores elsewhere are part of the model, a target's runs a candidate, first runs
among them: the model knows its spread, so that a first run is worth what it promises, as any
other is."""

_LEADER_RUNS = 2


class Run(NamedTuple):
    """The next run of a candidate on a target at a rung, all by number."""

    candidate: int
    target: int
    rung: int


def next_runs(
    scores: np.ndarray,
    most: int,
    *,
    available: np.ndarray,
    seed: int = 0,
    hints: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> list[Run]:
    """The runs of the next round, at most one a target; none where all targets have ended.

    `scores` is (candidates, targets, rungs, draws), NaN where nothing was drawn, in points; rungs
    rise, the last is the full budget. `available` (candidates, targets, rungs) says which can be
    run. `most` draws a cell are allowed. `seed` orders the candidates of whom nothing is known.

    `hints` and `prior` (candidates, targets) are in standard deviations, NaN unknown. Hints order
    candidates and do nothing else. A prior is part of the model as well, so that it spends less.
    """
    drawn = np.isfinite(scores).sum(-1)
    full = drawn[..., -1]
    low = _first_rungs(drawn, available)
    given = prior if hints is None else hints
    opening = _opening(scores, low, available, seed, given)
    ready = [not low[target] and not opening[target] for target in range(full.shape[1])]
    runs = [
        (low[target] or opening[target])[0] for target in range(full.shape[1]) if not ready[target]
    ]
    known = np.flatnonzero(full.any(0))
    # The model is of all targets at once: one that has just come into the sweep opens before it.
    if runs or not len(known):
        return runs
    belief = believe(scores[:, known], None if prior is None else prior[:, known])
    for place, target in enumerate(map(int, known)):
        can_run = available[:, target, -1]
        order = _hints(scores, target, given)
        candidate = _spend(belief, scores[:, known], place, most, can_run, order)
        if candidate is not None:
            runs.append(Run(candidate, target, scores.shape[2] - 1))
    return runs


def ranking(scores: np.ndarray, most: int, prior: np.ndarray | None = None) -> np.ndarray:
    """The candidates of every target by the mean that the model believes in, best first:
    (candidates, targets), numbers. Those with fewer than two full runs come behind the others,
    those with none last."""
    belief = believe(scores, prior)
    full = np.isfinite(scores[:, :, -1]).sum(-1)
    enough = np.minimum(full, min(_LEADER_RUNS, most))
    return np.lexsort((-belief.means, -enough), axis=0)


def may_be_best(scores: np.ndarray, looks: int, *, alpha: float = ALPHA) -> np.ndarray:
    """Exclusion: which candidates of one target may be the best, (candidates,).

    `scores` (candidates, draws) are full runs, NaN where not drawn. One leaves where
    `xstilts.scores.ties` puts it out; having no run, none does. A candidate's number of runs hung
    on what they gave, so each number is a look of its own, of `looks` in all, and the level is
    what that look may spend.
    """
    drawn = np.isfinite(scores)
    counts = drawn.sum(1)
    levels = [spend(alpha, min(max(int(n), 1), looks), looks) for n in counts]
    arms = arms_of(scores[drawn], np.nonzero(drawn)[0], len(scores))
    return np.asarray((counts == 0) | ~out_at(arms, levels))


def _first_rungs(drawn: np.ndarray, available: np.ndarray) -> list[list[Run]]:
    """By target, the runs at candidates' lowest rungs that are still missing, without those whose
    lowest rung is the last. They cost little, and say in which order the others come."""
    lowest = available.argmax(-1)
    missing = (lowest < drawn.shape[-1] - 1) & (drawn.sum(-1) == 0)
    return [
        [Run(int(c), target, int(lowest[c, target])) for c in np.flatnonzero(missing[:, target])]
        for target in range(drawn.shape[1])
    ]


def _opening(
    scores: np.ndarray,
    low: list[list[Run]],
    available: np.ndarray,
    seed: int,
    given: np.ndarray | None,
) -> list[list[Run]]:
    """By target, the full runs that come before the model is asked.

    Each target begins at another place of one order, so that soon every candidate has run
    somewhere. Where there are lower rungs, or hints, their order is sampled from its top to its
    end: only runs of the weak, too, tell how far it can be believed.
    """
    candidates, targets, rungs, _ = scores.shape
    order = np.random.default_rng(seed).permutation(candidates)
    full = np.isfinite(scores[:, :, -1]).any(-1)
    found: list[list[Run]] = []
    for target in range(targets):
        wanted = min(OPENING, candidates)
        places = order[(np.arange(wanted) + target * candidates // targets) % candidates]
        hints = _hints(scores, target, given)
        if not low[target] and np.isfinite(hints).any():
            by_hint = np.argsort(-np.nan_to_num(hints, nan=-np.inf), kind="stable")
            spread = np.linspace(0, candidates - 1, min(HINTED_OPENING, candidates)).round()
            places = by_hint[spread.astype(int)]
        places = places[available[places, target, -1] & ~full[places, target]]
        found.append([Run(int(c), target, rungs - 1) for c in places])
    return found


def _hints(scores: np.ndarray, target: int, given: np.ndarray | None) -> np.ndarray:
    """What orders a target's candidates (candidates,): their lower rungs, else what is given."""
    found = screening(scores, target)
    return found if given is None or np.isfinite(found).any() else given[:, target]


def _spend(
    belief: Belief,
    scores: np.ndarray,
    target: int,
    most: int,
    available: np.ndarray,
    hints: np.ndarray,
) -> int | None:
    """The candidate of a target that has the next full run; None where the target has ended."""
    full = np.isfinite(scores[:, target, -1]).sum(-1)
    means, variances = belief.means[:, target], belief.variances[:, target]
    room = (full < most) & available
    leader = int(np.where(full > 0, means, -np.inf).argmax())
    error = np.sqrt(variances + variances[leader])
    regrets = expected_excess(means - means[leader], error)
    chances = belief.chances(target, leader)
    regrets[leader] = chances[leader] = 0.0
    unseen = (full == 0) & (chances >= CUT) & available
    if unseen.any() and not belief.counts_prior:
        only_orders = np.isfinite(hints).any() and not belief.counts_hints
        by = np.nan_to_num(hints, nan=-np.inf) if only_orders else means
        return int(max(np.flatnonzero(unseen), key=lambda one: (by[one], means[one])))
    if full[leader] < min(_LEADER_RUNS, most) and room[leader]:
        return leader
    counted, low, high = full.sum() - (full > 0).sum(), LEAST, MOST
    if belief.counts_prior:
        counted, low, high = full.sum(), LEAST_KNOWN, MOST_KNOWN
    is_cheap = np.sqrt((regrets**2).sum()) <= PRICE * belief.noise
    if not room.any() or counted >= high * len(full) or (counted >= low * len(full) and is_cheap):
        return None
    # A run is worth the regret at stake times how far it moves the mean; the leader is worth what
    # its strongest rival is, as in top-two sampling (Russo 2016).
    worth = regrets.copy()
    worth[leader] = regrets.max()
    worth *= np.sqrt(variances / (variances + belief.noise_variances[target]))
    return int(np.where(room, worth, -1.0).argmax())
