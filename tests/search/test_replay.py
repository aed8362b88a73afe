"""Replays of small grids with known answers; what is no grid is refused with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.transfer_grids import transfer_grid, write_grid
from xstilts.errors import ConfigError
from xstilts.search.policies import POLICIES
from xstilts.search.recorded import prior_of, read_grid
from xstilts.search.replay import Options, main, replay

HEADER = "candidate,target,seed,rung,dev,test,cost,shared_cost"
LINES = [
    f"{candidate},{target},{seed},1,{dev},{test},2,10"
    for candidate, dev, test in (("a", 70, 60), ("b", 50, 64), ("c", 40, 50))
    for target in ("x", "y")
    for seed in (0, 1, 2)
]
"""By dev a is the best, by test b: whoever chooses a has a regret of 4."""


def written(folder: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    path = folder / "grid.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_regret_and_costs_by_hand(tmp_path: Path) -> None:
    found = replay(read_grid(written(tmp_path, LINES)), ["all"], Options(seeds=2))["all"]
    assert found["regret"] == found["regret_replaced"] == 4
    assert found["runs"] == 3 * 2 * 2
    # Twelve runs at 2; three candidates with two seeds share 10 between both targets.
    assert found["cost"] == 12 * 2 + 6 * 10
    assert {name: one["chosen"] for name, one in found["targets"].items()} == {"x": "a", "y": "a"}
    assert found["targets"]["x"]["cost"] + found["targets"]["y"]["cost"] == found["cost"]
    assert found["targets"]["x"]["verdict"] is None and found["targets"]["x"]["gain"] is None


def test_a_choice_is_judged_by_all_seeds_and_seeds_drawn_again_can_err() -> None:
    grid = transfer_grid(7, candidates=9, targets=5)
    true = grid.test[:, :, -1].mean(-1)
    few = replay(grid, ["all"], Options(seeds=1))["all"]
    for place, (name, one) in enumerate(few["targets"].items()):
        chosen = grid.candidates.index(one["chosen"])
        assert one["regret"] == pytest.approx(true[:, place].max() - true[chosen, place]), name
    # Where dev is test, who draws every seed knows the truth; who draws some twice does not.
    known = replace(grid, dev=grid.test)
    every = replay(known, ["all"], Options(seeds=len(grid.seeds), replays=4))["all"]
    assert every["regret"] == 0 < every["regret_replaced"]


def test_all_policies_meet_the_same_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "under another name", POLICIES["all"])
    found = replay(transfer_grid(7), ["all", "under another name"], Options(seeds=1, replays=2))
    assert found["all"] == found["under another name"]


def test_ties_of_several_replays_are_those_of_half_or_more() -> None:
    found = replay(transfer_grid(3, candidates=9, targets=4), ["all"], Options(replays=4))["all"]
    for target, mean in found["targets"].items():
        each = [one["targets"][target]["ties"] for one in found["each"]]
        names = {name for ties in each for name in ties}
        half = sorted(name for name in names if sum(name in ties for ties in each) >= 2)
        assert mean["ties"] == half
    counts = [len(one["ties"]) for one in found["targets"].values()]
    assert sum(counts) > len(counts)


def test_confirmation_is_counted_and_judged_against_the_baseline(tmp_path: Path) -> None:
    grid = transfer_grid(0, candidates=5, targets=3)
    grid.dev[0] -= 20
    grid.dev[4] += 20
    options = Options(seeds=3, baseline="c00", confirm=(2, 4))
    found = replay(grid, ["all"], options)["all"]
    assert found["confirm_runs"] == 3 * (2 + 1) * 4
    assert found["runs"] == 3 * 5 * 3 + found["confirm_runs"]
    # Each run costs 1, each candidate with a seed 2; the same leader may serve several targets.
    assert found["confirm_cost"] >= found["confirm_runs"] + 2 * 2 * 4
    for target in found["targets"].values():
        assert target["chosen"] == "c04" and target["verdict"] == "best"
        assert target["ties"] == ["c04"]
        assert 20 < target["low"] < target["gain"] < target["high"]


def test_without_confirmation_a_gain_is_a_search_gain() -> None:
    found = replay(transfer_grid(1, candidates=4, targets=2), ["race"], Options(baseline="c01"))
    for target in found["race"]["targets"].values():
        assert target["verdict"] == "not confirmed"
        assert target["gain"] is not None and target["low"] is None
        assert target["chosen"] != "c01" and "c01" not in target["ties"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rungs", [(1.0,), (0.1, 0.3, 1.0)])
def test_policies_see_no_test_column(policy: str, rungs: tuple[float, ...]) -> None:
    grid = transfer_grid(2, candidates=9, targets=4, rungs=rungs, dev_noise=0.5)
    scrambled = np.random.default_rng(0).permutation(grid.test.ravel()).reshape(grid.test.shape)
    one = replay(grid, [policy])[policy]
    other = replay(replace(grid, test=scrambled), [policy])[policy]
    same = ("chosen", "ties", "runs", "cost")
    for target in one["targets"]:
        assert [one["targets"][target][name] for name in same] == [
            other["targets"][target][name] for name in same
        ]
    assert one["regret"] != other["regret"]


@pytest.mark.parametrize("policy", POLICIES)
def test_draws_are_determined_by_the_seed_and_within_the_limit(policy: str) -> None:
    grid = transfer_grid(3, candidates=9, targets=4)
    options = Options(seeds=2, replays=3, seed=5)
    found = replay(grid, [policy], options)
    assert found == replay(grid, [policy], options)
    each = found[policy]["each"]
    assert len(each) == 3
    assert found[policy]["regret"] == pytest.approx(np.mean([one["regret"] for one in each]))
    assert max(one["runs"] for one in each) <= 2 * 9 * 4
    if policy != "all":
        assert each[0]["targets"] != each[1]["targets"]


def test_halving_halves_over_seeds() -> None:
    found = replay(transfer_grid(4), ["halving", "all"])
    assert 21 * 21 < found["halving"]["runs"] < 0.8 * found["all"]["runs"]


def test_a_rung_may_be_absent(tmp_path: Path) -> None:
    grid = transfer_grid(5, candidates=6, targets=3, rungs=(0.1, 1.0))
    for array in (grid.dev, grid.test, grid.cost):
        array[2, 1, 0] = np.nan
    write_grid(grid, tmp_path / "grid.csv")
    read = read_grid(tmp_path / "grid.csv")
    assert np.isnan(read.dev[2, 1, 0]).all() and np.isfinite(read.dev[:, :, 1]).all()
    found = replay(read, list(POLICIES))
    assert all(np.isfinite(one["regret"]) for one in found.values())


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (LINES[:-1], "candidate c, target y, seed 2, rung 1: "),
        (LINES[:-3], "candidate c, target y, seed 0, rung 1: every candidate has full runs"),
        ([*LINES, "a,x,0,0.1,1,1,1,1"], "candidate a, target x, seed 1, rung 0.1: "),
        ([*LINES, LINES[0]], "line 20: a cell is recorded once; got candidate a, target x"),
        ([*LINES[:-1], "c,y,2,1,1,1,2,11"], "line 19, shared_cost: "),
        ([*LINES[:-1], "c,y,2,1,1,1,2,9"], "line 19, shared_cost: "),
        ([*LINES, "a,x,0,1.5,1,1,1,1"], "line 20, rung: "),
        ([*LINES, "a,x,0,0,1,1,1,1"], "line 20, rung: "),
        (
            [line.replace(",1,", ",0.5,", 1) for line in LINES if ",0,1," in line],
            "full runs, rung 1",
        ),
        ([*LINES, "a,x,0,0.5,nan,1,1,1"], "line 20, dev: "),
        ([*LINES, "a,x,0,0.5,1,inf,1,1"], "line 20, test: "),
        ([*LINES, "a,x,0,0.5,1,1,-1,1"], "line 20, cost: "),
        ([*LINES, "a,x,0"], "line 20: a line has a value for every column"),
        ([], "a grid has a row or more"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_place(
    tmp_path: Path, lines: list[str], place: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_grid(written(tmp_path, lines))
    assert f"{tmp_path / 'grid.csv'}" in str(error.value) and place in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "best"], "--policy: a policy is one of race"),
        (["--policy", "all", "--seeds", "4"], "no more than the grid's 3"),
        (["--policy", "all", "--confirm", "1,1"], "no more than the grid's 3"),
        (["--policy", "all", "--baseline", "none"], "--baseline: "),
        (["--policy", "all", "--replays", "0"], "--replays: "),
        (["--policy", "all", "--seeds", "0"], "--seeds: it is 1 or more; got 0"),
        (["--policy", "all", "--confirm", "2"], "--confirm: it is TOP,SEEDS, two whole numbers"),
        (["--policy", "all", "--confirm", "a,b"], "two whole numbers; got 'a,b'"),
    ],
)
def test_wrong_options_end_with_status_2(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(written(tmp_path, LINES)), *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) == 1


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """The csv module would take the last of them."""
    path = written(tmp_path, [f"{line},9" for line in LINES], f"{HEADER},dev")
    with pytest.raises(
        ConfigError, match="line 1: a column stands once; got two or more named dev"
    ):
        read_grid(path)


def test_the_command_prints_json_and_needs_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from xstilts.search.replay import main\n"
        "status = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules and 'ray' not in sys.modules\n"
        "sys.exit(status)"
    )
    arguments = [str(written(tmp_path, LINES)), "--policy", "race,halving", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["race", "halving"]
    assert found["race"]["targets"]["x"]["chosen"] == "a"


def test_full_runs_of_other_grids_are_known_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its candidates' places on a target, in whatever points; never its test scores."""
    study = [transfer_grid(number, like=(0, 0.9)) for number in range(3)]
    alone, informed = (
        replay(study[0], ["race"], Options(replays=2, prior=prior))["race"]
        for prior in ((), tuple(study[1:]))
    )
    assert informed["runs"] < 0.8 * alone["runs"]
    blind = [replace(one, test=0 * one.test) for one in study[1:]]
    again = replay(study[0], ["race"], Options(replays=2, prior=tuple(blind)))["race"]
    assert again == informed
    known = prior_of(study[0], [replace(study[1], dev=3 * study[1].dev + 7)])
    assert known is not None
    expected = study[1].dev[:, :, -1].mean(-1)
    assert known == pytest.approx((expected - expected.mean(0)) / expected.std(0))
    assert prior_of(study[0], []) is None

    paths = [tmp_path / f"{number}.csv" for number in range(2)]
    for grid, path in zip(study, paths, strict=False):
        write_grid(grid, path)
    assert main([str(paths[0]), "--policy", "race", "--prior", str(paths[1]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["race"]["runs"] < alone["runs"]


def test_of_a_cell_that_no_other_grid_has_the_candidates_mean_is_known() -> None:
    grid = transfer_grid(0, candidates=4, targets=3)
    other = replace(
        grid,
        targets=("t00", "t01", "elsewhere"),
        candidates=("c00", "c01", "c02", "new"),
    )
    known = prior_of(grid, [other])
    assert known is not None and np.isnan(known[3]).all()
    means = other.dev[:, :, -1].mean(-1)
    places = (means - means.mean(0)) / means.std(0)
    assert known[:3, :2] == pytest.approx(places[:3, :2])
    assert known[:3, 2] == pytest.approx(places[:3].mean(1))


def test_a_prior_is_another_grid_of_the_same_candidates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, LINES)
    other = tmp_path / "other.csv"
    write_grid(transfer_grid(0, candidates=3, targets=2), other)
    for prior, start in (
        (path, "--prior: a grid is no prior of itself"),
        (other, "--prior: a prior has candidates of the grid"),
        (tmp_path / "none.csv", f"{tmp_path / 'none.csv'}: a grid is a CSV"),
    ):
        assert main([str(path), "--policy", "race", "--prior", str(prior)]) == 2
        assert capsys.readouterr().err.startswith(start)
