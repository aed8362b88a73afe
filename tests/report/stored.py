"""A storage whose one target is confirmed, for the forms of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.config.schema import Sweep
from xstilts.files import read_json, write_json
from xstilts.records import SEARCH as SEARCHED
from xstilts.run.places import TARGET_POINTS, Places

from ..conftest import make_places, make_sweep
from .test_verdicts import stored

INTERMEDIATES = ("nli", "qa", "mix")
SEARCH = {"encoder": {"trials": 4}}
POINTS = ({"learning_rate": 8e-4}, {"learning_rate": 5e-4})


def confirmed_sweep(**changes: Any) -> Sweep:
    """Three intermediates and one target, in two languages."""
    return make_sweep(
        **{
            "intermediates": {name: {"tasks": ["mini_nli"]} for name in INTERMEDIATES},
            "targets": ["mini_xnli"],
            "languages": ["en", "qaa"],
            "seeds": [0, 1],
            "search": SEARCH,
            **changes,
        }
    )


def confirmed_places(folder: Path, sweep: Sweep, **changes: Any) -> Places:
    """Its records: two trials of search each, and five that confirm nli and none."""
    places = make_places(folder)
    stored(places, sweep, {"nli": 74, "none": 70}, **changes)
    return places


def searched_points(places: Places, points: Sequence[Mapping[str, Any]] = POINTS) -> None:
    """Have every trial of search be one that tried these points, each 3 points of dev below the one
    before it, and kept the first."""
    write_json(places.launch(1) / TARGET_POINTS, {"mini_xnli": points})
    for path in places.trials.glob("*/record.json"):
        record = read_json(path)
        if record.get("phase", SEARCHED) != SEARCHED:
            continue
        (dev,) = (row for row in record["scores"] if row["split"] == "dev")
        others = [row for row in record["scores"] if row["split"] != "dev"]
        cells = [
            {**dev, "cell": f"cell{i}", "value": dev["value"] - 3 * i, "is_chosen": i == 0}
            for i in range(len(points))
        ]
        write_json(path, {**record, "scores": [*cells, *others]})
