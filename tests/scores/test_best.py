"""The best intermediate for a target: selected on dev, shown on test, compared by one rule."""

from __future__ import annotations

import json
import random
from statistics import stdev

import pytest

from xstilts.scores.best import TrialScores, best_for, entries_for

TARGET = "mini_xnli"


def trial(
    config: str,
    dev: float,
    score: float,
    intermediate: str = "nli",
    seed: int = 0,
    collapsed: tuple[str, ...] = (),
) -> TrialScores:
    name = f"{intermediate}-{config}-s{seed}"
    dev_of, scores = {TARGET: dev}, {TARGET: score}
    return TrialScores(name, config, intermediate, "mini", seed, dev_of, scores, collapsed)


def ranking(*trials: TrialScores, num_seeds: int = 1) -> list[str]:
    return [entry.config for entry in entries_for(trials, TARGET, TARGET, num_seeds)]


def test_highest_dev_wins_not_the_highest_score() -> None:
    trials = [trial("a", dev=70, score=90), trial("b", dev=80, score=60)]
    best = best_for(trials, TARGET, TARGET, 1)
    assert best is not None
    assert (best.best.config, best.best.dev, best.best.score) == ("b", 80, 60)
    assert (best.candidates, best.baseline_candidates) == (2, 0)
    assert best.baseline is None and best.gain is None


def test_baseline_is_chosen_by_the_same_rule() -> None:
    trials = [
        trial("a", dev=80, score=60),
        trial("b", dev=50, score=70, intermediate="none"),
        trial("c", dev=55, score=40, intermediate="none"),
    ]
    best = best_for(trials, TARGET, TARGET, 1)
    assert best is not None and best.baseline is not None
    assert (best.best.config, best.baseline.config) == ("a", "c")
    assert best.gain == 20
    assert (best.candidates, best.baseline_candidates) == (3, 2)


def test_baseline_may_be_the_best() -> None:
    trials = [trial("a", dev=80, score=60), trial("b", dev=81, score=50, intermediate="none")]
    best = best_for(trials, TARGET, TARGET, 1)
    assert best is not None
    assert best.best == best.baseline and best.gain == 0


def test_configuration_is_the_mean_of_its_seeds() -> None:
    trials = [trial("a", 70, 50, seed=0), trial("a", 80, 60, seed=1)]
    (entry,) = entries_for(trials, TARGET, TARGET, 2)
    assert (entry.dev, entry.score, entry.seeds) == (75, 55, 2)
    assert entry.spread == pytest.approx(stdev([50, 60]))
    (single,) = entries_for(trials[:1], TARGET, TARGET, 1)
    assert single.spread is None


def test_configuration_without_all_its_seeds_is_no_candidate() -> None:
    lucky = trial("a", 99, 99)
    whole = [trial("b", 50, 50), trial("b", 50, 50, seed=1)]
    assert ranking(lucky, *whole, num_seeds=2) == ["b"]
    assert best_for([lucky], TARGET, TARGET, 2) is None


def test_same_seed_twice_is_one_replicate() -> None:
    assert ranking(trial("a", 99, 99), trial("a", 99, 99), num_seeds=2) == []


def test_collapsed_runs_count_and_are_told_apart() -> None:
    """To leave them out would choose among configurations, and judge them, by the outcome."""
    trials = [
        trial("a", 60, 60, collapsed=("mini_udpos",)),
        trial("a", 60, 60, seed=1),
        trial("b", 90, 80),
        trial("b", 20, 10, seed=1, collapsed=(TARGET,)),
        trial("c", 5, 3, collapsed=(TARGET,)),
        trial("c", 5, 5, seed=1, collapsed=(TARGET,)),
    ]
    entries = entries_for(trials, TARGET, TARGET, 2)
    found = [(e.config, e.dev, e.score, e.learnt, e.collapsed, e.seeds) for e in entries]
    assert found == [
        ("a", 60, 60, 60, 0, 2),
        ("b", 55, 45, 80, 1, 2),
        ("c", 5, 4, None, 2, 2),
    ]


def test_trial_without_the_scores_is_left_out() -> None:
    no_dev = TrialScores("x", "x", "nli", "mini", 0, {}, {TARGET: 99.0})
    no_score = TrialScores("y", "y", "nli", "mini", 0, {TARGET: 99.0}, {})
    assert ranking(no_dev, no_score) == []
    assert best_for([], TARGET, TARGET, 1) is None


def test_retrieval_is_selected_on_what_it_is_told() -> None:
    trials = [
        TrialScores(config, config, "nli", "mini", 0, {"avg": dev}, {"mini_tatoeba": 50.0 - dev})
        for config, dev in (("0", 10.0), ("1", 20.0))
    ]
    best = best_for(trials, "mini_tatoeba", "avg", 1)
    assert best is not None
    assert (best.best.config, best.selected_on) == ("1", "avg")


def test_ties_do_not_hang_on_the_order_of_trials() -> None:
    trials = [trial(config, 70, score) for config, score in (("c", 3), ("a", 1), ("b", 2))]
    shuffle = random.Random(0)
    for _ in range(6):
        shuffle.shuffle(trials)
        assert ranking(*trials) == ["a", "b", "c"]


def test_line_is_json() -> None:
    trials = [trial("a", 80, 60), trial("b", 50, 40, intermediate="none")]
    best = best_for(trials, TARGET, TARGET, 1)
    assert best is not None
    line = json.loads(json.dumps(best.to_json()))
    assert (line["target"], line["gain"], line["status"]) == (TARGET, 20, "search")
    assert line["best"]["config"] == "a" and line["baseline"]["intermediate"] == "none"
