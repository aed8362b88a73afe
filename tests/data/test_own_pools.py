"""Pools of a sweep's own: what is wrong is said with file and line; what is right ranks the queries
of another target under a name of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.own_tasks import find_task
from xstilts.config.selection_notes import selection_notes
from xstilts.config.task_spec import PoolSpec
from xstilts.data import own_pools
from xstilts.data.hub_layout import Split, write_dataset
from xstilts.data.importers.ranked import FEATURES, MEWSLIX
from xstilts.data.inventory import Hashes
from xstilts.data.own_pools import check_own_pools, read_pool, told_pools, write_pool
from xstilts.errors import ConfigError
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, fingerprint
from xstilts.plan.trial_plan import TrialPlan
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.reopen import workshop_of
from xstilts.run.storage import open_storage
from xstilts.run.trial import run_trial
from xstilts.search.definition import define, settle
from xstilts.search.proposals import target_points
from xstilts.tasks import lookup
from xstilts.tracking.runs import trial_run

Row = dict[str, Any]


def entity(name: str) -> Row:
    return {"id": name, "candidate": f"entity {name}"}


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


WRONG: dict[str, tuple[list[Row], str]] = {
    "one candidate": ([entity("a")], "pools.few.files: a pool has two candidates at least; got 1"),
    "no row": ([], "few.jsonl:1: the file is empty"),
    "no text": (
        [entity("a"), {"id": "b", "text": "entity b"}],
        "few.jsonl:2: has no column 'candidate'; it has id, text; a candidate is `id` and",
    ),
    "a blank text": ([{"id": "a", "candidate": " "}], "few.jsonl:1: 'candidate' must have words"),
    "no id": ([{"id": "", "candidate": "x"}], "few.jsonl:1: a candidate must have an id"),
    "an id twice": (
        [entity("a"), entity("b"), entity("a")],
        'few.jsonl:3: an id stands once in a pool; got "a", as few.jsonl:1',
    ),
    "keys that are no texts": (
        [{**entity("a"), "keys": [1]}],
        "few.jsonl:1: 'keys' must be a text, or a list of texts; got [1]",
    ),
}


@pytest.mark.parametrize("rows, expected", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line(tmp_path: Path, rows: list[Row], expected: str) -> None:
    path = write(tmp_path / "few.jsonl", rows)
    _, problems = read_pool("few", PoolSpec(of="mewslix", files=str(path)))
    (found,) = (str(problem).replace(f"{tmp_path}/", "") for problem in problems)
    assert found.startswith(expected)


def test_a_path_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    spec = PoolSpec(of="mewslix", files=str(tmp_path / "x.jsonl"))
    expected = 'pools.few.files: names no file that is there; got "'
    assert [str(x)[: len(expected)] for x in read_pool("few", spec)[1]] == [expected]
    with pytest.raises(ConfigError, match="names no file that is there"):
        write_pool("few", spec, tmp_path, Hashes(tmp_path / "hashes.json"))


def test_a_candidate_is_known_by_its_id_where_it_has_no_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [entity("a"), {**entity("b"), "keys": ["q", "r"]}])
    (tmp_path / "b.csv").write_text("id,candidate,keys\nc,entity c,s\nd,entity d,\n")
    spec = PoolSpec(of="mewslix", files=(str(path), str(tmp_path / "*.csv")))
    rows, problems = read_pool("few", spec)
    assert problems == []
    assert [(row["id"], row["keys"]) for row in rows] == [
        *(("a", ["a"]), ("b", ["q", "r"])),
        *(("c", ["s"]), ("d", [])),
    ]


def test_it_is_written_once_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, hashes = tmp_path / "few.jsonl", Hashes(tmp_path / "hashes.json")
    spec = PoolSpec(of="mewslix", files=str(path))

    def written() -> Path:
        return write_pool("few", spec, tmp_path / "runs", hashes)["own:few/pool"]

    write(path, [entity("a"), entity("b")])
    first = written()
    with monkeypatch.context() as patch:
        patch.setattr(own_pools, "read_pool", lambda *_: pytest.fail("read again"))
        assert written() == first
    write(path, [entity("a"), entity("bb")])
    assert written() != first
    # A pool in the layout of the Hub is such a file too.
    again = PoolSpec(of="mewslix", files=str(first / "candidates" / "*.parquet"))
    assert read_pool("few", again)[0] == parquet.read_table(first / "candidates").to_pylist()


def query(name: str, key: str) -> Row:
    return {"id": name, "query": f"mention {name}", "candidate": "", "keys": [key]}


class Ranked:
    """A sweep that ranks the mentions of Mewsli-X in its pool and in one of its own, planned."""

    def __init__(self, folder: Path, model: Path, entities: str, targets: list[str]):
        pairs = [{**query(f"t{i}", f"Q{i % 3}"), "candidate": f"entity {i % 3}"} for i in range(12)]
        pool = [{**query(f"Q{i}", f"Q{i}"), "query": "", "candidate": f"x {i}"} for i in range(9)]
        queries = [query("m0", "Q0"), query("m1", "Q1")]
        splits = [
            *(Split(x, "test", FEATURES, queries) for x in ("de", "en")),
            Split("entities", "pool", FEATURES, pool),
            *(Split("wikipedia_pairs", x, FEATURES, pairs) for x in ("train", "validation")),
        ]
        write_dataset(folder / "mirror" / MEWSLIX, splits, "made for a test")
        sweep = {
            "name": "s",
            "benchmark": "custom",
            "recipe": {"name": "mini", "epochs": 1, "checks": 1, "batch_size": 4},
            "models": {"tiny": {"path": str(model)}},
            "data": {"root": "mirror"},
            "targets": targets,
            "languages": {target: ["de", "en"] for target in targets},
            "pools": {"few": {"of": "mewslix", "files": entities}},
        }
        (folder / "sweep.yaml").write_text(json.dumps(sweep))
        self.sweep, self.places = load_sweep(folder / "sweep.yaml"), Places(folder / "runs", "s")
        open_storage(self.places.storage)
        for made in (self.places.trials, *map(self.places.launch, (1, 2))):
            made.mkdir(parents=True, exist_ok=True)
        self.inventory = take_inventory(self.sweep, self.places, folder)
        self.planner = Planner(self.sweep, self.inventory, target_points(self.sweep))
        self.plan: TrialPlan = self.planner.plan({"model": "tiny", "intermediate": "none"}, 0)

    def evaluation(self, target: str) -> Evaluate:
        (group,) = (group for group in self.plan.target_sets if target in group.targets)
        return self.planner.evaluation(self.plan, target, group.cells[0])


Make = Callable[..., Ranked]


@pytest.fixture
def make(tmp_path: Path, tiny_model: Path) -> Make:
    def build(entities: str, targets: tuple[str, ...] = ("mewslix", "few")) -> Ranked:
        return Ranked(tmp_path, tiny_model, entities, list(targets))

    return build


def test_both_pools_are_ranked_by_one_trained_stage(make: Make, tmp_path: Path) -> None:
    """A trial for real: the other target's figures are what they are without it, and nothing that
    is shown of the pool can be taken for them."""
    write(tmp_path / "few.jsonl", [entity(f"Q{i}") for i in range(3)])
    both = make("few.jsonl")
    assert len(both.plan.training_stages) == 1
    folder = both.places.trials / both.plan.trial_id
    record = run_trial(both.plan, both.planner, workshop_of(both.planner, both.places), folder)
    assert record.state == "finished", record.error
    metrics = record.metrics
    assert metrics["mewslix/candidates/avg"] == 9 and metrics["few/candidates/avg"] == 3
    # Of three candidates none is below the third place.
    assert all(100 / 3 <= metrics[f"few/{language}"] <= 100 for language in ("de", "en"))
    (note,) = (note for note in selection_notes(both.sweep) if note.startswith("few"))
    assert note == "few: mewslix in a pool of the sweep's own, no official figure of mewslix"
    tags = trial_run(both.sweep, record, {}, ()).tags
    assert tags["noncomparable"] == "few: mewslix in a pool of the sweep's own"


def test_what_is_in_the_files_counts_and_nothing_else(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "few.jsonl", [entity(f"Q{i}") for i in range(3)])
    first, alone = make("few.jsonl"), make("few.jsonl", ("few",))
    assert first.evaluation("few") == alone.evaluation("few")
    assert first.evaluation("few").pool != first.evaluation("mewslix").pool
    parents = {fingerprint(first.evaluation(x).parent) for x in ("few", "mewslix")}
    assert len(parents) == 1
    write(tmp_path / "other.jsonl", [entity(f"Q{i}") for i in range(3)])
    assert fingerprint(make("other.jsonl").evaluation("few")) == fingerprint(
        first.evaluation("few")
    )
    write(tmp_path / "few.jsonl", [entity(f"Q{i}") for i in range(4)])
    more = make("few.jsonl")
    assert fingerprint(more.evaluation("few")) != fingerprint(first.evaluation("few"))
    assert fingerprint(more.evaluation("mewslix")) == fingerprint(first.evaluation("mewslix"))


def test_a_pool_without_a_right_candidate_is_refused(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "few.jsonl", [entity("Q0"), entity("Q2")])
    with pytest.raises(ConfigError) as raised:
        make("few.jsonl")
    first, *_ = str(raised.value).splitlines()
    assert first == (
        "pools.few.files: few: the pool has a right candidate for every query of test; got "
        '"m1" in de, Q1; add it to the files'
    )


def test_a_sweep_may_gain_one_whose_candidates_then_stay(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "few.jsonl", [entity(f"Q{i}") for i in range(3)])
    before = make("few.jsonl", ("mewslix",))
    places = before.places
    settled = settle(before.sweep, places, before.inventory)
    define(before.sweep, places, before.inventory, settled, places.launch(1))
    after = make("few.jsonl")
    assert settle(after.sweep, places, after.inventory).growth.targets == ("few",)
    define(after.sweep, places, after.inventory, settled, places.launch(2))
    (tmp_path / "few.jsonl").rename(tmp_path / "moved.jsonl")
    moved = make("moved.jsonl")
    assert not settle(moved.sweep, places, moved.inventory).growth
    write(tmp_path / "moved.jsonl", [entity(f"Q{i}") for i in range(4)])
    more = make("moved.jsonl")
    with pytest.raises(ConfigError, match="changed: own:few/pool"):
        settle(more.sweep, places, more.inventory)


def test_a_pool_is_told_with_the_files_of_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "few.jsonl", [entity("a"), entity("b")])
    sweep = {
        "name": "s",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"m": {"path": "builtin:mini"}},
        "targets": ["few"],
        "pools": {"few": {"of": "mewslix", "files": str(path)}},
    }
    parsed = parse_sweep(sweep, "here")
    assert check_own_pools(parsed) == []
    (line,) = told_pools(parsed)
    assert (line["task"], line["use"], line["rows"]) == ("few", "pool", 2)
    task = find_task(parsed, "few")
    assert task.head == "mewslix" and task.languages == lookup("mewslix").languages
    path.write_text("")
    with pytest.raises(ConfigError, match="the file is empty"):
        told_pools(parsed)
