"""A storage whose records follow from what their items gave, and bundles of it, changed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.config.schema import Sweep
from xstilts.files import read_json, write_json
from xstilts.records import StageEntry
from xstilts.report.results import Results, load_results
from xstilts.run.costs import costs_of
from xstilts.run.places import Places
from xstilts.run.trial_record import averaged
from xstilts.scores.table import ChosenScores
from xstilts.study.bundle import write_bundle
from xstilts.study.bundle_reader import Bundle
from xstilts.study.contents import parts_of

from .stored import launched_places, planted, put_all, put_items, study_sweep

ITEMS = 100


def stored_results(root: Path, **changes: Any) -> Results:
    """A study of three languages and seeds: its scores are means over a hundred items."""
    sweep = study_sweep(
        {"seeds": 3}, languages={"xnli": ["en", "tr", "sw"]}, seeds=[0, 1, 2], **changes
    )
    places = launched_places(root, sweep)
    put_all(places, sweep, planted({"mnli_tr": 6, "mnli_sw": 6}))
    for path in sorted(places.trials.glob("*/record.json")):
        write_json(path, from_items(places, sweep, read_json(path)))
    return load_results(places)


def from_items(places: Places, sweep: Sweep, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose scores are those of items that are drawn about them, and whose averages and
    costs follow; the items are in the store."""
    hits = {
        row["language"]: _hits(row["value"], f"{record['trial']} {row['language']}")
        for row in record["scores"]
        if row["split"] != "dev"
    }
    put_items(places, record["trial"], "xnli", hits)
    scores = [
        row
        if row["split"] == "dev"
        else {**row, "value": 100 * hits[row["language"]].mean(), "n": ITEMS}
        for row in record["scores"]
    ]
    metrics, missing = averaged(sweep, ChosenScores(scores), sweep.targets, "search")
    costs = costs_of([StageEntry(**own) for own in record["stages"]], 0.0)
    metrics |= {**costs, "cost/care_s": 0.5}
    objective = metrics["dev/avg"]
    made = {"scores": scores, "metrics": metrics, "missing": missing, "objective": objective}
    return {**record, **made}


def bundle_of(results: Results, path: Path) -> Path:
    """The bundle of a sweep."""
    write_bundle(path, results.sweep.name, parts_of(results))
    return path


def changed(path: Path, to: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """A bundle with other parts, whose manifest and seal are made for them."""
    with Bundle(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.manifest.parts}
    change(parts)
    write_bundle(to, "s", parts.items())
    return to


def _hits(score: float, name: str) -> np.ndarray:
    """Right and wrong of every item: some are easier than others, in all runs."""
    seed = int.from_bytes(sha256(name.encode()).digest()[:4], "big")
    ease = np.random.default_rng(0).normal(0, 20, ITEMS)
    drawn = 100 * np.random.default_rng(seed).random(ITEMS)
    return (drawn < score + ease).astype(float)
