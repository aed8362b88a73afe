"""The house's layers: who may import whom. The table is section 3 of the architecture."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xstilts

ROOT = Path(xstilts.__file__).parent
SWEEPS = Path(__file__).parents[1] / "sweeps"

LAYERS = (
    {"xstilts", "errors", "files", "identity", "lease", "score_rows"},
    {"config", "tasks", "records"},
    {"plan", "scores"},
    {"data", "kinds", "training"},
    {"run", "tracking", "mini"},
    {"search", "report"},
    {"study"},
    {"bench", "cluster"},
    {"driver"},
    {"api"},
    {"cli"},
)
LAYER = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}

SIDEWAYS = {
    ("lease", "errors"),
    ("lease", "files"),
    ("config", "tasks"),
    ("data", "kinds"),
    ("training", "kinds"),
    ("training", "data.batches"),
    ("run", "tracking.tracker"),
    ("run", "mini"),
    ("search", "report.comparison"),
    ("search", "report.hours"),
    ("search", "report.leaders"),
    # The policy of races is pure, and tables go by its order.
    ("report", "search.race"),
    ("search", "report.results"),
    ("search", "report.trial_files"),
    # The public results of a sweep have its study's answer.
    ("report", "study.analysis"),
    # The public names, which the package gives when they are asked for.
    ("xstilts", "errors"),
    ("xstilts", "api"),
    ("xstilts", "config.schema"),
    ("xstilts", "report.sweep_results"),
    ("xstilts", "records"),
    ("xstilts", "scores.official"),
}
"""Imports within a layer or upwards, as (package, module or package)."""

NOT_EVEN_DOWNWARDS = {("search", "tracking"), ("search", "mini"), ("report", "mini")}

LOW_LAYERS_MAY_USE = (set(), {"yaml", "pydantic", "pydantic_core"}, {"numpy", "scipy", "sklearn"})
"""What layers 0-2 may import beside the standard library."""

ONLY_IN = {
    "mlflow": ("tracking.mlflow",),
    "ray": ("search",),
    "optuna": ("search",),
    "matplotlib": ("report",),
    "pandas": ("report", "api"),
    "typer": ("cli",),
}
"""Packages that only these modules or packages import."""

HEAVY = {"torch", "ray", "mlflow", "optuna", "transformers", "datasets", "pyarrow"}


def module_name(path: Path) -> str:
    """The name below `xstilts` that a file has; the package itself is `xstilts`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "xstilts"


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes_at_runtime(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, without those that only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if is_type_checking(node) and child in node.body:
            continue
        yield from nodes_at_runtime(child)


def imports_of(source: str, module: str) -> Iterator[str]:
    """Absolute names that a module imports, anywhere in it; of names, the module they are in."""
    for node in nodes_at_runtime(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("xstilts.") in MODULES
                yield whole if is_module else str(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            assert isinstance(node.args[0], ast.Constant), f"{module} imports a computed name"
            yield str(node.args[0].value)


def own_breach(importer: str, imported: str) -> str | None:
    """Why one module of ours may not import another; names are below `xstilts`."""
    package, other = importer.partition(".")[0], imported.partition(".")[0]
    if package == other or LAYER[other] < LAYER[package]:
        is_forbidden = (package, other) in NOT_EVEN_DOWNWARDS
        return f"{package} does not use {other}" if is_forbidden else None
    if any(package == who and is_in(imported, what) for who, what in SIDEWAYS):
        return None
    direction = "upwards" if LAYER[other] > LAYER[package] else "sideways"
    return f"{importer} imports {imported} {direction}"


def foreign_breach(importer: str, imported: str) -> str | None:
    """Why a module of ours may not import a package of others."""
    top, layer = imported.partition(".")[0], LAYER[importer.partition(".")[0]]
    allowed = ONLY_IN.get(top)
    if allowed and not any(is_in(importer, place) for place in allowed):
        return f"{importer} imports {top}, which only {', '.join(allowed)} may"
    if layer < len(LOW_LAYERS_MAY_USE):
        known = LOW_LAYERS_MAY_USE[layer] | sys.stdlib_module_names
        return None if top in known else f"{importer} (layer {layer}) imports {top}"
    return None


def breaches_of(source: str, module: str) -> list[str]:
    found = []
    for name in imports_of(source, module):
        if is_in(name, "xstilts"):
            found.append(own_breach(module, name.removeprefix("xstilts.")))
        else:
            found.append(foreign_breach(module, name))
    return [breach for breach in found if breach]


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_to_its_layer(module: str) -> None:
    assert breaches_of(MODULES[module].read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("files", "import json, xstilts.tasks.task"),
        ("files", "from xstilts.lease import Lease"),
        ("tasks.task", "from xstilts.config import schema"),
        ("plan.stage", "def late():\n    import torch"),
        ("scores.table", "import pyarrow.parquet"),
        ("scores.best", "from xstilts.plan.stage import Train"),
        ("training.loop", "from xstilts.data.sources import load_rows"),
        ("training.loop", "from xstilts.data import sources"),
        ("kinds.kind", "from xstilts.training import model"),
        ("run.trial", "from xstilts.tracking import runs"),
        ("run.trial", "try:\n    import ray\nexcept ImportError: ..."),
        ("run.trial", "from xstilts.search.launch import launch"),
        ("mini", "from xstilts.run import places"),
        ("tracking.runs", "import mlflow"),
        ("search.launch", "from xstilts.report import tables"),
        ("report.tables", "from xstilts import mini"),
        ("report.tables", "import importlib\nimportlib.import_module('optuna')"),
        ("cli", "if TYPE_CHECKING:\n    import rich\nelse:\n    import mlflow"),
    ],
)
def test_breach_is_found(module: str, source: str) -> None:
    assert len(breaches_of(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lease", "from xstilts.errors import LeaseLost\nfrom xstilts.files import CARE"),
        ("config.check", "from xstilts.tasks import lookup"),
        ("training.loop", "from xstilts import kinds\nfrom xstilts.data.batches import batches"),
        ("run.places", "from xstilts import mini\nfrom xstilts.tracking import tracker"),
        ("report.live", "from xstilts.tracking.runs import running_run\nimport matplotlib"),
        ("search.trial", "from xstilts.run.trial import run_trial\nimport ray, optuna"),
        ("plan.mixture", "if TYPE_CHECKING:\n    import torch"),
        ("tracking.mlflow", "def late():\n    from mlflow.entities import Metric"),
        ("cli", "from xstilts import __version__"),
        ("xstilts", "from xstilts import api"),
    ],
)
def test_allowed_import_is_no_breach(module: str, source: str) -> None:
    assert breaches_of(source, module) == []


def test_every_package_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in MODULES} <= set(LAYER)


def modules_after(script: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after a script."""
    ending = "\nimport json, sys\nprint(json.dumps([m for m in sys.modules if sys.modules[m]]))"
    done = subprocess.run(
        [sys.executable, "-c", script + ending, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_a_report_needs_no_torch() -> None:
    # Importing it takes as long as a report over a thousand trials.
    loaded = modules_after("import xstilts.cli.sweeps, xstilts.report.publish")
    assert not loaded & {"torch", "transformers", "ray", "optuna", "mlflow"}


def test_training_core_needs_no_orchestration() -> None:
    """GPU machines without Ray, MLflow, datasets and the command line must run it."""
    blocked = {"ray", "mlflow", "datasets", "optuna", "pydantic", "typer"}
    loaded = modules_after(
        f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import xstilts.data.batches, xstilts.kinds
import xstilts.training.processes, xstilts.bench.measure, xstilts.bench.__main__
"""
    )
    assert "torch" in loaded
    assert not loaded & blocked


def test_scores_and_plans_need_no_torch() -> None:
    loaded = modules_after(
        "import xstilts.plan.plan, xstilts.scores.aggregate, xstilts.scores.best"
    )
    assert "xstilts" in loaded
    assert not loaded & HEAVY


def test_validate_starts_without_the_heavy_packages() -> None:
    """`validate` and `--help` answer in about a second."""
    loaded = modules_after(
        """
import sys
from typer.testing import CliRunner
from xstilts.cli import app
for arguments in (["validate", sys.argv[1]], ["--help"]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
""",
        str(SWEEPS / "quickstart.yaml"),
    )
    assert "yaml" in loaded
    assert not loaded & HEAVY
