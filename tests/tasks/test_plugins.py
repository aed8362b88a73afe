"""Plugins: what modules bring is found, known by its source, in every process that reads rows."""

from __future__ import annotations

import importlib
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from xstilts import kinds, open_results
from xstilts.cli import app
from xstilts.config.described import describe_plugin, recall_plugin
from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.own_tasks import find_task, plugins_used
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.plan.inventory import Inventory, row_key
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, fingerprint
from xstilts.report.results import load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.run.inputs import take_inventory
from xstilts.run.node import differences, versions
from xstilts.run.places import Places
from xstilts.run.reopen import planner_of
from xstilts.run.single import run_single
from xstilts.search.definition import Settled, define, settle
from xstilts.tasks import kinds as kind_specs
from xstilts.tasks import known_tasks, lookup, plugins
from xstilts.tasks.plugins import (
    BroughtKind,
    Plugin,
    PluginError,
    load_plugin,
)

from ..conftest import make_places
from ..plan.test_plan import INVENTORY, NUM_ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LIGHT, BEHAVIOUR = BLOCKS
PLUGIN = f"{LIGHT}\n{BEHAVIOUR}".replace("my_behaviour:", "NAME:")

Write = Callable[..., str]


def forget(folder: Path) -> None:
    """Forget all plugins, and the modules of a folder."""
    load_plugin.cache_clear()
    plugins.installed_plugins.cache_clear()
    versions.cache_clear()
    for known in (kind_specs.BROUGHT, plugins._behaviours, plugins._places):
        known.clear()
    kinds._KINDS.pop("my_pair", None)
    for path in folder.rglob("*.py"):
        sys.modules.pop(path.relative_to(folder).with_suffix("").as_posix().replace("/", "."), None)
    importlib.invalidate_caches()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a plugin's module, forgets what was loaded, and forgets it again at the end."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def written(text: str = PLUGIN, name: str = "my_module") -> str:
        forget(folder)
        path = folder / f"{name}.py"
        path.write_text(text.replace("NAME:", f"{name}:"))
        for cached in folder.rglob("*.pyc"):
            cached.unlink()
        return name

    yield written
    forget(folder)


def sweep_with(**sections: Any) -> Sweep:
    head = {
        "name": "small",
        "benchmark": "custom",
        "recipe": {"name": "mini", "epochs": 0.02, "checks": 1},
        "models": {"mini": {"path": "builtin:mini"}},
        "plugins": ["my_module"],
        "targets": ["my_xnli", "mini_udpos"],
    }
    return parse_sweep({**head, **sections}, "here")


def stages_of(sweep: Sweep) -> tuple[Train, ...]:
    rows = {row_key(lookup("mini_xnli"), use, x): n for use, n in NUM_ROWS.items() for x in ("en",)}
    inventory = Inventory(INVENTORY.models, {}, INVENTORY.data, {**INVENTORY.rows, **rows})
    planner = Planner(sweep, inventory, {"my_xnli": ({},), "mini_udpos": ({},)})
    return planner.plan({"model": "mini", "intermediate": "none"}, 0).training_stages


