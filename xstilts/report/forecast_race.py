"""What a race is expected to train, beside what all runs would: stages, and intermediate examples.

How many runs a race has hangs on what they give. What is expected are bounds: the policy's
constants say how many runs a target has beyond each candidate's first, and targets may want further
runs of the same candidates, which then share intermediate stages, or each of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from xstilts.config.derive import num_configurations, num_racing
from xstilts.config.schema import Sweep
from xstilts.plan.stage import Train
from xstilts.plan.trial_plan import TrialPlan


def raced(sweep: Sweep, name: str, bounds: Mapping[str, int]) -> dict[str, Any]:
    """What a race is expected to need of a class of stages, as shares of what all runs would.

    A candidate has its first run on every target - with lower rungs as few as those that a target
    opens with - and so many further ones on average as the policy's constants say; the baseline,
    one a model, has all.
    """
    from xstilts.search.race import HINTED_OPENING, LEAST, MOST  # imports scipy

    seeds, configs = len(sweep.seeds), num_configurations(sweep)
    racing, baselines = num_racing(sweep), configs - num_racing(sweep)
    opening = min(HINTED_OPENING, racing) if sweep.search.lower_rungs else racing
    is_encoder = name == "intermediate"
    expected = []
    for bound, share, first in (("least", LEAST, opening), ("most", MOST, racing)):
        further = ceil(share * racing)
        if is_encoder and share == MOST:
            further *= len(sweep.targets)
        runs = first + min(further, racing * (seeds - 1))
        own, all_own = (runs, racing) if is_encoder else (baselines * seeds + runs, configs)
        expected.append(round(bounds[bound] * own / max(all_own * seeds, 1)))
    return {"least": expected[0], "most": bounds["most"], "expected": expected}


def short_stages(sweep: Sweep, stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of the lowest rung of a race, in a list of one; empty where all runs are whole.
    Each candidate runs there once; where that fails, at the next."""
    racing, configs = num_racing(sweep), num_configurations(sweep)
    if not sweep.search.lower_rungs or not racing:
        return []
    seeds = len(sweep.seeds)
    cells = stages["target"]["most"] // max(configs * seeds, 1)
    encoders = stages["intermediate"]["most"] // seeds
    return [
        {
            "rung": sweep.search.lower_rungs[0],
            "intermediate": {"least": encoders, "most": encoders},
            "target": {"least": racing * cells, "most": racing * cells},
        }
    ]


def examples_of(
    sweep: Sweep,
    example: Mapping[str, TrialPlan],
    stages: Mapping[str, Any],
    short: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Examples that intermediates train in search, every one counted as the mean of the candidates:
    if each target and point trained its own (`alone`), with what trials share (`shared`), and of a
    race what is expected, `least` to `most`."""
    drawn = [
        sum(part.examples for part in plan.encoder.parts)
        for plan in example.values()
        if isinstance(plan.encoder, Train)
    ]
    mean = sum(drawn) / max(len(drawn), 1)
    own = stages["intermediate"]
    (plan, *_) = example.values()
    each = sum(max(len(group.cells), 1) * len(group.targets) for group in plan.target_sets)
    trials = num_racing(sweep) * len(sweep.seeds)
    found: dict[str, Any] = {
        "alone": round(trials * each * mean),
        "shared": round(own["most"] * mean),
    }
    if sweep.search.is_race:
        lower = sum(one["rung"] * one["intermediate"]["most"] for one in short)
        low, high = (round((count + lower) * mean) for count in own["expected"])
        found |= {"race": True, "least": low, "most": high}
    return found
