"""The README keeps its word: its sweep file plans, its task works, its tree is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from transformers import AutoTokenizer

from xstilts import kinds, mini
from xstilts.config.load import load_sweep
from xstilts.data.sources import load_rows
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train
from xstilts.tasks import Source, Task, known_tasks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS = sorted((ROOT / "sweeps").glob("**/*.yaml"))


def block(text: str, language: str, containing: str) -> str:
    """The fenced block that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(found for found in blocks if containing in found)


class Sizes(dict):
    """100 rows of everything."""

    def __missing__(self, key: str) -> int:
        return 100


def plan_baseline_and_all(path: Path) -> None:
    from xstilts.report.forecast import example_plans
    from xstilts.search.proposals import target_points

    sweep = load_sweep(path)
    facts = ModelFacts("/m", "w", "t", 12, 1)
    data = {
        source.hub_id: "sha"
        for task in known_tasks()
        for use in task.splits
        for source in task.sources_of(use)
    }
    translations = {task.translations.hub_id: "sha" for task in known_tasks() if task.translations}
    labels = {task.name: ("N", "NP") for task in known_tasks() if task.open_labels}
    models = dict.fromkeys(sweep.models, facts)
    inventory = Inventory(models, {}, {**data, **translations}, Sizes(), labels, tokens=Sizes())
    plans = example_plans(sweep, Planner(sweep, inventory, target_points(sweep)))
    assert "none" in plans
    assert any(isinstance(plan.encoder, Train) for plan in plans.values())


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_file_is_valid_and_plans(path: Path) -> None:
    plan_baseline_and_all(path)


@pytest.mark.parametrize(("page", "name"), [("README.md", "first"), ("sweeps/README.md", "first")])
def test_the_pages_sweep_files_are_valid_and_plan(tmp_path: Path, page: str, name: str) -> None:
    text = block((ROOT / page).read_text(encoding="utf-8"), "yaml", f"name: {name}")
    (tmp_path / "sweep.yaml").write_text(text)
    plan_baseline_and_all(tmp_path / "sweep.yaml")


def test_the_sweep_file_of_the_readme_is_short() -> None:
    assert len(block(README, "yaml", "name: first").splitlines()) <= 16


def test_the_page_on_adding_a_task_is_short_and_its_entry_works(tmp_path: Path) -> None:
    section = README.split("## Add a task")[1].split("\n## ")[0]
    assert len(section.strip().splitlines()) <= 40
    entry = block(section, "python", "Task(")
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
    columns = load_rows(
        {"me/paraphrase": folder}, task, "test", "qaa", "0" * 64, tmp_path / "cache"
    )
    kind = kinds.get(task.kind)
    tokenizer = AutoTokenizer.from_pretrained(mini.encoder_path())
    encoded = kind.encode(columns, task, tokenizer, 32)
    assert encoded.examples["label"].to_pylist() == ["same", "different", "different"]
    assert kind.score(["same", "different", "same"], encoded.examples, task, "en")["accuracy"] > 66


def test_the_tree_names_every_module() -> None:
    tree = README.split("## The house")[1].split("```")[1]
    listed: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0] if line.split() else ""
        depth = (len(line) - len(line.lstrip())) // 2
        if name.endswith("/"):
            folders[depth:] = [name]
        elif name.endswith(".py") and depth:
            listed.add("".join(folders[1:depth]) + name)
    modules = {
        path.relative_to(ROOT / "xstilts").as_posix() for path in ROOT.glob("xstilts/**/*.py")
    }
    assert listed == {module for module in modules if not module.endswith("__init__.py")}


def test_no_file_is_much_longer_than_400_lines() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in ROOT.glob("xstilts/**/*.py")}
    assert {path.name: size for path, size in sizes.items() if size > 420} == {}
