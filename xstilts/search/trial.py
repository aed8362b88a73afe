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

from xstilts.config.load import parse_sweep
from xstilts.files import read_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.stages import Workshop
from xstilts.run.store import Store
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
    resources = planner.sweep.resources
    workshop = Workshop(
        places.storage,
        Store(places.storage),
        planner.inventory,
        threads=resources.cpus_per_trial,
        uses_gpu=resources.gpus_per_trial > 0,
    )
    return planner, workshop, places.trials


def load_planner(places: Places) -> Planner:
    """The planner of a sweep that was launched, from its folder."""
    sweep = parse_sweep(read_json(places.sweep / SWEEP), str(places.sweep / SWEEP))
    inventory = Inventory.from_json(read_json(places.sweep / INVENTORY))
    return Planner(sweep, inventory, read_json(places.sweep / TARGET_POINTS))
