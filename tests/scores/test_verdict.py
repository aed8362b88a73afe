"""Verdicts of targets: each line of the table, what they stand on, and how long they take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.coverage import noise_target, seconds_of_verdicts
from xstilts.errors import ConfigError
from xstilts.scores.arms import arms_of
from xstilts.scores.collapse import collapse_rate, lowest_over_all_runs
from xstilts.scores.settling import seeds_to_settle
from xstilts.scores.variance import Gain
from xstilts.scores.verdict import Criteria, TargetRuns, Verdict, verdict, verdicts

NAMES = ("none", "mnli", "squad", "qqp", "ccg")
LEADERS = ("mnli", "squad", "qqp")


def target(
    means: dict[str, float],
    *,
    spread: float = 0.5,
    search: dict[str, float] | None = None,
    learnt: dict[str, int] | None = None,
    seeds: int = 5,
    leaders: tuple[str, ...] = LEADERS,
) -> TargetRuns:
    """A target searched by two runs an arm and confirmed by so many for leaders and `none`.

    `search` are search's means where they are others; of the arms in `learnt` only so many
    confirmation runs learnt, the rest score 33.
    """
    noise = spread * np.array([-1.2, -0.5, 0.1, 0.4, 1.2])[:seeds]
    arms, scores, number, confirms, well = [], [], [], [], []
    for arm, name in enumerate(NAMES):
        begin = (search or means).get(name, 70.0)
        runs = [(begin - spread / 2, 0, False, True), (begin + spread / 2, 1, False, True)]
        if name in (*leaders, "none"):
            # Each arm's runs come in another order: seeds have nothing in common.
            for seed, error in enumerate(np.roll(noise, arm)):
                did = seed < (learnt or {}).get(name, seeds)
                runs.append((means.get(name, 70.0) + error if did else 33.0, 2 + seed, True, did))
        for score, seed, fresh, did in runs:
            arms.append(arm), scores.append(score), number.append(seed)
            confirms.append(fresh), well.append(did)
    return TargetRuns(
        names=NAMES,
        arms=np.array(arms),
        seeds=np.array(number),
        scores=np.array(scores),
        learnt=np.array(well),
        confirms=np.array(confirms),
        leaders=leaders,
        hours=np.full(len(arms), 2.0),
    )


ALL = dict.fromkeys(NAMES, 70.0)


@pytest.mark.parametrize(
    ("word", "runs"),
    [
        ("best", target({"mnli": 75.0, "ccg": 60.0}, search={**ALL, "mnli": 75.0, "ccg": 60.0})),
        ("ties", target({"mnli": 75.0, "squad": 75.0})),
        ("harms", target({"mnli": 65.0, "squad": 65.0, "qqp": 65.0})),
        ("none", target({"mnli": 69.9}, spread=0.1)),
        ("within noise", target({"mnli": 70.6}, spread=1.5)),
        ("not confirmed", replace(target(ALL), leaders=())),
        ("not confirmed", target({"mnli": 75.0}, learnt={"none": 1})),
    ],
)
def test_each_line_of_the_table(word: str, runs: TargetRuns) -> None:
    assert verdict(runs).verdict == word


def test_a_verdict_says_what_it_stands_on() -> None:
    found = verdict(target({"mnli": 75.0, "squad": 75.2}))
    assert (found.best, found.score, found.none) == ("mnli", pytest.approx(75), pytest.approx(70))
    assert found.gain == pytest.approx(5) and found.gain_name == "gain"
    assert found.low is not None and found.high is not None
    assert found.low < 5 < found.high and found.low + found.high == pytest.approx(10)
    assert found.p_null is not None and found.p_null < 0.001
    assert found.p_best is not None and 0.1 < found.p_best < 0.5
    assert found.ties[:2] == ("mnli", "squad")
    assert (found.runs, found.seeds, found.hours_to_settle) == (5, 5, 0.0)
    assert found.collapsed == {"mnli": (0, 5), "none": (0, 5)}
    assert found.over_all is None


def test_search_alone_gives_a_search_gain() -> None:
    runs = target({}, search={**ALL, "mnli": 78.0}, leaders=())
    found = verdict(replace(runs, confirms=np.zeros(len(runs.arms), bool), leaders=("mnli",)))
    assert found.verdict == "not confirmed"
    assert found.gain_name == "search gain" and found.gain is not None
    assert (found.low, found.high, found.p_null, found.ties) == (None, None, None, ())
    assert found.hours_to_settle is not None and found.hours_to_settle > 0
    assert verdict(replace(runs, leaders=())) == Verdict("not confirmed")


def test_it_is_about_search_first_unless_another_is_shown_to_be_better() -> None:
    assert verdict(target({"mnli": 75.0, "squad": 75.4})).best == "mnli"
    other = verdict(target({"mnli": 70.0, "squad": 75.0, "qqp": 74.9}))
    assert other.best == "squad"
    alone = verdict(target({"squad": 75.0}, leaders=("squad", "mnli", "qqp")))
    assert other.low is not None and alone.low is not None
    assert other.low < alone.low  # its interval holds for all three at once
    assert verdict(target({"mnli": 72.0, "squad": 80.0})).best == "squad"
    # By chance higher is not shown to be better.
    assert verdict(target({"mnli": 70.1, "squad": 70.6}, spread=1.5)).best == "mnli"


def test_none_is_no_candidate_for_the_best() -> None:
    low = dict.fromkeys(NAMES[1:], 60.0)
    found = verdict(target({**low, "mnli": 65.0}))
    assert (found.verdict, found.best, found.ties) == ("harms", "mnli", ("mnli",))
    assert found.p_best is not None and found.p_best > 0.99
    near = verdict(target({**low, "mnli": 65.0, "ccg": 65.0}))
    assert near.ties == ("mnli", "ccg")


def test_what_search_left_behind_stays_in_the_set_until_it_is_excluded() -> None:
    near = verdict(target({"mnli": 75.0}, search={**ALL, "mnli": 76.0, "ccg": 74.5}))
    assert (near.verdict, near.ties) == ("ties", ("mnli", "ccg"))
    far = verdict(target({"mnli": 75.0}, search={**ALL, "mnli": 76.0, "ccg": 60.0}))
    assert far.ties == ("mnli",)


def test_the_two_looks_share_alpha() -> None:
    """Leaders leave with p below 0.0375, who was left behind with p below 0.0125."""
    far = {**ALL, "qqp": 60.0, "ccg": 60.0}
    both = ("mnli", "squad")
    # Of mnli, beside squad, p is 0.047 and 0.019.
    for ahead, ties in ((0.55, both), (0.7, ("squad",))):
        runs = target({"mnli": 75.0, "squad": 75.0 + ahead}, search=far, leaders=both)
        assert verdict(runs).ties == ties
    # Of ccg p is 0.022 and 0.007.
    for behind, ties in ((73.3, ("mnli", "ccg")), (72.6, ("mnli",))):
        runs = target({"mnli": 75.0}, search={**far, "ccg": behind}, leaders=("mnli",))
        assert verdict(runs).ties == ties


def test_a_gain_whose_interval_reaches_below_0_is_not_called_better() -> None:
    """Its p is one-sided: below 0.05 is not enough for two-sided 95 %."""
    found = verdict(target({"mnli": 70.6}, leaders=("mnli",)))
    assert found.p_null is not None and found.p_null < 0.05
    assert found.low is not None and found.low < 0
    assert found.verdict == "within noise"


def test_collapsed_runs_stand_beside_the_gain_and_not_in_it() -> None:
    runs = target({"mnli": 72.0}, learnt={"mnli": 4})
    found = verdict(runs)
    assert found.gain == pytest.approx(72 - 70 - 0.5 * 1.2 / 4, abs=0.4)
    assert found.collapsed == {"mnli": (1, 5), "none": (0, 5)}
    assert found.over_all is False
    # Where the baseline collapses and the candidate never does, it is better over all as well, if
    # the gain is large beside what a run that collapses loses on the average.
    runs = target({"mnli": 90.0}, learnt={"none": 2})
    for scores, is_sure in (([40.0, 50.0, 60.0], True), ([35.0, 40.0, 45.0], False)):
        runs.scores[~runs.learnt] = scores
        sure = verdict(runs)
        assert sure.low is not None and sure.none is not None
        least = lowest_over_all_runs(
            verdict_gain(sure), sure.none, collapse_rate(0, 5), collapse_rate(3, 5), scores[1]
        )
        assert sure.over_all is is_sure is (least > 0)


def verdict_gain(found: Verdict) -> Gain:
    """The gain of a verdict, as far as bounds go."""
    assert found.gain is not None and found.low is not None and found.high is not None
    return Gain(found.gain, found.low, found.high, 1.0, 1.0, 1.0, 0.0, 0.5)


def test_a_sweep_of_many_targets_asks_more_of_each() -> None:
    weak = target({"mnli": 70.9})
    assert verdict(weak).verdict in ("best", "ties")
    sweep = verdicts({"weak": weak, **{str(number): target(ALL) for number in range(8)}})
    assert sweep["weak"].verdict == "within noise"
    noisy = target({"mnli": 71.0}, spread=1.5)
    alone = verdict(noisy).hours_to_settle
    among = verdicts({"noisy": noisy, **{str(number): weak for number in range(8)}})["noisy"]
    assert alone is not None and among.hours_to_settle is not None
    assert 0 < alone < among.hours_to_settle


def test_hours_are_those_of_the_runs_that_are_missing() -> None:
    runs = target({"mnli": 70.6}, spread=1.5)
    arms = arms_of(runs.scores[runs.confirms], runs.arms[runs.confirms], len(NAMES), baseline=0)
    slow = verdict(replace(runs, hours=np.full(len(runs.arms), 4.0)))
    quick = verdict(runs)
    assert quick.gain is not None
    of_a_run = float((arms.seed_variances * arms.runs)[:2].sum())
    need = seeds_to_settle(quick.gain, seed_variance=of_a_run, item_variance=0.0)
    assert need is not None and need > 5
    # Of each seed that is missing two runs, of two hours or of four.
    assert (quick.hours_to_settle, slow.hours_to_settle) == ((need - 5) * 4, (need - 5) * 8)
    assert verdict(replace(runs, hours=None)).hours_to_settle is None


def test_why_nobody_knows_how_many_seeds_it_takes_is_said() -> None:
    runs = target({"mnli": 70.6}, spread=1.5)
    known = verdict(runs).settling
    assert known is not None and known.more and known.reason == ""
    assert verdict(replace(runs, hours=None)).settling == replace(known, hours=None)
    # Each arm's runs share an error of their own items, of which more seeds take nothing away.
    items = 4.0 * (runs.arms[:, None] == runs.arms)
    few = verdict(replace(runs, covariance=items, num_items=60))
    assert few.verdict == "within noise" and few.settling is not None
    assert few.settling.reason == "the items (60) are too few, whatever the number of seeds"
    wide = verdict(target({"mnli": 70.1}, spread=9.0)).settling
    assert wide is not None and wide.reason == "it takes more than 1,000"
    assert verdict(target({"mnli": 75.0, "squad": 75.0})).settling is None, "it is settled"


def test_what_too_few_runs_that_learnt_leave_open_takes_hours() -> None:
    runs = target({"mnli": 75.0}, search={**ALL, "mnli": 80.0}, learnt={"none": 1})
    found = verdict(runs)
    assert found.verdict == "not confirmed" and found.hours_to_settle
    # The gain is search's, not mixed with what confirmed.
    assert (found.score, found.none, found.gain) == (80, 70, 10)
    assert found.collapsed == {"mnli": (0, 5), "none": (4, 5)}


def test_items_widen_the_interval() -> None:
    runs = noise_target(np.random.default_rng(0), 5, 12)
    with_items, without = verdict(runs), verdict(replace(runs, covariance=None))
    assert with_items.gain == without.gain
    assert with_items.high is not None and without.high is not None
    assert with_items.high > without.high


def test_verdicts_of_the_largest_sweep_take_seconds() -> None:
    assert seconds_of_verdicts(targets=3) < 5  # a third of it; alone it takes less than one


def test_what_is_out_of_range_is_refused_in_one_line() -> None:
    runs = target(ALL)
    with pytest.raises(ConfigError, match="margin: it is in points, above 0; got -1"):
        verdict(runs, Criteria(margin=-1))
    with pytest.raises(ConfigError, match="alpha: it lies between 0 and 1; got 5"):
        verdicts({"xnli": runs}, Criteria(alpha=5))
    with pytest.raises(ConfigError, match="confidence: it lies between 0 and 1; got 95"):
        verdict(runs, Criteria(confidence=95))
    with pytest.raises(ConfigError, match="have none among them"):
        verdict(replace(runs, names=("a", "b", "c", "d", "e")))


def test_a_number_of_runs_that_hung_on_what_they_gave_is_a_look_of_its_own() -> None:
    """What excludes at one look does not where each number of runs has its part of alpha."""
    for score in np.arange(74.0, 66.0, -0.25):
        runs = target({"mnli": 75.0}, search={**ALL, "mnli": 76.0, "ccg": float(score)})
        raced = replace(runs, looks=4)
        if verdict(runs).ties != verdict(raced).ties:
            break
    assert {*verdict(runs).ties} < {*verdict(raced).ties}


def test_an_arm_without_a_run_may_be_the_best() -> None:
    runs = target({"mnli": 75.0}, search={**ALL, "mnli": 75.0, "ccg": 60.0})
    assert verdict(runs).verdict == "best"
    found = verdict(replace(runs, names=(*NAMES, "parked")))
    assert (found.verdict, found.best, found.ties) == ("ties", "mnli", ("mnli", "parked"))
