"""Installed as users install it: a wheel, and beside it a package that brings a task and a kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ..conftest import require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "acme-tasks"
version = "1.0"
[project.entry-points."xstilts.tasks"]
tasks = "acme_tasks.tasks"
[project.entry-points."xstilts.kinds"]
kinds = "acme_tasks.kinds"
"""
MODULES = {
    "__init__": "",
    "tasks": """
from dataclasses import replace
from xstilts.tasks import lookup
def tasks():
    return [replace(lookup("mini_xnli"), name="acme_xnli", kind="acme_pair")]
""",
    "kinds": """
from xstilts.tasks import kind_spec
from xstilts.tasks.plugins import BroughtKind
KINDS = {"acme_pair": BroughtKind(kind_spec("pair"), "acme_tasks.behaviour:AcmePair")}
""",
    "behaviour": """
from xstilts.kinds.classification import Classification
class AcmePair(Classification):
    def __init__(self):
        super().__init__("premise", "hypothesis")
""",
}
SWEEP = """
name: installed
benchmark: custom
recipe: {name: mini, epochs: 0.05, checks: 1}
models: {mini: {path: "builtin:mini"}}
data: {root: "builtin:mini"}
targets: [acme_xnli, mini_tatoeba]
languages: [en, qaa]
"""


def wheels_of(folder: Path) -> list[Path]:
    """The wheels of the package and of the plugin."""
    plugin = folder / "plugin"
    (plugin / "acme_tasks").mkdir(parents=True)
    (plugin / "pyproject.toml").write_text(PROJECT)
    for name, text in MODULES.items():
        (plugin / "acme_tasks" / f"{name}.py").write_text(text)
    source = folder / "source"
    for name in ("xstilts", "sweeps"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder / "wheels")]
    built = subprocess.run([*pip, str(source), str(plugin)], capture_output=True, text=True)
    require("wheel", built.returncode == 0, f"pip cannot build a wheel: {built.stderr[-300:]}")
    return sorted((folder / "wheels").iterdir())


def environment_with(folder: Path, wheels: list[Path]) -> Path:
    """The programs of an environment that has the wheels, and of this one all other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    (Path(paths["purelib"]) / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "-q"]
    subprocess.run([*pip, "--no-index", "--ignore-installed", *map(str, wheels)], check=True)
    return folder / "bin"


def test_a_wheel_runs_the_task_of_an_installed_plugin(tmp_path: Path) -> None:
    wheels = wheels_of(tmp_path)
    assert len(wheels) == 2
    assert max(path.stat().st_size for path in wheels) < 8e6, (
        "the miniature benchmark is most of it"
    )
    bin_folder = environment_with(tmp_path / "env", wheels)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(bin_folder / program), *arguments],
            cwd=tmp_path,
            env=own,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    place = call("python", "-c", "import xstilts; print(xstilts.__file__)")
    assert Path(place.strip()).is_relative_to(tmp_path / "env"), "the wheel's, and no checkout's"
    tasks = {row["name"]: row for row in json.loads(call("xstilts", "data", "list", "--json"))}
    assert tasks["acme_xnli"]["package"] == "acme-tasks"
    assert tasks["mini_xnli"]["package"] == "xstilts"
    assert "valid" in call("xstilts", "validate", "sweep.yaml", "builtin:quickstart")
    planned = json.loads(call("xstilts", "plan", "sweep.yaml", "--json"))
    assert [row["task"] for row in planned["tasks"]] == ["acme_xnli"]
    record = json.loads(call("xstilts", "run", "sweep.yaml", "--json"))
    assert record["state"] == "finished"
    assert {"acme_xnli/en", "acme_xnli/qaa", "mini_tatoeba/qaa"} <= record["metrics"].keys()
