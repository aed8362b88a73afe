"""A sweep whose target and intermediate are the user's own files, on the miniature encoder.

Whether a clause of the miniature benchmark names a colour, learnt in English and asked in a
constructed language too; before it, entailment from a JSON-lines file.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from xstilts import mini
from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.errors import ConfigError
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.search.definition import Settled, define, settle
from xstilts.search.proposals import target_points

pytestmark = pytest.mark.slow

COLOURS = {"red", "blue", "green", "brown", "black", "white", "yellow"}
TRAINED, COMPARED = 480, 160

SWEEP = """
name: colours
benchmark: custom
recipe: mini
models: {mini: {path: "builtin:mini"}}
tasks:
  coloured:
    kind: sentence
    files: {train: data/train.csv, test: {en: data/en.tsv, qaa: "data/qaa-*.jsonl"}}
    columns: {text: clause, label: stars}
    labels: {1: plain, 5: coloured}
    metrics: [accuracy, f1_macro, mcc]
  entails:
    kind: pair
    files: {train: data/nli.jsonl}
    columns: {premise: a, hypothesis: b, label: gold}
    labels: [entailment, neutral, contradiction]
intermediates:
  entails: {tasks: [entails]}
targets: [coloured]
search:
  encoder:
    space: {target.epochs: {choice: [3]}, intermediate.epochs: {choice: [1]}}
