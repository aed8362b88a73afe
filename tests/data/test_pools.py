"""Pools in which nothing can be ranked are refused before anything runs; small ones are told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.hub_layout import Split, write_dataset
from xstilts.data.importers.ranked import FEATURES, MEWSLIX
from xstilts.data.pools import pool_notes, pool_problems
from xstilts.errors import ConfigError
from xstilts.run.inputs import take_inventory
from xstilts.tasks import lookup

from ..conftest import make_places, make_sweep

Row = dict[str, Any]
Write = Callable[..., Mapping[str, Path]]


def query(name: str, key: str) -> Row:
    return {"id": name, "query": f"mention {name}", "candidate": "", "keys": [key] if key else []}


def entity(key: str) -> Row:
    return {"id": key, "query": "", "candidate": f"entity {key}", "keys": [key]}


def pair(name: str, key: str) -> Row:
    return {**query(name, key), "candidate": f"entity {key}"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(queries: list[Row], entities: list[Row]) -> Mapping[str, Path]:
        trained = [pair(f"t{i}", f"Q{i % 3}") for i in range(12)]
        splits = [
            *(Split(x, "test", FEATURES, queries) for x in ("de", "en")),
            Split("entities", "pool", FEATURES, entities),
            *(Split("wikipedia_pairs", x, FEATURES, trained) for x in ("train", "validation")),
        ]
        folder = tmp_path / "mirror" / MEWSLIX
        write_dataset(folder, splits, "made for a test")
        return {MEWSLIX: folder}

    return put


def problems(folders: Mapping[str, Path]) -> list[str]:
    return [str(one) for one in pool_problems(folders, lookup("mewslix"), "test", ("de", "en"))]


def test_every_query_has_a_right_candidate(write: Write) -> None:
    """One whose entity is not published is not scored, and asks for none."""
    pool = [entity(f"Q{i}") for i in range(3)]
    queries = [query("m0", "Q1"), query("m1", "")]
    assert problems(write(queries, pool)) == []
    found = problems(write([*queries, query("m2", "Q9"), query("m3", "Q8")], pool))
    assert found[0] == (
        "data.root: mewslix: the pool has a right candidate for every query of test; got "
        '"m2" in de (and 1 more), Q9; import a pool that has it, or drop the queries'
    )
    assert len(found) == 2 and '"m2" in en' in found[1]


def test_a_pool_of_one_candidate_ranks_nothing(write: Write) -> None:
    (found,) = problems(write([query("m0", "Q0")], [entity("Q0")]))
    assert found.startswith("data.root: mewslix: a pool has two candidates at least; got 1;")


def test_another_number_than_published_is_no_official_figure() -> None:
    (note,) = pool_notes(3, lookup("mewslix"))
    assert note == (
        "mewslix: its pool has 3 candidates, published are 1,003,893: its scores are no official "
        "figure"
    )
    assert list(pool_notes(1_003_893, lookup("mewslix"))) == []
    assert list(pool_notes(13_014, lookup("lareqa"))) == []


def test_a_sweep_is_told_before_it_runs(write: Write, tmp_path: Path, tiny_model: Path) -> None:
    sweep = make_sweep(
        models={"m": {"path": str(tiny_model)}},
        data={"root": str(tmp_path / "mirror")},
        targets=["mewslix"],
        languages={"mewslix": ["de", "en"]},
    )
    places = make_places(tmp_path / "runs")
    write([query("m0", "Q1")], [entity("Q0"), entity("Q1")])
    inventory = take_inventory(sweep, places, tmp_path)
    assert any("its pool has 2 candidates" in note for note in inventory.notes)
    write([query("m0", "Q7")], [entity("Q0"), entity("Q1")])
    with pytest.raises(ConfigError, match="a right candidate for every query"):
        take_inventory(sweep, places, tmp_path)
