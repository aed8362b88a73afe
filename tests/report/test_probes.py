"""What the report, the page and Python show of probes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xstilts.files import read_json, write_json
from xstilts.report.documents import as_json, as_markdown
from xstilts.report.page import page
from xstilts.report.probes import alignment_pictures, probe_numbers, probe_table, probed_encoders
from xstilts.report.results import Results, load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.run.places import Places

from .stored import confirmed_places, confirmed_sweep

PROBES = {"read": ["alignment", "pseudo_perplexity"], "parallel": "mini_parallel"}
BEFORE = {
    "alignment/qaa": 10.0, "alignment/qab": 20.0,
    "alignment/qaa/00": 5.0, "alignment/qab/00": 7.0,
    "alignment/qaa/01": 10.0, "alignment/qab/01": 20.0,
    "pseudo_perplexity/qaa": 2.0, "pseudo_perplexity/en": 8.0,
    "fertility/qaa": 1.25,
}  # fmt: skip


def told(places: Places, trial: str, probes: dict[str, float], **changes: Any) -> None:
    path = places.trials / trial / "record.json"
    write_json(path, {**read_json(path), "probes": probes, "model": "m", **changes})


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = confirmed_places(tmp_path, confirmed_sweep(probes=PROBES, languages=["en", "qaa"]))
    for seed in (0, 1):
        told(places, f"none-c-s{seed}", BEFORE)
        told(places, f"nli-c-s{seed}", {k: 2 * v + seed for k, v in BEFORE.items()})
    told(places, "qa-c-s0", BEFORE)
    lacking = {key: value for key, value in BEFORE.items() if key != "alignment/qab"}
    told(places, "qa-c-s1", lacking, probe_holes={"language_identity": "why not"})
    return places


@pytest.fixture
def results(places: Places) -> Results:
    return load_results(places)


def test_an_intermediate_is_the_mean_of_its_trials_beside_the_pretrained(results: Results) -> None:
    none, nli, qa = probed_encoders(results)
    assert [one.intermediate for one in (none, nli, qa)] == ["none", "nli", "qa"]
    assert (none.trials, none.mean("alignment"), none.mean("pseudo_perplexity")) == (2, 15, 4)
    assert nli.mean("alignment") == 30.5 and nli.mean("alignment", 0) == 12.5
    assert nli.mean("anisotropy") is None and nli.layers("alignment") == [0, 1]
    # A language that one of the trials lacks is a hole of the mean.
    assert qa.mean("alignment") is None and qa.mean("alignment", 1) == 15


def test_a_language_that_only_others_have_is_a_hole_too(places: Places) -> None:
    told(places, "nli-c-s1", {k: v for k, v in BEFORE.items() if "qab" not in k})
    _, nli, _ = probed_encoders(load_results(places))
    assert nli.mean("alignment") is None and nli.mean("alignment", 0) is None
    assert nli.mean("fertility") == 1.875


def test_the_table_has_probes_by_encoders_and_says_what_is_not_there(results: Results) -> None:
    table = probe_table(results)
    assert table is not None and list(table.header) == ["probe", "before", "nli", "qa"]
    assert [list(row) for row in table.rows] == [
        ["fertility", "1.25", "3.00", "1.25"],
        ["alignment", "15.0", "30.5", "-"],
        ["pseudo_perplexity", "4.0", "8.6", "4.0"],
    ]
    assert "no language_identity of m: why not" in table.note
    assert "2 of none, 2 of nli, 2 of qa" in table.note and "anisotropy" not in table.note
    assert "**Probes of encoders**" in as_markdown(results)


def test_json_has_every_number_with_its_language_and_layer(results: Results) -> None:
    rows = json.loads(json.dumps(as_json(results)))["probes"]
    assert rows == probe_numbers(results)
    own = [row for row in rows if row["intermediate"] == "nli" and row["probe"] == "alignment"]
    assert {(row["language"], row["layer"]): row["value"] for row in own} == {
        (None, None): 30.5,
        ("qaa", None): 20.5, ("qab", None): 40.5,
        ("qaa", 0): 10.5, ("qab", 0): 14.5, ("qaa", 1): 20.5, ("qab", 1): 40.5,
    }  # fmt: skip
    assert {row["trials"] for row in rows} == {2} and {row["model"] for row in rows} == {"m"}


def test_the_page_shows_alignment_by_layer_before_and_after(results: Results) -> None:
    nli, qa = alignment_pictures(results)
    assert nli["rows"] == [(0, 6, 12.5), (1, 15, 30.5)] and (nli["name"], qa["name"]) == (
        "nli",
        "qa",
    )
    text = page(results)
    assert '<a href="#probes">' in text and "Alignment by layer before and after nli" in text
    assert text.count('class="curve of-none"') >= 2 and "why not" in text


def test_a_sweep_without_probes_shows_none(tmp_path: Path) -> None:
    places = confirmed_places(tmp_path, confirmed_sweep())
    results = load_results(places)
    assert probe_table(results) is None and "probes" not in as_json(results)
    assert 'id="probes"' not in page(results)
    frame = SweepResults(places).probes
    assert list(frame) and frame.empty


def test_in_python_they_are_a_frame(places: Places) -> None:
    frame = SweepResults(places).probes
    assert list(frame) == [
        "trial", "config_id", "intermediate", "model", "seed", "phase",
        "probe", "language", "layer", "value",
    ]  # fmt: skip
    assert len(frame) == 6 * len(BEFORE) - 1
    assert frame["layer"].dtype == "Int64" and frame["value"].dtype == "float64"
    assert isinstance(frame["probe"].dtype, pd.CategoricalDtype)
    own = frame.query("intermediate == 'nli' and probe == 'alignment' and layer.isna()")
    assert own.groupby("language", observed=True)["value"].mean().to_dict() == {
        "qaa": 20.5, "qab": 40.5
    }  # fmt: skip