"""


def rows_of(language: str, split: str) -> list[dict[str, Any]]:
    path = mini.data_path() / "xstilts/mini_xnli" / language / f"{split}-00000-of-00001.parquet"
    return pq.read_table(path).to_pylist()


def stars(clause: str) -> int:
    return 5 if COLOURS & set(clause.rstrip(".").split()) else 1


def write_files(folder: Path) -> None:
    """The files of both tasks; the test sets are translations of each other."""
    folder.mkdir(parents=True)
    tests = {x: [row["premise"] for row in rows_of(x, "test")] for x in ("en", "qaa")}
    rows = rows_of("en", "train")
    clauses = list(dict.fromkeys(row["premise"] for row in rows))
    clauses = [clause for clause in clauses if clause not in tests["en"]]
    with (folder / "train.csv").open("w", newline="") as stream:
        table = [(clause, stars(clause)) for clause in clauses[:TRAINED]]
        csv.writer(stream).writerows([("clause", "stars"), *table])
    lines = [f"{clause}\t{stars(clause)}\n" for clause in tests["en"]]
    (folder / "en.tsv").write_text("clause\tstars\n" + "".join(lines))
    pairs = list(zip(tests["qaa"], map(stars, tests["en"]), strict=True))
    for number, some in enumerate((pairs[:100], pairs[100:])):
        records = [json.dumps({"clause": clause, "stars": label}) for clause, label in some]
        (folder / f"qaa-{number}.jsonl").write_text("\n".join(records))
    names = ("entailment", "neutral", "contradiction")
    (folder / "nli.jsonl").write_text(
        "\n".join(
            json.dumps({"a": r["premise"], "b": r["hypothesis"], "gold": names[r["label"]]})
            for r in rows[-COMPARED:]
        )
    )


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@dataclass
class Run:
    """A finished trial of the sweep, and where it is."""

    folder: Path
    record: dict[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / "sweep.yaml"

    @property
    def storage(self) -> Path:
        return self.folder / "runs"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    write_files(folder / "data")
    (folder / "sweep.yaml").write_text(f"{SWEEP}storage: {folder / 'runs'}\n")
    assert "valid" in call("validate", str(folder / "sweep.yaml")).output
    point = ["--point", "{intermediate: entails}", "--json"]
    found = Run(folder, json.loads(call("run", str(folder / "sweep.yaml"), *point).stdout))
    sweep = load_sweep(found.file)  # what `export` opens is a sweep that was launched
    places = Places.of(sweep)
    settled = Settled(target_points(sweep))
    places.launch(1).mkdir(parents=True)
    define(sweep, places, take_inventory(sweep, places), settled, places.launch(1))
    return found


def test_it_learns_in_english_and_transfers(run: Run) -> None:
    metrics = run.record["metrics"]
    assert metrics["coloured/en"] > 90 and metrics["coloured/qaa"] > 80
    assert metrics["coloured/avg"] == pytest.approx(
        (metrics["coloured/en"] + metrics["coloured/qaa"]) / 2
    )
    assert metrics["coloured/zero_shot"] == metrics["coloured/qaa"]
    assert metrics["group/classification"] == metrics["custom/avg"] == metrics["coloured/avg"]
    assert metrics["dev/avg"] > 85, "a tenth of train"
    assert 0 < metrics["coloured/mcc/avg"] <= metrics["coloured/f1_macro/avg"] <= 100
    assert run.record["stages"][0]["name"].startswith("intermediate-entails-")
    # So few rows of entailment teach nothing, which is said; those of the target do.
    assert run.record["collapsed"] == ["intermediate/entails"] and not run.record["undecided"]


def test_predictions_labels_and_the_model_are_exported(run: Run, tmp_path: Path) -> None:
    from transformers import pipeline

    trial = run.record["trial"]
    storage = ["--storage", str(run.storage)]
    options = ["--submission", str(tmp_path / "submission"), "--labels", str(tmp_path / "labels")]
    call("export", "colours", trial, *options, *storage)
    for language in ("en", "qaa"):
        name = f"coloured/test-{language}.tsv"
        predicted, gold = (
            (tmp_path / side / name).read_text().splitlines() for side in ("submission", "labels")
        )
        assert set(predicted) | set(gold) == {"plain", "coloured"}
        right = 100 * sum(a == b for a, b in zip(predicted, gold, strict=True)) / len(gold)
        assert run.record["metrics"][f"coloured/{language}"] == pytest.approx(right)
    call("export", "colours", trial, "--model", "coloured", str(tmp_path / "model"), *storage)
    classify = pipeline("text-classification", model=str(tmp_path / "model"))
    (answer,) = classify(["The baker washed the red scarf."])
    assert answer["label"] == "coloured"


def test_a_moved_checkout_is_the_same_sweep_and_other_rows_are_another(
    run: Run, tmp_path: Path
) -> None:
    shutil.copytree(run.folder / "data", tmp_path / "data")
    shutil.copy(run.file, tmp_path / "sweep.yaml")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    assert sweep.tasks != load_sweep(run.file).tasks, "their files are elsewhere"
    places = Places.of(sweep)
    inventory = take_inventory(sweep, places)
    assert not settle(sweep, places, inventory).growth
    trial = ["--trial", run.record["trial"], "--json"]
    again = json.loads(call("run", str(tmp_path / "sweep.yaml"), *trial).stdout)
    assert again["scores"] == run.record["scores"]
    assert [s["fingerprint"] for s in again["stages"]] == [
        s["fingerprint"] for s in run.record["stages"]
    ]
    more = "tasks.more={kind: mlm, files: {train: data/train.csv}, columns: {text: clause}}"
    grown = load_sweep(tmp_path / "sweep.yaml", [more, "intermediates.more={tasks: [more]}"])
    growth = settle(grown, places, take_inventory(grown, places)).growth
    assert growth.intermediates == ("more",) and not growth.targets
    with (tmp_path / "data/train.csv").open("a") as stream:
        stream.write("The baker washed a red scarf.,5\n")
    with pytest.raises(ConfigError, match="the inputs of a sweep stay as they were") as caught:
        settle(sweep, places, take_inventory(sweep, places))
    assert "changed: own:coloured;" in str(caught.value)
    text = (tmp_path / "sweep.yaml").read_text().replace("1: plain", "1: grey")
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ConfigError, match="exists with another configuration"):
        settle(load_sweep(tmp_path / "sweep.yaml"), places, inventory)
