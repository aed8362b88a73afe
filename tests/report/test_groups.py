"""Gains by groups of languages: means of the same cells, terciles, correlations, and holes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import xstilts
from tests.benchmarks.results import write_storage
from xstilts.errors import ConfigError
from xstilts.report.cells import cells
from xstilts.report.groups import (
    MEAN,
    ROWS,
    column_of,
    group_rows,
    group_table,
    grouped,
    groups_of,
)
from xstilts.report.latex import latex_tables
from xstilts.report.page import page
from xstilts.report.results import Results, load_results
from xstilts.run.places import Places
from xstilts.tasks.languages import UNKNOWN

from ..conftest import make_sweep
from .stored import confirmed_places, confirmed_sweep


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Twelve trials of five intermediates on XTREME's nine targets in all languages."""
    folder = write_storage(tmp_path_factory.mktemp("storage"), 12, 0)
    return load_results(Places(folder.parents[1], folder.name))


def cell(value: float, gain: float | None = None) -> dict[str, Any]:
    return {"value": value, "gain": gain, "phase": "search"}


@pytest.mark.parametrize("by", ["family", "script", "joshi_class"])
def test_means_are_those_of_the_cells(results: Results, by: str) -> None:
    table = xstilts.languages()
    frame = pd.DataFrame([one for one in cells(results) if one["language"]])
    frame["group"] = frame["language"].map(table[by]).astype("string").fillna(UNKNOWN)
    wanted = frame.groupby(["target", "group", "intermediate"])[["value", "gain"]].mean()
    rows = [r for r in group_rows(grouped(results, by), by) if r["group"] not in ("", MEAN)]
    assert len(rows) == len(wanted)
    for row in rows:
        expected = wanted.loc[row["target"], row["group"], row["intermediate"]]
        assert row["value"] == pytest.approx(expected["value"])
        gain = np.nan if row["gain"] is None else row["gain"]
        assert gain == pytest.approx(expected["gain"], nan_ok=True)
    # Families count alike in the mean of groups, however many languages they have.
    (xnli,) = (one for one in grouped(results, by) if one.target == "xnli")
    *groups, mean = xnli.groups
    assert mean.name == MEAN and len(mean.languages) == 15
    assert mean.values["mnli"] == pytest.approx(np.mean([one.values["mnli"] for one in groups]))


def test_a_number_divides_into_terciles_and_is_correlated(results: Results) -> None:
    (xnli,) = (one for one in grouped(results, "c_wals") if one.target == "xnli")
    assert [one.name for one in xnli.groups[:3]] == [
        "0.1261 to 0.397",
        "0.4341 to 0.4534",
        "0.4766 to 0.7755",
    ]
    assert [set(one.languages) for one in xnli.groups[:3]] == [
        {"th", "vi", "zh", "en", "de"},
        {"fr", "es", "el", "ru"},
        {"bg", "hi", "sw", "tr"},
    ]
    assert (xnli.groups[3].name, set(xnli.groups[3].languages)) == (UNKNOWN, {"ar", "ur"})
    assert not {"ar", "ur"} & set(xnli.groups[4].languages), "no mean of groups holds what is not"
    table = xstilts.languages()["c_wals"].dropna()
    gains = {
        one["language"]: one["gain"]
        for one in cells(results)
        if (one["target"], one["intermediate"]) == ("xnli", "mnli") and one["language"] in table
    }
    rank = spearmanr([table[code] for code in gains], list(gains.values()))[0]
    assert xnli.ranks["mnli"] == (pytest.approx(rank), 13)
    (row,) = (
        row
        for row in group_rows([xnli], "c_wals")
        if not row["group"] and row["intermediate"] == "mnli"
    )
    assert (row["n"], row["rank_correlation"]) == (13, pytest.approx(rank))
    assert tuple(row) == ROWS
    assert not grouped(results, "family")[0].ranks, "families have no order"


def test_equal_numbers_are_in_one_group() -> None:
    codes = ("en", "de", "ar", "zh", "ja", "fr", "es")  # all of class 5
    arms = {"none": {code: cell(50) for code in codes}}
    found = groups_of(make_sweep(), "mini_xnli", arms, "joshi_class")
    assert [one.name for one in found.groups] == ["5"]
    found = groups_of(make_sweep(), "mini_xnli", arms, "c_wals_chapters")
    sizes = [len(one.languages) for one in found.groups if one.name != MEAN]
    assert [one.name for one in found.groups] == ["5 to 26", "27", "28", MEAN] and sizes == [
        3,
        3,
        1,
    ]


