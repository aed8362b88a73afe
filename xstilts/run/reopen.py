"""A launched sweep, opened again from its folder: its planner, and a workshop for its stages."""

from __future__ import annotations

from xstilts.config.load import parse_sweep
from xstilts.files import read_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.stages import Workshop
from xstilts.run.store import Store


def load_planner(places: Places) -> Planner:
    """The planner of a sweep that was launched."""
    sweep = parse_sweep(read_json(places.sweep / SWEEP), str(places.sweep / SWEEP))
    inventory = Inventory.from_json(read_json(places.sweep / INVENTORY))
    return Planner(sweep, inventory, read_json(places.sweep / TARGET_POINTS))


def workshop_of(planner: Planner, places: Places) -> Workshop:
    """What computes the sweep's stages, on the resources of one trial."""
    return Workshop(
        places.storage, Store(places.storage), planner.inventory, planner.sweep.resources
    )