def message_of(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        sweep_with(**sections)
    return str(caught.value)


def test_a_module_that_the_file_names_brings_a_task_and_a_kind(write: Write) -> None:
    write()
    mine, other = stages_of(sweep_with())
    rows = mine.parts[0].train
    assert rows.entry.kind == "my_pair" and rows.plugins[0][0] == "my_module"
    assert type(kinds.get("my_pair")).__name__ == "MyPair"
    assert not other.parts[0].train.plugins, "what the package brings stays what it is"
    shipped = sweep_with(plugins=[], targets=["mini_udpos"])
    assert fingerprint(stages_of(shipped)[0]) == fingerprint(other)


def test_source_and_declaration_are_part_of_the_fingerprint(write: Write) -> None:
    write()
    before = [fingerprint(stage) for stage in stages_of(sweep_with())]
    write()
    assert [fingerprint(stage) for stage in stages_of(sweep_with())] == before
    for changed in (
        f"{PLUGIN}\n# another line\n",
        PLUGIN.replace('kind="my_pair"', 'kind="my_pair", version=2'),
    ):
        write(changed)
        mine, other = (fingerprint(stage) for stage in stages_of(sweep_with()))
        assert mine != before[0] and other == before[1]


def test_a_plugin_in_a_package_is_known_by_all_of_it(write: Write, tmp_path: Path) -> None:
    package = tmp_path / "modules" / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("A = 1\n")
    write(PLUGIN, "mine/tasks")
    (package / "tasks.py").write_text(LIGHT)
    first = load_plugin("mine.tasks").digest
    write(LIGHT, "mine/tasks")
    assert load_plugin("mine.tasks").digest == first
    (package / "helper.py").write_text("A = 2\n")
    write(LIGHT, "mine/tasks")
    assert load_plugin("mine.tasks").digest != first


def install(folder: Path, package: str = "acme-tasks", module: str = "my_module") -> None:
    """What an installer leaves of a package whose entry point names the module."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[xstilts.tasks]\nmine = {module}\n")
    plugins.installed_plugins.cache_clear()


def test_installed_packages_bring_theirs_by_entry_points(write: Write, tmp_path: Path) -> None:
    write()
    install(tmp_path / "modules")
    sweep = sweep_with(plugins=[])
    assert set(plugins_used(sweep)) == {"my_module"}
    assert not plugins_used(sweep_with(plugins=[], targets=["mini_udpos"])), "what is not named"


def test_the_list_of_tasks_names_their_packages(write: Write, tmp_path: Path) -> None:
    def listed(*options: str) -> Result:
        return CliRunner().invoke(app, ["data", "list", *options], terminal_width=100)

    write()
    assert {row["package"] for row in json.loads(listed("--json").stdout)} == {"xstilts"}
    assert "package" not in listed().output, "it would be one word in every row"
    install(tmp_path / "modules")
    rows = {row["name"]: row for row in json.loads(listed("--json").stdout)}
    assert rows["my_xnli"]["package"] == "acme-tasks" and rows["my_xnli"]["kind"] == "my_pair"
    assert rows["mini_xnli"]["package"] == "xstilts"
    assert "acme-tasks" in listed().output
    write("import nothing_like_it\n")
    refused = listed()
    assert refused.exit_code == 2
    assert "the installed plugin my_module: cannot be" in " ".join(refused.output.split())


def test_another_process_needs_the_rows_alone(write: Write, tmp_path: Path) -> None:
    """As the processes that train a stage together have them."""
    write()
    (tmp_path / "rows").write_bytes(pickle.dumps(stages_of(sweep_with())[0].parts[0].train))
    script = (
        "import pickle, sys; from xstilts import kinds; "
        "task = pickle.loads(open(sys.argv[1], 'rb').read()).entry; "
        "print(task.kind, task.kind_spec.columns, type(kinds.get(task.kind)).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "rows")],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[0] == "my_pair" and "MyPair" in done.stdout, done.stderr


def test_nodes_with_other_source_differ(write: Write) -> None:
    write()
    used = tuple(plugins_used(sweep_with()))
    here = dict(versions(used))
    assert here["plugin my_module"] == load_plugin("my_module").digest
    write(f"{PLUGIN}\n# another line\n")
    (line,) = differences(versions(used), here)
    assert line.startswith("plugin my_module ")
    write("", "other")
    (absent,) = differences(versions(("my_module_that_is_not_there",)), {"plugin x": "1"})
    assert absent == "plugin x absent, not 1"
    with pytest.raises(PluginError, match="cannot be imported"):
        load_plugin("my_module_that_is_not_there")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_it\n", "here: plugins[0]: cannot be imported (ModuleNotFoundError"),
        ("A = 1\n", "here: plugins[0]: brings nothing"),
        ("def tasks():\n    return 1 / 0\n", "plugins[0]: its tasks() fails (ZeroDivisionError"),
        (
            PLUGIN.replace('name="my_xnli"', 'name="xnli"'),
            "my_module.py, which xstilts.tasks.targets has",
        ),
        (
            PLUGIN.replace('"my_pair": ', '"pair": '),
            'brings the kind "pair" in ',
        ),
    ],
)
def test_what_cannot_be_a_plugin_is_refused_with_the_place(
    write: Write, text: str, message: str
) -> None:
    write(text)
    found = message_of()
    assert message in found and 'got "my_module"' in found


def test_two_plugins_of_one_name_are_refused_with_both_places(write: Write) -> None:
    write()
    write(PLUGIN.replace("my_pair", "pair").replace("KINDS", "OTHERS"), "second")
    found = message_of(plugins=["my_module", "second"])
    assert 'plugins[1]: brings the task "my_xnli"' in found
    assert "second.py" in found and "my_module.py has" in found


def test_a_task_of_the_file_may_not_have_a_plugins_name(write: Write) -> None:
    write()
    own = {"kind": "sentence", "hub": "me/mine", "labels": ["a", "b"]}
    found = message_of(tasks={"my_xnli": {**own, "splits": {"train": "train", "test": "test"}}})
    assert "tasks.my_xnli: a plugin has a task of this name" in found
    assert "my_module.py" in found


def test_the_page_names_what_a_sweep_file_has(write: Write, tmp_path: Path) -> None:
    write(LIGHT)
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "s.yaml"
    rest = 'name: s\nbenchmark: custom\nrecipe: mini\nmodels: {m: {path: "builtin:mini"}}\n'
    path.write_text(f"{rest}targets: [my_xnli]\n{block}")
    assert load_sweep(path).plugins == ("my_module",)
    path.write_text(f"{rest}targets: [my_xnli]\nplugins: [a/b]\n")
    with pytest.raises(ConfigError, match=r"plugins\[0\]: is a plain name|plugins\[0\]: "):
        load_sweep(path)


def test_a_trial_runs_on_a_task_and_a_kind_of_a_plugin(
    write: Write, tmp_path: Path, shared_mini: Path
) -> None:
    write()
    sweep = sweep_with(
        targets=["my_xnli"], languages=["en", "qaa"], data={"root": str(shared_mini)}
    )
    places = make_places(tmp_path / "runs")
    inventory = take_inventory(sweep, places, tmp_path)
    assert inventory.data["plugin my_module"] == load_plugin("my_module").digest
    planner = Planner(sweep, inventory, {"my_xnli": ({},)})
    record = run_single(planner, places, None, {"intermediate": "none"}, None, print)
    assert record.state == "finished", record.error
    assert set(record.metrics) >= {"my_xnli/en", "my_xnli/qaa", "my_xnli/avg", "dev/my_xnli"}
    define(sweep, places, inventory, Settled({"my_xnli": [{}]}), places.launch(1))
    remember_nothing_of("my_module", tmp_path)
    check_reading(places, record.trial, tmp_path)


def remember_nothing_of(module: str, folder: Path) -> None:
    """As in a process of somebody who has the storage alone."""
    (folder / "modules" / f"{module}.py").rename(folder / f"{module}.py")
    forget(folder / "modules")
    sys.modules.pop(module, None)


def check_reading(places: Places, trial: str, folder: Path) -> None:
    """What needs no plugin is read without it; what does says which, and by what it is allowed."""
    at = ("--storage", str(places.storage))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, *at], catch_exceptions=False)

    report = call("report", places.name, "--json")
    assert report.exit_code == 0, report.output
    assert "my_xnli" in report.stdout
    assert call("status", places.name).exit_code == 0
    results = open_results(places.name, places.storage)
    assert set(results.scores["target"]) == {"my_xnli"}
    assert len(results.predictions("my_xnli", trial)) > 0
    assert call("export", places.name, trial, "--submission", str(folder / "out")).exit_code == 0
    assert sorted(x.name for x in (folder / "out" / "my_xnli").iterdir()) == [
        "test-en.tsv",
        "test-qaa.tsv",
    ]
    assert "my_module" not in sys.modules
    labels = ("export", places.name, trial, "--labels", str(folder / "gold"))
    refused = call(*labels)
    assert refused.exit_code == 2 and not (folder / "gold").exists()
    line = " ".join(refused.output.split())
    assert "plugins: the stored file alone names this module, which would be imported; got" in line
    assert '"my_module"' in line
    assert "give --plugins (in Python: with_plugins=True)" in line
    assert "cannot be imported" in call(*labels, "--plugins").output
    (folder / "my_module.py").rename(folder / "modules" / "my_module.py")
    importlib.invalidate_caches()
    assert call(*labels, "--plugins").exit_code == 0
    assert (folder / "gold" / "my_xnli" / "test-qaa.tsv").exists()


def stored(sweep: Sweep, places: Places) -> Path:
    """The folder of a launch that has stored what defines the sweep."""
    folder = places.launch(1)
    define(sweep, places, INVENTORY, Settled({}), folder)
    return folder


def test_what_plugins_declare_is_stored_and_recalled(write: Write, tmp_path: Path) -> None:
    write()
    places = make_places(tmp_path / "runs")
    stored(sweep_with(), places)
    mine = find_task(sweep_with(), "my_xnli")
    spec = mine.kind_spec
    known = fingerprint(stages_of(sweep_with())[0])
    remember_nothing_of("my_module", tmp_path)
    sweep = load_results(places).sweep
    assert sweep.plugins == ("my_module",) and "my_module" not in sys.modules
    assert find_task(sweep, "my_xnli") == mine and kind_specs.kind_spec("my_pair") == spec
    stage = stages_of(sweep)[0]
    assert fingerprint(stage) == known and stage.parts[0].train.entry == mine
    assert "my_module" not in sys.modules
    with pytest.raises(PluginError, match="not imported here"):
        kinds.get("my_pair")
    (tmp_path / "my_module.py").rename(tmp_path / "modules" / "my_module.py")
    importlib.invalidate_caches()
    assert find_task(sweep_with(), "my_xnli") == mine, "who launches it imports it as ever"
    assert type(kinds.get("my_pair")).__name__ == "MyPair"


def test_every_declaration_can_be_recalled() -> None:
    brought = {"k": BroughtKind(kind_specs.kind_spec("span"), "x:Y")}
    plugin = Plugin("m", "/m.py", "0" * 16, {task.name: task for task in known_tasks()}, brought)
    assert recall_plugin(json.loads(json.dumps(describe_plugin(plugin)))) == plugin
    for wrong in (None, {}, {"kinds": 1}, {**describe_plugin(plugin), "tasks": {"x": {"kind": 1}}}):
        with pytest.raises(PluginError, match="what it brought cannot be read"):
            recall_plugin(wrong)
    kind_specs.BROUGHT.pop("k")


def test_no_module_that_the_storage_alone_names_is_imported(write: Write, tmp_path: Path) -> None:
    """Whoever may write to the storage may not have code run by those who read it."""
    places = make_places(tmp_path / "runs")
    folder = stored(sweep_with(plugins=[], targets=["mini_xnli"]), places)
    write(f"open({str(tmp_path / 'ran')!r}, 'w')\n{PLUGIN}")
    text = json.loads((folder / "sweep.json").read_text())
    write_json(folder / "sweep.json", {**text, "plugins": ["my_module"]})
    assert load_results(places).sweep.plugins == ("my_module",)
    inventory = json.loads((folder / "inventory.json").read_text())
    assert inventory.pop("plugins") == {}
    for undescribed in (inventory, inventory | {"plugins": 1}):
        write_json(folder / "inventory.json", undescribed)
        for read in (load_results, SweepResults):
            with pytest.raises(ConfigError, match=r'plugins: the stored.*got "my_module"; if you'):
                read(places)
    with pytest.raises(ConfigError, match="plugins: the stored file alone names"):
        planner_of(places, folder)
    assert not (tmp_path / "ran").exists()
    assert load_results(places, with_plugins=True).sweep.plugins == ("my_module",)
    assert (tmp_path / "ran").exists()


def test_a_launch_imports_what_its_own_file_names_alone(write: Write, tmp_path: Path) -> None:
    places = make_places(tmp_path / "runs")
    folder = stored(sweep_with(plugins=[], targets=["mini_xnli"]), places)
    write(f"open({str(tmp_path / 'ran')!r}, 'w')\n{PLUGIN}")
    text = json.loads((folder / "sweep.json").read_text())
    write_json(folder / "sweep.json", {**text, "plugins": ["my_module"]})
    with pytest.raises(ConfigError, match="-- my_module"):
        settle(sweep_with(plugins=[], targets=["mini_xnli"]), places, INVENTORY)
    assert not (tmp_path / "ran").exists()
