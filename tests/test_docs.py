"""The pages about tasks and kinds of one's own, followed to the letter."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from xstilts import kinds
from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.config.own_tasks import all_tasks
from xstilts.config.probes import ProbesSpec
from xstilts.config.task_spec import TaskSpec
from xstilts.data.formats import FORMATS
from xstilts.data.hub_layout import Split, write_dataset
from xstilts.data.importers.ranked import FEATURES
from xstilts.data.own_pools import read_pool
from xstilts.scores.probes import UNITS
from xstilts.tasks.kinds import KINDS, KindSpec

DOCS = Path(__file__).parents[1] / "docs"
OWN_TASK = (DOCS / "own_task.md").read_text(encoding="utf-8")
MORE_TASKS = (DOCS / "more_tasks.md").read_text(encoding="utf-8")
DUAL = (DOCS / "dual_encoder.md").read_text(encoding="utf-8")
OWN_KIND = (DOCS / "own_kind.md").read_text(encoding="utf-8")
HEAD = """
name: own
benchmark: custom
recipe: mini
models: {mini: {path: "builtin:mini"}}
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


PRINTED, WHOLE, *FRAGMENTS = blocks(OWN_TASK, "yaml")
FRAGMENTS += blocks(MORE_TASKS, "yaml")
SWEEPS = (DOCS.parent / "sweeps" / "README.md").read_text(encoding="utf-8")
FRAGMENTS += [text for text in blocks(DUAL, "yaml") if text.startswith("tasks:")]
PROBES = (DOCS / "probes.md").read_text(encoding="utf-8")
FRAGMENTS += [text for text in blocks(SWEEPS, "yaml") if text.startswith("tasks:")]


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the page speaks of, with its files."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    rows = {
        language: [(f"film number {i} in {language}", 5 if i % 2 else 1) for i in range(60)]
        for language in ("en", "de", "sw")
    }
    with (data / "reviews-train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("review", "stars"), *rows["en"]])
    lines = [json.dumps({"review": text, "stars": stars}) for text, stars in rows["de"]]
    (data / "reviews-test-de.jsonl").write_text("\n".join(lines))
    table = "".join(f"{text}\t{stars}\n" for text, stars in rows["sw"])
    (data / "reviews-test-sw.tsv").write_text("review\tstars\n" + table)
    names = ("entailment", "neutral", "contradiction")
    pairs = [{"premise": f"p {i}", "hypothesis": "h", "label": names[i % 3]} for i in range(60)]
    (data / "nli.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    return tmp_path


def test_data_add_prints_what_the_page_shows(here: Path) -> None:
    (command,) = (line for line in blocks(OWN_TASK, "sh") if "data add" in line)
    result = call(*command.split()[1:])
    assert result.exit_code == 0 and result.stdout == PRINTED
    (here / "sweep.yaml").write_text(f"{HEAD}targets: [reviews]\n{PRINTED}")
    assert call("validate", "sweep.yaml").exit_code == 0


def test_the_whole_file_is_valid_and_plans(here: Path) -> None:
    (here / "sweep.yaml").write_text(WHOLE)
    assert call("validate", "sweep.yaml").output == "sweep.yaml: valid\n"
    tasks = json.loads(call("plan", "sweep.yaml", "--json").stdout)["tasks"]
    assert {row["task"] for row in tasks} == {"reviews", "entails"}
    shown = json.loads(call("data", "check", "sweep.yaml", "--json").stdout)
    assert shown[0]["labels"] == {"neg": 30, "pos": 30}


@pytest.mark.parametrize("text", FRAGMENTS, ids=lambda text: text.split()[1])
def test_every_other_entry_is_declared_rightly(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(f"{HEAD}targets: [mini_xnli]\n{text}")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    assert set(sweep.tasks) == set(yaml.safe_load(text)["tasks"])
    targets = [task.name for task in all_tasks(sweep)[: len(sweep.tasks)] if task.is_target]
    named = json.dumps(["mini_xnli", *targets])
    (tmp_path / "sweep.yaml").write_text(f"{HEAD}targets: {named}\n{text}")
    assert load_sweep(tmp_path / "sweep.yaml").tasks == sweep.tasks


def test_probes_are_asked_for_as_the_page_says(tmp_path: Path) -> None:
    (text,) = blocks(PROBES, "yaml")
    (tmp_path / "sweep.yaml").write_text(f"{HEAD}targets: [mini_xnli]\n{text}")
    asked = load_sweep(tmp_path / "sweep.yaml").probes
    assert asked is not None and asked.sentences == ProbesSpec.model_fields["sentences"].default
    assert {*asked.read, "retrieval"} == {*UNITS}
    (table,) = re.findall(r"\| probe \|(.*?)\n\n", PROBES, re.DOTALL)
    assert [*UNITS] == re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert set(ProbesSpec.model_fields) == set(yaml.safe_load(text)["probes"])


def nli(name: str, i: int) -> dict[str, Any]:
    return {"premise": f"{name} {i}", "hypothesis": "h", "label": i % 3, "idx": i}


def belebele(name: str, i: int) -> dict[str, Any]:
    answers = {f"mc_answer{j}": f"answer {j}" for j in (1, 2, 3, 4)}
    asked = {"flores_passage": f"{name} {i}.", "question": "What?", "question_number": 1}
    return {**asked, **answers, "correct_answer_num": str(1 + i % 4), "link": "l"}


def story(name: str, i: int) -> dict[str, Any]:
    told = {f"input_sentence_{j}": f"{name} {i}, {j}." for j in (1, 2, 3, 4)}
    endings = {"sentence_quiz1": "It ends.", "sentence_quiz2": "It goes on."}
    return {**told, **endings, "answer_right_ending": 1 + i % 2}


def published(folder: Path) -> None:
    """Files of the forms in which the sets of the page are published, brought to it as it says."""
    (code,) = blocks(MORE_TASKS, "python")
    (command,) = (text for text in blocks(MORE_TASKS, "sh") if "grep" in text)
    told: dict[str, Any] = {}
    exec(code, told)
    names = ("nli/train", "nli/dev", *(f"afrixnli/{x}" for x in ("sw", "wo", "yo")))
    for reader, row, files in (
        ("nli", nli, names),
        ("belebele", belebele, ("belebele/train", "belebele/en", "belebele/sw")),
        ("story", story, ("xstorycloze/train", "xstorycloze/en", "xstorycloze/sw")),
    ):
        for name in files:
            rows = (told[reader](row(name, i)) for i in range(30))
            told["write"](rows, str(folder / f"{name}.jsonl"))
    tags = ["B-PER", "I-PER", "O", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "O"]
    for language in ("swa", "wol", "yor"):
        (folder / "masakhaner" / language).mkdir(parents=True)
        dated = [*tags, "B-DATE", "I-DATE"]
        lines = [f"{language}{i} {tag}" for i, tag in enumerate(dated)]
        text = "\n".join([*lines, "", *lines, ""])
        (folder / "masakhaner" / language / "test.txt").write_text(text)
    (folder / "uner").mkdir()
    for name in ("en-train", "en-dev", "de-test", "tl-test"):
        rows = [f"{i}\t{name}{i}\t{tag}\t-\tannotator" for i, tag in enumerate(tags, 1)]
        (folder / "en_ewt-ud-train.iob2").write_text("\n".join(["# sent_id = 1", *rows, "", ""]))
        line = command.replace("uner/en-train", f"uner/{name}")
        subprocess.run(line, shell=True, check=True, cwd=folder)


def test_more_tasks_read_the_published_forms(tmp_path: Path) -> None:
    published(tmp_path)
    entries: dict[str, Any] = {}
    for text in blocks(MORE_TASKS, "yaml"):
        entries |= yaml.safe_load(text)["tasks"]
    assert set(entries) == {"afrixnli", "belebele", "xstorycloze", "masakhaner", "uner"}
    text = yaml.safe_dump({"targets": list(entries), "tasks": entries})
    (tmp_path / "sweep.yaml").write_text(HEAD + text)
    result = call("data", "check", str(tmp_path / "sweep.yaml"), "--json")
    assert result.exit_code == 0, result.output
    shown = {(row["task"], row["use"], row["language"]): row for row in json.loads(result.stdout)}
    assert shown["afrixnli", "test", "wo"]["labels"] == dict.fromkeys(
        ("entailment", "neutral", "contradiction"), 10
    )
    assert shown["belebele", "test", "sw"]["rows"] == shown["xstorycloze", "test", "sw"]["rows"]
    assert shown["masakhaner", "test", "yo"]["labels"]["O"] == 8, "dates are no entities here"
    assert shown["uner", "test", "tl"]["labels"]["B-LOC"] == 1
    for text in ("AfriXNLI", "Belebele", "XStoryCloze", "MasakhaNER 2", "Universal NER"):
        assert f"**{text}**" in MORE_TASKS


def test_the_page_on_dual_encoders_names_a_target_and_a_recipe(tmp_path: Path) -> None:
    (text,) = (text for text in blocks(DUAL, "yaml") if text.startswith("targets: [lareqa]"))
    head = HEAD.replace("recipe: mini\n", "")
    (tmp_path / "sweep.yaml").write_text(head + text)
    assert load_sweep(tmp_path / "sweep.yaml").targets == ("lareqa",)


def test_a_pool_is_cut_from_a_mirror_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pool = [
        {"id": f"Q{i}", "query": "", "candidate": f"x {i}", "keys": [f"Q{i}"]} for i in range(200)
    ]
    mentions = [{"id": f"m{i}", "query": "y", "candidate": "", "keys": [f"Q{i}"]} for i in range(9)]
    splits = [Split("entities", "pool", FEATURES, pool), Split("de", "test", FEATURES, mentions)]
    write_dataset(Path("mirror/xtreme/mewslix"), splits, "made for a test")
    (text,) = (text for text in blocks(DUAL, "yaml") if "pools:" in text)
    (code,) = blocks(DUAL, "python")
    exec(code, {})
    (tmp_path / "sweep.yaml").write_text(HEAD + text)
    assert call("validate", "sweep.yaml").output == "sweep.yaml: valid\n"
    (told,) = json.loads(call("data", "check", "sweep.yaml", "--json").stdout)
    assert told["task"] == "mewslix_20th" and 9 < told["rows"] < 40
    (name, spec), *_ = load_sweep(tmp_path / "sweep.yaml").pools.items()
    assert {row["id"] for row in read_pool(name, spec)[0]} > {row["keys"][0] for row in mentions}


def test_the_page_names_every_key_kind_metric_and_ending() -> None:
    named = set(re.findall(r"`([^`\n]+)`", OWN_TASK))
    assert set(TaskSpec.model_fields) - {"revision"} <= named
    own = {name: spec for name, spec in KINDS.items() if not spec.is_pools}
    rows = {row.split("`")[1]: row for row in OWN_TASK.splitlines() if row.startswith("| `")}
    for name, spec in own.items():
        assert all(f"`{column}`" in rows[name] for column in spec.columns)
        assert name == "pair" or all(f"`{metric}`" in rows[name] for metric in spec.metrics)
    assert {ending for form in FORMATS for ending in form.endings} - {".ndjson"} <= named


def test_the_entry_of_the_kind_on_the_page_is_the_package_s() -> None:
    entry, line = blocks(OWN_KIND, "python")
    assert eval(entry, {"KindSpec": KindSpec}) == KINDS["sentence"]
    source = Path(kinds.__file__).read_text(encoding="utf-8")
    assert line.strip() in source
    methods = re.findall(r"`(\w+)`", OWN_KIND.partition("**2.")[2].partition("Nothing is")[0])
    wanted = [name for name in methods if name.islower() and hasattr(kinds.Kind, name)]
    assert {"encode", "collate", "loss", "score"} <= set(wanted)
    assert all(hasattr(kinds.get("sentence"), name) for name in wanted)
