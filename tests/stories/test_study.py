"""A study is registered before its first trial, run, and answered from what the runs left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from xstilts import open_results
from xstilts.files import sha256_of_file
from xstilts.study.answer import Answer

from .conftest import Bench

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
SHORT = (
    "targets=[mini_udpos]",
    "search.encoder.space={intermediate.epochs: {choice: [0.1]}, target.epochs: {choice: [0.1]}}",
    "intermediates.nli.budget={examples: 64}",
    "intermediates.qa.budget={examples: 64}",
)

FOURTH = Path(__file__).parents[2] / "sweeps" / "studies" / "mini" / "4_low_resource.yaml"
# The rows of a fifth and the encoder's steps of a tenth; as many steps of the target as whole.
A_TENTH = (
    "seeds=[0, 1, 2]",
    "study.seeds=3",
    "recipe.intermediate.epochs=5",
    "recipe.target.epochs=10",
    "intermediates.nli_mlm.budget={examples: 3200}",
)


def test_a_mini_study_at_a_tenth_is_answered_from_its_file(tmp_path: Path) -> None:
    world = ("--world", "study", "--out", str(tmp_path / "study_world"))
    size = ("--scale", "0.2", "--steps", "600")
    build = [sys.executable, "-m", "tools.mini.build", *world, *size]
    subprocess.run(build, check=True, cwd=Path(__file__).parents[2], timeout=600)
    bench = Bench(tmp_path)
    changes = [word for change in A_TENTH for word in ("--set", change)]
    bench.run("sweep", str(FOURTH), *changes, timeout_s=900)
    answer = TypeAdapter(Answer).validate_json(
        bench.run("report", "mini_study4", "--study", "--json")
    )
    assert answer.missing == () and {arm.runs for arm in answer.arms} == {3}
    primary = [one for one in answer.contrasts if one.standing == "primary"]
    assert [one.name for one in primary] == ["by_distance", "no_worse"]
    assert all(one.withheld == "" and one.adjusted is not None for one in primary)
    assert len(answer.contrasts) == 5, "the arms that should help are answered too"


def test_the_page_s_study_runs_and_is_answered(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(name: .*?)```", PAGE, re.DOTALL)
    (tmp_path / "study.yaml").write_text(text)
    bench = Bench(tmp_path)
    changes = [word for change in SHORT for word in ("--set", change)]
    told = bench.run("sweep", "study.yaml", *changes)
    folder = bench.storage / "sweeps/nli_or_qa"
    assert "The study is registered in" in told
    (registration,) = folder.glob("registration/*.json")
    records = bench.records("nli_or_qa")
    assert len(records) == 9
    first = min(record["started"] for record in records.values())
    assert registration.stat().st_mtime < first
    assert json.loads(registration.read_text())["trials_before"] == 0

    again = bench.run("sweep", "study.yaml", *changes)
    assert "everything is done already" in again and "is registered" not in again

    answer = TypeAdapter(Answer).validate_json(
        bench.run("report", "nli_or_qa", "--study", "--json")
    )
    assert answer == open_results(folder).study, "whoever computes it"
    assert answer.registered is not None and answer.registered.changed == ()
    assert answer.registered.digest == sha256_of_file(registration)
    over, harm = answer.contrasts
    assert (over.standing, harm.standing) == ("primary", "exploratory")
    assert (over.runs, over.withheld, answer.missing) == ((3, 3), "", ())
    assert over.variances.keys() == {"seed", "items"}, "outcomes were read"
    assert harm.seeds_needed is None or harm.seeds_needed > 1
    assert {arm.name: (arm.examples, arm.runs) for arm in answer.arms} == {
        "nli": (64, 3),
        "qa": (64, 3),
        "none": (0, 3),
    }
    text = bench.run("report", "nli_or_qa", "--study")
    assert max(map(len, text.splitlines())) <= 80 and answer.question[:40] in text

    packed = bench.run("bundle", "nli_or_qa", "--out", "study.zip")
    verified = bench.run("verify", "study.zip")
    digest = re.compile(r"sha256 of its manifest: (\w{64})")
    assert digest.findall(packed) == digest.findall(verified) != []
    assert "of 9 trials" in verified