def test_a_language_that_an_intermediate_lacks_is_in_no_mean() -> None:
    arms = {
        "none": {"de": cell(50), "fr": cell(90), "tr": cell(40)},
        "nli": {"de": cell(54, 4.0), "tr": cell(40, None)},
    }
    found = {one.name: one for one in groups_of(make_sweep(), "mini_xnli", arms, "family").groups}
    assert found["Indo-European"].languages == ("de",)
    assert found["Indo-European"].values == {"none": 50, "nli": 54}
    assert found["Indo-European"].gains["nli"] == 4
    # A hole in a group is one of its mean, and of the mean of groups.
    assert found["Turkic"].gains["nli"] is None and found[MEAN].gains["nli"] is None
    assert found[MEAN].values == {"none": 45, "nli": 47}


def test_seen_is_that_of_the_encoder(results: Results) -> None:
    (udpos,) = (one for one in grouped(results, "seen") if one.target == "udpos")
    seen, unseen = udpos.groups[:2]
    assert (seen.name, len(seen.languages)) == ("seen", 32)
    assert (unseen.name, unseen.languages) == ("not seen", ("yo",)), "not in XLM-R's CC-100"
    arms = {"none": {"de": cell(50), "yo": cell(20)}}
    paths = ("FacebookAI/xlm-roberta-base", "builtin:mini", "google-bert/bert-base-cased")
    models = [{"path": path} for path in paths]
    both = make_sweep(models={"a": models[0], "b": models[1]})
    names = [one.name for one in groups_of(both, "mini_xnli", arms, "seen").groups]
    assert names == ["not seen", "seen by some", MEAN] or names == [
        "seen by some",
        "not seen",
        MEAN,
    ]
    other = make_sweep(models={"a": models[0], "b": models[2]})
    (group,) = groups_of(other, "mini_xnli", arms, "seen").groups
    assert (group.name, group.languages) == (UNKNOWN, ("de", "yo"))


def test_another_phase_than_that_of_none_is_a_hole(tmp_path: Path) -> None:
    results = load_results(confirmed_places(tmp_path, confirmed_sweep()))
    (found,) = grouped(results, "family")
    table = group_table(found, "family")
    rows = {row[0]: list(row[1:]) for row in table.rows}
    assert list(table.header) == ["family", "n", "none", "nli", "qa", "mix"]
    assert rows["Indo-European"] == ["1", "70.0", "+4.0", "-", "-"], "qa and mix are of search"
    assert "confirm's runs" in table.note and "en, in which the target is trained" in table.note
    assert [r["phase"] for r in group_rows([found], "family")][:4] == [
        "confirm",
        "confirm",
        "search",
        "search",
    ]


def test_page_and_latex_have_the_same_table(results: Results) -> None:
    tables = {one.target: group_table(one, "c_wals") for one in grouped(results, "c_wals")}
    html, tex = page(results, "c_wals"), latex_tables(results, "c_wals")
    assert "<h3>By c_wals</h3>" in html and "<h3>By" not in page(results)
    for target, table in tables.items():
        assert f"<caption>{table.title}</caption>" in html
        text = tex[f"by-c_wals-{target}"]
        for row in table.rows:
            assert f'<th scope="row">{row[0]}</th>' in html
            assert all(f"${x}$" in text if x != "-" else "--" in text for x in row[3:])
    assert not [name for name in latex_tables(results) if name.startswith("by-")]


def test_csv_reads_back(results: Results) -> None:
    from xstilts.report.table import csv_text

    rows = group_rows(grouped(results, "joshi_class"), "joshi_class")
    text = csv_text(ROWS, [list(row.values()) for row in rows])
    read = list(csv.DictReader(io.StringIO(text)))
    assert len(read) == len(rows) and read[0]["languages"] == rows[0]["languages"]
    assert float(read[1]["value"]) == rows[1]["value"]


def test_a_wrong_column_is_one_line_with_the_nearest() -> None:
    assert column_of("class") == "joshi_class" and column_of("seen") == "seen"
    with pytest.raises(ConfigError) as error:
        column_of("famly")
    line = str(error.value)
    assert line.startswith('--by: unknown column of the languages; got "famly"; did you mean "fam')
    assert "\n" not in line
