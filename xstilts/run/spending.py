"""That a sweep's budget has ended its search, written down by the launch that saw it.

What was spent is in the trials' records; this says that nothing more fitted, so that the sweep is
done until it is given more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xstilts.config.derive import searched
from xstilts.config.schema import Sweep
from xstilts.files import sha256_of, write_json
from xstilts.run.places import Places

SPENT = "spent.json"
"""In the folder of a launch: that the budget leaves no further trial of search."""


def cost_of(sweep: Sweep, metrics: Mapping[str, float]) -> float:
    """What a trial has spent of its sweep's budget: all that was computed for it, whenever."""
    assert sweep.budget is not None
    return metrics.get("cost/tokens" if sweep.budget.gpu_hours is None else "cost/gpu_hours", 0.0)


def write_spent(folder: Path, sweep: Sweep) -> None:
    """Write that nothing more of search fits, into the folder of a launch."""
    write_json(folder / SPENT, {"ended": _search_within(sweep)})


def is_spent(places: Places, sweep: Sweep) -> bool:
    """Whether the budget has ended search as the sweep is now: a larger one, more configurations,
    targets or seeds are worth another look."""
    found: dict[str, str] = places.latest(SPENT, {})
    return sweep.budget is not None and found.get("ended") == _search_within(sweep)


def _search_within(sweep: Sweep) -> str:
    """Stands for a search and its budget."""
    assert sweep.budget is not None
    return sha256_of([*searched(sweep), sweep.budget.model_dump(mode="json")])[:12]
