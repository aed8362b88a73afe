"""A launched sweep, opened again from its folder: its planner, and a workshop for its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xstilts.config.load import parse_stored
from xstilts.files import read_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places

if TYPE_CHECKING:
    from pathlib import Path

    from xstilts.run.workshop import Workshop


def planner_of(places: Places, launch: Path, with_plugins: bool = False) -> Planner:
    """The planner of a sweep, as a launch wrote its definition into its folder.

    Args:
        with_plugins: whether the modules that it names may be imported; stages that read their
            tasks are computed with them.

    Raises:
        ConfigError: it names modules that may not be imported.
    """
    resolved = read_json(launch / SWEEP)
    allowed = resolved.get("plugins", ()) if with_plugins else ()
    sweep = parse_stored(resolved, str(launch / SWEEP), None, allowed)
    inventory = Inventory.from_json(read_json(launch / INVENTORY)).under(places.storage)
    return Planner(sweep, inventory, read_json(launch / TARGET_POINTS))


def workshop_of(planner: Planner, places: Places, identity: str = "") -> Workshop:
    """What computes the sweep's stages, on the resources of one trial.

    Args:
        identity: of the storage, where another process has opened it.
    """
    # Torch takes seconds to import, and who only plans needs none.
    from xstilts.run.store import Store
    from xstilts.run.workshop import Workshop

    store = Store(places.storage, identity=identity)
    return Workshop(places.storage, store, planner.inventory, planner.sweep.resources)
