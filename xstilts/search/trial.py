"""The Tune trainable: a module-level function that gets a few names and reads the rest.

Nothing large is pickled; the resolved sweep, the inventory and the points of the inner search lie
in the sweep's folder, which every worker sees.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from xstilts.plan.plan import Planner
from xstilts.run.places import Places
from xstilts.run.reopen import load_planner, workshop_of
from xstilts.run.stages import Workshop
from xstilts.run.trial import run_trial


def train_trial(config: dict[str, Any]) -> None:
    """Run one trial. Its own failure is a result, so that Tune repeats only what was killed."""
    # Workers read local files only; what is missing must fail at once, not try the network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    planner, workshop, trials = _workshop(config["storage"], config["sweep"])
    plan = planner.plan(config["trial"]["point"], config["trial"]["seed"])
    record = run_trial(plan, planner, workshop, trials / plan.trial_id)
    tune.report({"objective": record["objective"], "trial": plan.trial_id})


@lru_cache(maxsize=1)
def _workshop(storage: str, name: str) -> tuple[Planner, Workshop, Path]:
    """Kept between the trials of a warm worker: tokenizers and encoded rows stay open."""
    places = Places(Path(storage), name)
    planner = load_planner(places)
    return planner, workshop_of(planner, places), places.trials
