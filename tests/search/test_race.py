"""The race: where it spends, what it excludes, and that it remembers nothing but scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tests.benchmarks.transfer_grids import transfer_grid
from xstilts.scores.arms import arms_of
from xstilts.scores.ties import ties
from xstilts.search import race_model
from xstilts.search.policies import Board, play_race
from xstilts.search.race import (
    CUT,
    LEAST,
    MOST_KNOWN,
    OPENING,
    may_be_best,
    next_runs,
    ranking,
)
from xstilts.search.race_model import Belief, believe, rung_correlation, screening


def history(board: Board, seed: int = 0) -> list[tuple[np.ndarray, list[tuple[int, ...]]]]:
    """What was seen before each round, and the runs that followed."""
    rounds = []
    while runs := next_runs(board.seen, board.most, available=board.available, seed=seed):
        rounds.append((board.seen.copy(), [tuple(run) for run in runs]))
        for run in runs:
            board.draw(*run)
    return rounds


def test_decisions_follow_from_what_was_seen() -> None:
    """A race that was killed after any round goes on as it would have."""
    grid = transfer_grid(0, candidates=8, targets=4, rungs=(0.1, 1.0))
    whole = history(Board(grid.dev, 3))
    for seen, runs in reversed(whole):
        again = Board(grid.dev, 3)
        again.seen[:] = seen
        assert next_runs(again.seen, 3, available=again.available, seed=0) == runs
    later = Board(grid.dev, 3)
    later.seen[:] = whole[len(whole) // 2][0]
    assert [runs for _, runs in history(later)] == [runs for _, runs in whole[len(whole) // 2 :]]


def test_the_seed_orders_those_of_whom_nothing_is_known() -> None:
    grid = transfer_grid(1)
    first = [history(Board(grid.dev, 3), seed)[0][1] for seed in (0, 0, 1)]
    assert first[0] == first[1] != first[2]


def test_few_runs_find_a_clear_winner() -> None:
    grid = transfer_grid(2)
    grid.dev[7] += 15
    board = Board(grid.dev[..., :3], 3)
    ranking = play_race(board, 0)
    assert (ranking[0] == 7).all()
    assert np.isfinite(board.seen).sum() / 21 < 34
    # However clear it seems, the noise of a run is known from no fewer repeated runs than these.
    counts = np.isfinite(board.full).sum(-1)
    assert (np.maximum(counts - 1, 0).sum(0) >= LEAST * 21).all()


def test_the_hopeless_are_parked() -> None:
    grid = transfer_grid(8, main=0.8)
    grid.dev[5] -= 40
    board = Board(grid.dev[..., :3], 3)
    play_race(board, 0)
    # Every target opens with six of the 21; beyond its opening none runs it.
    assert 0 < np.isfinite(board.full[5]).any(-1).sum() <= OPENING + 1


def test_one_lucky_run_does_not_lead() -> None:
    scores = np.full((4, 1, 1, 3), np.nan)
    scores[0, 0, 0] = [80, 81, 80.5]
    scores[1, 0, 0, :2] = [70, 71]
    scores[2, 0, 0, 0] = 95
    assert ranking(scores, 3)[:, 0].tolist() == [0, 1, 2, 3]
    assert ranking(scores, 1)[0, 0] == 2, "where nobody has more, it does"


def test_the_leaders_have_the_runs() -> None:
    grid = transfer_grid(3)
    board = Board(grid.dev[..., :3], 3)
    play_race(board, 0)
    counts = np.isfinite(board.full).sum(-1)
    high = np.nanmean(board.full, -1) >= np.nanmedian(np.nanmean(board.full, -1), 0)
    assert counts[high].mean() > 1.5 * counts[~high].mean()


def test_what_does_well_elsewhere_is_believed_to_do_well() -> None:
    grid = transfer_grid(4, main=0.8)
    scores = grid.dev[..., :2].copy()
    scores[3, 1:] += 10
    scores[5, 1:] -= 10
    scores[[3, 5], 0] = np.nan
    means = believe(scores).means[:, 0]
    assert means[3] == means.max() and means[5] == means.min()


def test_a_parked_candidate_is_not_excluded() -> None:
    generator = np.random.default_rng(0)
    scores = np.full((4, 3), np.nan)
    scores[0] = 90 + 0.1 * generator.normal(0, 1, 3)
    scores[1] = 50 + 0.1 * generator.normal(0, 1, 3)
    scores[2, 0] = 89.9
    assert may_be_best(scores, 3).tolist() == [True, False, True, True]


def test_each_number_of_runs_is_a_look_of_its_own() -> None:
    """After two of three runs 0.05 (4 - 1) / 9 may be spent, after three 0.05 (9 - 4) / 9."""
    below = np.array([0.0, 0.1, 0.2])
    for gap, count, is_inside in (
        (0.3, 2, True),
        (0.4, 2, False),
        (0.2, 3, True),
        (0.25, 3, False),
    ):
        scores = np.full((2, 3), np.nan)
        scores[0, :count], scores[1, :count] = 80 + below[:count], 80 - gap + below[:count]
        p = ties(arms_of(scores[:, :count].ravel(), np.repeat([0, 1], count), 2)).p[1]
        assert p < 0.05
        assert may_be_best(scores, 3).tolist() == [True, is_inside]


def test_beliefs_are_in_points_and_know_the_noise() -> None:
    scores = transfer_grid(9).dev[..., :3]
    one, ten = believe(scores), believe(10 * scores)
    assert ten.means == pytest.approx(10 * one.means)
    assert ten.variances == pytest.approx(100 * one.variances)
    assert ten.noise == pytest.approx(10 * one.noise)
    pooled = scores[:, :, -1].var(-1, ddof=1).mean()
    assert one.noise**2 == pytest.approx(pooled, rel=0.1)


def test_chances_are_those_of_the_difference() -> None:
    means, variances = np.array([[70.0], [72.0]]), np.array([[9.0], [16.0]])
    belief = Belief(means, variances, np.ones(1), False)
    assert belief.chances(0, 1) == pytest.approx([norm.cdf(-2 / 5), 0.5])


def test_the_lowest_rung_that_was_drawn_orders() -> None:
    scores = np.full((3, 1, 3, 2), np.nan)
    scores[:, 0, 1, 0] = [50, 60, 70]
    assert screening(scores, 0) == pytest.approx(np.array([-1, 0, 1]) * 1.5**0.5)


def test_a_rung_that_misleads_only_orders() -> None:
    """Its scores, however they are changed without changing their order, leave the belief."""
    for correlation, is_counted in ((0.0, False), (1.0, True)):
        grid = transfer_grid(6, candidates=12, targets=6, rungs=(0.1, 1.0), correlation=correlation)
        scores = grid.dev[..., :3].copy()
        found = rung_correlation(scores)
        assert found is not None and (found >= 0.5) == is_counted
        other = scores.copy()
        other[0, :, 0] += 30
        is_moved = not np.allclose(believe(scores).means, believe(other).means)
        assert is_moved == is_counted


def test_a_believed_rung_saves_full_runs() -> None:
    full = {}
    for correlation in (0.0, 1.0):
        total = 0
        for seed in range(6):
            grid = transfer_grid(
                seed, candidates=12, targets=4, rungs=(0.1, 1.0), correlation=correlation
            )
            board = Board(grid.dev[..., :3], 3)
            play_race(board, seed)
            total += int(np.isfinite(board.full).sum())
        full[correlation] = total
    assert full[1.0] < full[0.0]


def test_a_replay_chooses_by_whole_runs_as_a_sweep_does() -> None:
    """Its lower rungs say who runs; of what ran they order nothing."""
    for number in range(4):
        grid = transfer_grid(number, candidates=12, targets=4, rungs=(0.3, 1.0), correlation=1.0)
        board = Board(grid.dev[..., :3], 3)
        chosen = play_race(board, 0)
        assert np.isfinite(board.seen[:, :, 0]).any()
        np.testing.assert_array_equal(chosen, ranking(board.full[:, :, None], 3))


def opened(hints: np.ndarray | None, targets: int = 1) -> list[int]:
    """The first candidates of a target, in the order in which rounds draw them."""
    grid = transfer_grid(5, candidates=12, targets=targets)
    board = Board(grid.dev[..., :3], 3)
    found: list[int] = []
    while len(found) < 9:
        runs = next_runs(board.seen, 3, available=board.available, hints=hints)
        for run in runs:
            if not np.isfinite(board.seen[run.candidate, run.target]).any() and run.target == 0:
                found.append(run.candidate)
            board.draw(*run)
    return found


def test_hints_order_the_opening_and_those_without_a_run() -> None:
    hints = np.linspace(1, -1, 12)[:, None].copy()
    assert opened(hints)[: OPENING - 2] == [0, 4, 7, 11], "from the top of their order to its end"
    assert opened(hints)[OPENING - 2 :] == [1, 2, 3, 5, 6]
    assert opened(-hints)[OPENING - 2 :] == [10, 9, 8, 6, 5]
    unknown = np.full((12, 1), np.nan)
    assert opened(unknown) == opened(None), "hints of nobody are none"
    unknown[9] = 0.0
    assert opened(unknown)[0] == 9, "who is known comes first"


def test_hints_exclude_nobody_and_are_no_part_of_the_model() -> None:
    """The worst hints change the order alone: a candidate that is run without them is run with
    them, once the same runs were seen, and the same candidates are left."""
    grid = transfer_grid(6, candidates=10, targets=3)
    truth = grid.dev.mean((2, 3))
    worst = -(truth - truth.mean(0)) / truth.std(0)
    for hints in (None, worst):
        board = Board(grid.dev[..., :3], 3)
        while runs := next_runs(board.seen, 3, available=board.available, hints=hints):
            for run in runs:
                board.draw(*run)
        belief = believe(board.seen)
        for target in range(3):
            drawn = np.isfinite(board.full[:, target]).any(-1)
            leader = int(np.where(drawn, belief.means[:, target], -np.inf).argmax())
            parked = ~drawn & (belief.chances(target, leader) >= CUT)
            assert not parked.any(), "who may lie above the leader has a run, whatever hints say"
    seen = transfer_grid(6, candidates=10, targets=3).dev[..., :2]
    decided = [
        next_runs(seen, 2, available=np.ones(seen.shape[:3], bool), hints=one)
        for one in (None, worst, -worst)
    ]
    assert decided[0] == decided[1] == decided[2]


def test_a_prior_counts_by_its_rank_correlation_with_what_was_seen() -> None:
    grid = transfer_grid(9)
    truth = grid.test.mean((2, 3))
    good = (truth - truth.mean(0)) / truth.std(0)
    scores = grid.dev[..., :1].copy()
    scores[::3] = np.nan
    error = {}
    for name, prior in (("none", None), ("good", good), ("bad", -good)):
        means = believe(scores, prior).means
        error[name] = float(((means - truth)[::3] ** 2).mean())
    assert error["good"] < 0.5 * error["none"]
    assert error["bad"] == error["none"], "what contradicts the scores counts for nothing"
    noise = np.random.default_rng(0).normal(0, 1, good.shape)
    assert believe(scores, noise).means == pytest.approx(believe(scores).means, abs=1.0)


def test_a_prior_spends_less() -> None:
    """Whatever it says, no target has more runs than these."""
    grid = transfer_grid(10)
    truth = grid.test.mean((2, 3))
    prior = (truth - truth.mean(0)) / truth.std(0)
    noise = np.random.default_rng(0).normal(0, 1, prior.shape)
    counts = {}
    for name, known in (("none", None), ("prior", prior), ("noise", noise)):
        board = Board(grid.dev[..., :3], 3, prior=known)
        play_race(board, 0)
        counts[name] = np.isfinite(board.full).sum(-1)
    for name in ("prior", "noise"):
        assert (counts[name].sum(0) <= np.ceil(MOST_KNOWN * 21)).all()
        assert counts[name].sum() < counts["none"].sum()
    # A first run is worth what it promises, as any other is: the weak are parked for the strong.
    parked = {name: count == 0 for name, count in counts.items()}
    assert not parked["none"].any()
    assert parked["noise"].sum() > 100
    assert prior[parked["prior"]].mean() < -0.3 < 0.3 < prior[counts["prior"] == 3].mean()


def test_shrinking_solves_hendersons_equations() -> None:
    """By the whole matrix, which takes the cube of the candidates: the same but for rounding."""
    random = np.random.default_rng(0)
    precision = random.integers(0, 4, size=(40, 6)).astype(float)
    precision[:2] = 1.0
    values = np.where(precision > 0, random.normal(size=(40, 6)) + random.normal(size=(40, 1)), 0)
    means, variances, spread = race_model._shrink(values, precision)
    seen = precision > 0
    noise = 1 / np.where(seen, precision, 1.0)
    main, pair = 0.5, 1.0
    for _ in range(race_model._STEPS):
        weights = np.where(seen, 1 / (pair + noise), 0.0)
        by_target = weights / weights.sum(0)
        inverse = np.linalg.inv(np.diag(weights.sum(1) + 1 / main) - by_target @ weights.T)
        right = (weights * values).sum(1) - by_target @ (weights * values).sum(0)
        effects = inverse @ right
        levels = (by_target * (values - effects[:, None])).sum(0)
        rest = np.where(seen, values - levels - effects[:, None], 0.0)
        kept = np.where(seen, pair / (pair + noise), 0.0)
        left = pair * (1 - kept)
        main = max(float(effects @ effects + np.trace(inverse)) / len(values), 0.01)
        squares = np.where(seen, (kept * rest) ** 2 + left, 0.0).sum()
        pair = max(float(squares) / max(int(seen.sum()) - values.shape[1], 1), 0.05)
    assert np.allclose(means, levels + effects[:, None] + kept * rest, rtol=1e-12, atol=1e-12)
    whole = left + (1 - kept) ** 2 * np.diag(inverse)[:, None]
    assert np.allclose(variances, whole, rtol=1e-12, atol=1e-12)
    assert np.isclose(spread, main + pair, rtol=1e-12)
