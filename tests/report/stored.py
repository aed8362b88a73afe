"""A storage whose one target is confirmed, for the forms of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.config.schema import Sweep
from xstilts.run.places import Places

from ..conftest import make_places, make_sweep
from .test_verdicts import stored

INTERMEDIATES = ("nli", "qa", "mix")
SEARCH = {"encoder": {"trials": 4}}


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
