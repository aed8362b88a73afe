"""What a race knows of its storage's other sweeps: read once, dev alone, and none of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.report.test_standings import make, results_of
from xstilts.config.schema import Sweep
from xstilts.files import read_json, write_json
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.run.places import INVENTORY, PRIOR, SWEEP, TARGET_POINTS, Places
from xstilts.search.hints import Hints, known_cells
from xstilts.search.proposals import Proposal

from ..conftest import make_places

INVENTORY_OF_ALL = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, {}, {}, {})


def launched(root: Path, name: str, sweep: Sweep) -> Places:
    """A sweep with the records of `test_standings`, as its launch left it."""
    places = make_places(root, name)
    results_of(places, sweep)
    folder = places.launch(1)
    write_json(folder / SWEEP, sweep.model_dump(mode="json", by_alias=True))
    write_json(folder / INVENTORY, INVENTORY_OF_ALL.to_json())
    write_json(folder / TARGET_POINTS, {})
    return places


def test_finished_cells_of_other_sweeps_are_written_down_once(tmp_path: Path) -> None:
    sweep = make(prior="storage")
    launched(tmp_path, "other", make("all"))
    own = launched(tmp_path, "own", sweep)
    cells = known_cells(sweep, own, own.launch(1))
    assert {cell.sweep for cell in cells} == {"other"}, "a sweep's own cells are no prior"
    found = {(cell.tasks, cell.target): cell.dev for cell in cells}
    assert found == {
        (("mini_nli",), "mini_xnli"): pytest.approx(60.5),
        (("mini_qa",), "mini_xnli"): pytest.approx(30.5),
        (("mini_choice",), "mini_xnli"): 61.5,
        (("mini_nli",), "mini_udpos"): 71.5,
        (("mini_qa",), "mini_udpos"): 77.5,
    }, "without the baseline; means over seeds"
    written = read_json(own.launch(1) / PRIOR)
    # The storage grows; what the race decides by does not.
    launched(tmp_path, "later", make("all"))
    own.launch(2).mkdir()
    assert known_cells(sweep, own, own.launch(2)) == cells
    assert read_json(own.launch(1) / PRIOR) == written and not (own.launch(2) / PRIOR).exists()
    assert known_cells(make(), own, own.launch(2)) == [], "who does not ask knows nothing"
    assert len(known_cells(sweep, Places(tmp_path, "fresh"), own.launch(2))) == 15


def test_no_test_score_is_a_hint(tmp_path: Path) -> None:
    sweep = make(prior="storage")
    other, own = launched(tmp_path, "other", make("all")), launched(tmp_path, "own", sweep)
    before = known_cells(sweep, own, own.launch(1))
    (own.launch(1) / PRIOR).unlink()
    for path in other.trials.glob("*/record.json"):
        record = read_json(path)
        for row in record["scores"]:
            row["value"] = row["value"] if row["split"] == "dev" else 0.0
        write_json(path, record)
    assert known_cells(sweep, own, own.launch(1)) == before


def test_hints_are_the_mean_of_what_is_known_each_in_standard_deviations(tmp_path: Path) -> None:
    search = {"signals": ["retrieval", "probe"], "parallel": "mini_parallel", "prior": "storage"}
    sweep = make(**search)
    launched(tmp_path, "other", make("all"))
    own = launched(tmp_path, "own", sweep)
    proposals = [
        Proposal(place, name, {"model": "m", "intermediate": name})
        for place, name in enumerate(("nli", "qa", "choice"))
    ]
    hints = Hints(sweep, INVENTORY_OF_ALL, known_cells(sweep, own, own.launch(1)))
    found = hints.of(proposals)
    assert found is not None and found[:, 0].argsort().tolist() == [1, 0, 2]
    assert np.isfinite(found[2, 1]), "choice was run on no mini_udpos, and has its other target's"
    assert hints.of([]) is None
    assert Hints(make(), INVENTORY_OF_ALL).of(proposals) is None
