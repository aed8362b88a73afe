"""README and pages keep their word: sweep files plan, commands exist, the tree is the tree."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import typer
import yaml
from transformers import AutoTokenizer

from tests.sweep_plans import PublishedSizes, Sizes, plan_baseline_and_all
from xstilts import kinds, mini
from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.config.own_tasks import find_trained
from xstilts.config.schema import IntermediateSpec
from xstilts.data.sources import load_rows
from xstilts.plan.stage import Train
from xstilts.tasks import Source, Task

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS = sorted((ROOT / "sweeps").glob("**/*.yaml"))


def block(text: str, language: str, containing: str) -> str:
    """The fenced block that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(found for found in blocks if containing in found)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_file_is_valid_and_plans(path: Path) -> None:
    plan_baseline_and_all(path, Sizes())


STUDIES = [path for path in SWEEPS if path.parent.name == "studies"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_mlm_beside_a_task_changes_nothing_else(path: Path) -> None:
    """Of the task a study's arm with MLM draws as many examples as the arm without, and trains them
    alike."""
    specs = load_sweep(path).intermediates
    _, plans = plan_baseline_and_all(path, PublishedSizes())
    alone = {
        name: next(other for other, it in specs.items() if is_without_mlm(it, spec))
        for name, spec in specs.items()
        if len(spec.tasks) > 1 and "mlm" in spec.tasks
    }
    assert len(alone) == {"2": 1, "4": 3}.get(path.name[0], 0)
    own = {"batch_size": 1, "epochs": 1, "max_length": 8}  # of the parts
    for name, other in alone.items():
        with_mlm, without = plans[name].encoder, plans[other].encoder
        assert isinstance(with_mlm, Train) and isinstance(without, Train)
        assert replace(with_mlm.recipe, **own) == replace(without.recipe, **own)
        (part,) = without.parts
        same, mlm = with_mlm.parts
        assert mlm.train.task == "mlm"
        assert same == replace(part, examples=same.examples)
        assert same.examples == pytest.approx(part.examples, rel=1e-5)


def is_without_mlm(one: IntermediateSpec, other: IntermediateSpec) -> bool:
    """Whether the first reads the rows that the second reads beside MLM's."""
    names = ("languages", "translated", "normalise", "examples", "filter")
    rows = [[getattr(spec, name) for name in names] for spec in (one, other)]
    return (*one.tasks, "mlm") == other.tasks and rows[0] == rows[1]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_translations_are_compared_with_english_of_the_same_form(path: Path) -> None:
    sweep = load_sweep(path)
    translated = [spec for spec in sweep.intermediates.values() if spec.translated]
    assert not translated or any(spec.languages == ("en",) for spec in translated)
    tasks = [find_trained(sweep, spec.tasks[0]) for spec in translated]
    pairs = [x for x, task in zip(translated, tasks, strict=True) if task.kind_spec.is_translatable]
    # The study world's translations are natural text.
    form = None if path.parent.name == "mini" else "detokenise"
    assert {spec.normalise for spec in pairs} <= {form}


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "first"),
        ("sweeps/README.md", "first"),
        ("docs/first_sweep.md", "first"),
        ("docs/studies.md", "nli_or_qa"),
    ],
)
def test_the_pages_sweep_files_are_valid_and_plan(tmp_path: Path, page: str, name: str) -> None:
    text = block((ROOT / page).read_text(encoding="utf-8"), "yaml", f"name: {name}")
    (tmp_path / "sweep.yaml").write_text(text)
    plan_baseline_and_all(tmp_path / "sweep.yaml", Sizes())


def test_the_sweep_file_of_the_readme_is_short() -> None:
    assert len(block(README, "yaml", "name: first").splitlines()) <= 16


def test_the_page_on_adding_a_task_is_short_and_its_entry_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 40
    entry = block(page, "python", "Task(")
    task = eval(entry, {"Task": Task, "Source": Source})
    assert task.is_target
    folder = tmp_path / "me" / "paraphrase"
    folder.mkdir(parents=True)
    header = {
        "configs": [{"config_name": "qaa", "data_files": [{"split": "test", "path": "t.parquet"}]}]
    }
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n")
    rows = {"sentence1": ["ab", "cd", "ef"], "sentence2": ["ab", "x", "y"]}
    parquet.write_table(
        pa.table({**rows, "label": ["same", "different", "different"]}), folder / "t.parquet"
    )
    columns = load_rows({"me/paraphrase": folder}, task, "test", "qaa")
    kind = kinds.get(task.kind)
    tokenizer = AutoTokenizer.from_pretrained(mini.encoder_path())
    encoded = kind.encode(columns, task, tokenizer, 32)
    assert encoded.examples["label"].to_pylist() == ["same", "different", "different"]
    assert kind.score(["same", "different", "same"], encoded.examples, task, "en")["accuracy"] > 66


def test_the_tree_names_every_module() -> None:
    tree = (ROOT / "docs" / "house.md").read_text(encoding="utf-8").split("```")[1]
    listed: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0] if line.split() else ""
        depth = (len(line) - len(line.lstrip())) // 2
        if name.endswith("/"):
            folders[depth:] = [name]
        elif name.endswith(".py") and depth:
            listed.add("".join(folders[:depth]) + name)
    roots = ("xstilts", "tools")
    modules = {
        path.relative_to(ROOT).as_posix() for root in roots for path in ROOT.glob(f"{root}/**/*.py")
    }
    assert listed == {module for module in modules if not module.endswith("__init__.py")}


PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "sweeps" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    there = [link for link in links if "://" not in link]
    assert [link for link in there if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_are_understood(page: Path) -> None:
    """Every line of a shell block that begins with `xstilts`, without its comment."""
    known: Any = typer.main.get_command(app)
    for text in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in re.findall(r"^xstilts (.*)$", text, re.MULTILINE):
            name, *words = shlex.split(line.partition(" >> ")[0], comments=True)
            command = known.commands[name]
            if hasattr(command, "commands"):
                command, *words = command.commands[words[0]], *words[1:]
            command.make_context(name, words)


def test_the_readme_is_read_in_minutes() -> None:
    assert len(README.splitlines()) <= 200


def test_no_file_is_much_longer_than_400_lines() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in ROOT.glob("xstilts/**/*.py")}
    assert {path.name: size for path, size in sizes.items() if size > 420} == {}
