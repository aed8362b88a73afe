"""Arms of a target: means, moderated variances, item parts, the probability to be best."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.arms import arms_of
from xstilts.scores.items import item_covariance
from xstilts.scores.moderation import estimate_prior
from xstilts.scores.variance import gain, item_part

SCORES = np.array([70.0, 71, 72.5, 74, 75, 73, 71, 70.5, 72.2, 77])
ARM_OF = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])


def test_a_gain_of_arms_is_the_gain_of_their_runs() -> None:
    outcomes = np.random.default_rng(0).normal(70, 20, (10, 200)) + SCORES[:, None]
    scores, covariance = outcomes.mean(1), item_covariance(outcomes)
    arms = arms_of(scores, ARM_OF, 4, baseline=0, covariance=covariance, num_items=200)
    own = [scores[arm == ARM_OF] for arm in range(4)]
    prior = estimate_prior(
        np.array([own[1].var(ddof=1), own[2].var(ddof=1), 0]), np.array([2, 2, 0])
    )
    assert arms.prior == prior
    for arm in (1, 2, 3):
        part = item_part(covariance, (arm == ARM_OF).nonzero()[0], np.arange(3))
        expected = gain(own[arm], own[0], item_variance=part, num_items=200, prior=prior)
        assert arms.gain(arm, 0) == expected
        # What ties and max-t see is the same difference, with the same noise of seeds and items.
        t, dof, _ = arms.t_over(0)
        assert t[arm] == pytest.approx(expected.gain / expected.variance**0.5)
        assert dof[arm] == pytest.approx(expected.dof)


def test_a_baseline_of_one_run_is_judged_by_the_candidates() -> None:
    arms = arms_of(SCORES[2:9], ARM_OF[2:9], 3, baseline=0)
    assert arms.known.all() and arms.prior is not None
    assert arms.gain(1, 0) == gain(SCORES[3:6], SCORES[2:3], prior=arms.prior)


def test_noise_of_items_is_divided_among_the_arms() -> None:
    noise = np.array([1.0, 4.0, 9.0, 2.0])
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 50, 20_000)
    outcomes = shared + np.sqrt(noise)[:, None] * generator.normal(0, 1, (4, 20_000))
    outcomes = np.repeat(outcomes, 2, axis=0)
    arms = arms_of(
        np.tile([1.0, 2.0], 4), np.repeat(np.arange(4), 2), 4, covariance=item_covariance(outcomes)
    )
    own = (arms.variances - arms.seed_variances) * 20_000
    assert own == pytest.approx(noise, rel=0.06)


def test_the_probability_to_be_best_is_that_of_the_draws() -> None:
    arms = arms_of(SCORES, ARM_OF, 4)
    generator = np.random.default_rng(2)
    draws = arms.means + np.sqrt(arms.variances) * generator.standard_t(arms.dof, (400_000, 4))
    expected = np.bincount(draws.argmax(1), minlength=4) / 400_000
    assert arms.p_best() == pytest.approx(expected, abs=0.005)


def test_an_arm_without_runs_is_one_of_which_nothing_is_known() -> None:
    arms = arms_of(SCORES, ARM_OF, 5)
    assert arms.known.tolist() == [True] * 4 + [False]
    chances = arms.p_best()
    assert np.isnan(chances[4])
    assert chances[:4].sum() == pytest.approx(1)
    with pytest.raises(ConfigError, match="got 0 and 3 runs"):
        arms.gain(4, 0)
    # One run each: nobody says what a variance is here.
    alone = arms_of(SCORES[:3], np.arange(3), 3)
    assert not alone.known.any()


def test_a_run_without_a_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 holes"):
        arms_of(np.array([1.0, np.nan]), np.array([0, 1]), 2)
