"""The command line as users meet it: help, wrong input, machine-readable output, one trial."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from tests.trial_records import record_json
from tools.mini import hub
from xstilts.cli import app
from xstilts.cli.app import program as program_name
from xstilts.config.load import load_sweep
from xstilts.data.hub_layout import Split, write_dataset
from xstilts.files import sha256_of, write_json
from xstilts.run import preparation
from xstilts.run.inputs import take_inventory
from xstilts.search.definition import Settled, define
from xstilts.search.proposals import target_points

from .conftest import make_places

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "sweeps" / "quickstart.yaml"
COMMANDS = (
    "quickstart",
    "init",
    "languages",
    "validate",
    "recipes",
    "plan",
    "sweep",
    "confirm",
    "run",
    "status",
    "report",
    "atlas",
    "ui",
    "prepare",
    "score",
    "export",
    "bench",
    "gc",
    "bundle",
    "verify",
    "slurm",
)


GROUPED = ("data list", "data import", "data check", "data add")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), terminal_width=80)


WORLD = "builtin:mini"


@pytest.fixture(autouse=True)
def built_once(shared_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building the miniature benchmark takes ten seconds, and every storage has its own."""
    monkeypatch.setattr(sys.modules[__name__], "WORLD", str(shared_mini))


def sweep_file(folder: Path, **changes: Any) -> str:
    data = yaml.safe_load(QUICKSTART.read_text())
    given = {"storage": str(folder / "runs"), "data": {"root": WORLD}, "confirm": None}
    data.update({**given, **changes})
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def stderr_of(result: Result) -> str:
    return result.output


def test_all_commands_are_known_here() -> None:
    found: Any = typer.main.get_command(app)
    assert set(found.commands) == {*COMMANDS, "data"}
    assert {f"data {name}" for name in found.commands["data"].commands} == set(GROUPED)


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
def test_every_command_has_help_with_an_example_in_80_columns(command: str) -> None:
    result = call(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: xstilts {command}" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
def test_every_example_can_be_read_by_its_command(command: str) -> None:
    """In one line, as it can be copied; what it does, `test_first_hour` tries."""
    output = call(*command.split(), "--help").output
    (line,) = (line for line in output.splitlines() if "Example: " in line)
    program, *arguments = shlex.split(line.partition("Example: ")[2])
    assert program == "xstilts"
    known: Any = typer.main.get_command(app)
    for name in command.split():
        known = known.commands[name]
    with known.make_context(command, arguments[len(command.split()) :]) as context:
        files = [path for value in context.params.values() for path in paths_in(value)]
    # `init` writes what the others read.
    named = [path.is_file() for path in files if path.suffix == ".yaml"]
    assert not any(named) if command == "init" else all(named)


def paths_in(value: Any) -> list[Path]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Path)]


def test_the_example_of_export_names_the_quickstarts_baseline() -> None:
    sweep = load_sweep(QUICKSTART)
    point = {"intermediate": "none", "model": "mini"}
    trial = f"none-{sha256_of(point)[:8]}-s{sweep.seeds[0]}"
    assert f"export quickstart {trial} " in call("export", "--help").output


@pytest.mark.parametrize(
    ("called", "printed"),
    [
        ("env/bin/xstilts", "env/bin/xstilts"),
        ("my env/bin/xstilts", "'my env/bin/xstilts'"),
        ("on path/xstilts", "xstilts"),
        ("xstilts/cli/__main__.py", f"{shlex.quote(sys.executable)} -m xstilts.cli"),
        ("/usr/bin/pytest", "xstilts"),
    ],
)
def test_examples_name_the_command_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, printed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("env/bin", "my env/bin", "on path"):
        program = tmp_path / folder / "xstilts"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "on path"))
    monkeypatch.setattr(sys, "argv", [called])
    assert program_name() == printed


def test_an_unknown_command_is_status_2() -> None:
    assert call("swep").exit_code == 2


def test_validate_answers_without_heavy_imports() -> None:
    script = (
        "import sys; from xstilts.cli import app; app(['validate', sys.argv[1]], "
        "standalone_mode=False); heavy = {'torch', 'ray', 'mlflow', 'optuna', 'transformers', "
        "'datasets'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script, str(QUICKSTART)], check=True, timeout=60)


def test_validate_tells_all_files_and_json(tmp_path: Path) -> None:
    bad = sweep_file(tmp_path, targets=["mini_xnly"], seeds=[0, 0])
    result = call("validate", str(QUICKSTART), bad)
    assert result.exit_code == 2
    assert f"{QUICKSTART}: valid" in result.output
    assert 'did you mean "mini_xnli"?' in result.output
    assert "seeds: a seed stands once" in result.output
    document = json.loads(call("validate", str(QUICKSTART), bad, "--json").stdout)
    assert document[str(QUICKSTART)] == []
    assert len(document[bad]) >= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {"m": {"path": "not/there"}}}, "models.m.path: no such folder"),
        (
            {"models": {"m": {"path": "xlm-roberta-base"}}},
            "models.m.path: no such folder here, and an id of the Hub has its owner too; got "
            '"xlm-roberta-base"; write OWNER/xlm-roberta-base',
        ),
        ({"data": {"root": "not/there"}}, "data.root: xstilts/mini_nli: no such data set"),
        (
            {
                "intermediates": {},
                "search": {"target": {"space": {"max_length": {"choice": [64, 512]}}}},
            },
            "search.target.space.max_length: models.mini reads 128 tokens at most; got 512",
        ),
        (
            {"recipe": {"name": "mini", "targets": {"mini_xnli": {"max_length": 512}}}},
            "recipe.targets.mini_xnli.max_length: models.mini reads 128 tokens at most; got 512",
        ),
        ({"storage": "/proc/nowhere"}, "storage: must be a folder that can be written"),
        ({"name": "../x"}, "name: is a plain name"),
        ({"nmae": "x"}, 'nmae: unknown key; did you mean "name"?'),
        ({"languages": ["en", "xx"]}, "languages[1]: no target has this language"),
        ({"objective": {"metric": "mini/avg"}}, "objective.metric: no target of this sweep"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "sweep", "run"])
def test_wrong_input_is_one_line_and_status_2(
    tmp_path: Path, command: str, changes: dict[str, Any], message: str
) -> None:
    result = call(command, sweep_file(tmp_path, **changes))
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("runs/store/*"))


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_rates_that_do_not_sum_to_1_are_said_to_be_normalised(tmp_path: Path, command: str) -> None:
    rates = {"mini_nli": 1, "mini_qa": 0.6}
    mix = {"tasks": list(rates), "rates": rates, "budget": {"examples": 64}}
    thirds = {**mix, "rates": {"mini_nli": 0.667, "mini_qa": 0.334}}
    file = sweep_file(tmp_path, intermediates={"mix": mix, "thirds": thirds}, search={})
    result = call(command, file)
    assert result.exit_code == 0, result.output
    line = "intermediates.mix.rates: sum to 1.6 and count as mini_nli 0.625, mini_qa 0.375\n"
    assert result.stderr.endswith(line) and result.stderr.count("sum to") == 1
    json.loads(call(command, file, "--json").stdout)


def test_a_wrong_trial_or_target_of_export_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    places = make_places(tmp_path, "quickstart")
    sweep = load_sweep(QUICKSTART, [f"storage={tmp_path}"])
    inventory = take_inventory(sweep, places)
    define(sweep, places, inventory, Settled(target_points(sweep)), places.launch(1))
    record = record_json("none-x-s0", point={"intermediate": "none", "model": "mini"})
    (places.trials / "none-x-s0").mkdir()
    write_json(places.trials / "none-x-s0" / "record.json", record)
    code = """
import sys
from typer.testing import CliRunner
from xstilts.cli import app
for trial, options, reason in (
    ("none-y-s0", ["--submission", "d"], "TRIAL: no finished trial"),
    ("none-x-s0", ["--model", "mini_tatoeba", "d"], "--model: no target that the trial trained"),
    ("none-x-s0", [], "export: something is to be exported"),
    ("none-x-s0", ["--encoder", "d"], "--encoder: a trial of the baseline trains no encoder"),
    ("none-y-s0", ["--encoder", "d"], "TRIAL: no finished trial"),
    ("best", ["--encoder", "d"], "TRIAL: is the best of one target"),
    ("best", ["--submission", "d"], "TRIAL: is the best of one target"),
    ("best", ["--model", "mini_xnl", "d"], 'no target of quickstart; got "mini_xnl"; did you mean'),
    ("best", ["--model", "mini_xnli", "d"], "mini_xnli: no configuration has finished with all"),
):
    arguments = ["export", "quickstart", trial, "--storage", sys.argv[1], *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and reason in result.output, result.output
    assert not {"torch", "transformers", "datasets", "mlflow"} & set(sys.modules), trial
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "command",
    ["status nobody", "report nobody", "ui nobody", "export nobody x --labels d", "gc", "data list",
     "data check --root nowhere", "score --predictions p --labels l", "validate nothing.yaml"],
)  # fmt: skip
def test_what_is_wrong_is_told_without_heavy_imports(tmp_path: Path, command: str) -> None:
    code = """
import sys
from typer.testing import CliRunner
from xstilts.cli import app
assert CliRunner().invoke(app, sys.argv[1:]).exit_code in (0, 2)
heavy = {"torch", "transformers", "ray", "mlflow", "optuna", "matplotlib"}
print(*sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "\n"


def test_wrong_input_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, models={"m": {"path": "not/there"}})
    code = """
import sys
from typer.testing import CliRunner
from xstilts.cli import app
for command in ("plan", "prepare", "sweep", "run"):
    assert CliRunner().invoke(app, [command, sys.argv[1]]).exit_code == 2
    assert not {"torch", "transformers", "ray", "mlflow"} & set(sys.modules), command
"""
    subprocess.run([sys.executable, "-c", code, file], check=True)


def test_a_trial_that_fits_on_no_node_is_refused_before_ray_starts(tmp_path: Path) -> None:
    result = call("sweep", sweep_file(tmp_path, resources={"gpus_per_trial": 1}))
    assert result.exit_code == 2
    assert "resources: a trial must fit on one node" in result.output
    assert "1 GPUs a trial; nodes: " in result.output


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_model_folder_that_lacks_a_part_is_named(tmp_path: Path, missing: str) -> None:
    from xstilts import mini

    folder = tmp_path / "model"
    folder.mkdir()
    for path in mini.encoder_path().iterdir():
        if path.name != missing:
            (folder / path.name).symlink_to(path)
    result = call("plan", sweep_file(tmp_path, models={"m": {"path": str(folder)}}))
    assert result.exit_code == 2
    what = {"model.safetensors": "weights", "tokenizer.json": "tokenizer"}
    assert f"the folder has no {what.get(missing, missing)}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "nobody"], "no sweep of that name"),
        (["report", "../x"], "is a plain name"),
        (["ui", "nobody"], "no sweep of that name"),
        (["sweep", "gone.yaml"], "no such file"),
        (["run", str(QUICKSTART), "--point", "{intermediate: nly}"], "is not in the search space"),
        (["run", str(QUICKSTART), "--point", "[1]"], "--point: is a mapping"),
        (["run", str(QUICKSTART), "--seed", "7"], "--seed: is one of the file's seeds"),
        (["run", str(QUICKSTART), "--trial", "x"], "has no such trial"),
        (["plan", str(QUICKSTART), "--set", "seeds"], "--set: is written a.b=value"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_mini: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "run":
        arguments = [*arguments, "--set", f"data.root={shared_mini}"]
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_a_trial_of_another_storage_is_not_rebuilt_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("run", str(QUICKSTART), "--trial", "none-30c74ba6-s0")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    where = "a record lies in the storage that its sweep was run with: --set storage=FOLDER"
    assert where in result.stderr and "known" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_plan_counts_trials_stages_and_steps(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)
    document = json.loads(call("plan", file, "--json").stdout)
    assert document["trials"] == document["configurations"] * document["seeds"]
    assert document["stages"]["intermediate"]["most"] > 0
    assert document["stages"]["done"] == 0
    rows = {(row["stage"], row["task"]): row for row in document["tasks"]}
    assert rows["mix", "mini_qa"]["examples"] > 0
    assert {name for name, _ in rows} >= {"nli", "choice", "qa", "mix", "target mini_xnli"}
    values = {one["stage"]: one["values"] for one in document["recipe"]["stages"]}
    assert document["recipe"]["name"] == "mini" and values["qa"]["epochs"] == 0.3
    shown = call("plan", file).output
    assert "every stage: learning_rate searched, batch_size 16" in shown
    assert max(map(len, shown.splitlines())) <= 80 and "rates are shares of examples: mix" in shown
    of_steps = call("plan", file, "--set", "intermediates.mix.unit=steps").output
    assert "rates are shares of steps: mix" in of_steps


def test_plan_says_what_fits_on_a_cluster(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)
    text = (ROOT / "cluster.yaml").read_text()
    filled_in = tmp_path / "cluster.yaml"
    filled_in.write_text(text.replace("REPLACE_ME", "1"))
    cluster = ["--cluster", str(filled_in)]
    shown = call("plan", file, *cluster)
    assert "node type gpu: 8 trials at once on each, at most 4 nodes" in shown.output
    assert "node type head: no trial fits" in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    gpus = [file, "--set", "resources.gpus_per_trial=1", "--price", "gpu=0.5"]
    priced = json.loads(call("plan", *gpus, *cluster, "--json").stdout)
    nodes = {node["type"]: node for node in priced["cluster"]}
    for bound in ("least", "most"):
        hours = priced["hours"][bound]  # a trial has the one GPU of its node
        assert nodes["gpu"]["node_hours"][bound] == pytest.approx(hours)
        assert nodes["gpu"]["cost"][bound] == pytest.approx(hours / 2)
        assert nodes["head"]["node_hours"][bound] == pytest.approx(hours / 4)
    assert "cost" not in nodes["head"]
    assert "node-hours, which cost" in " ".join(call("plan", *gpus, *cluster).output.split())
    for more, message in (
        (["--set", "resources.cpus_per_trial=16", *cluster], "a trial must fit on one node"),
        (["--cluster", file], "--cluster: is a file for `ray up`"),
        (["--cluster", str(ROOT / "cluster.yaml")], "has no placeholders left; got ami-REPLACE_ME"),
        (["--price", "gpu=1"], "--price: is of the node types of a --cluster"),
        (["--price", "tpu=1", *cluster], "--price: is a price of one of the node types, head, gpu"),
        (["--price", "gpu", *cluster], "--price: is a node type and its price an hour"),
    ):
        refused = call("plan", file, *more)
        assert refused.exit_code == 2 and message in " ".join(refused.output.split())


def test_plan_says_what_fits_on_pods(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)
    own = ROOT / "xstilts/cluster/raycluster.yaml"
    refused = call("plan", file, "--cluster", str(own))
    left = "class-REPLACE_ME, digest-REPLACE_ME, image-REPLACE_ME"
    assert refused.exit_code == 2
    assert f"has no placeholders left; got {left}" in " ".join(refused.output.split())
    filled_in = tmp_path / "raycluster.yaml"
    filled_in.write_text(own.read_text().replace("REPLACE_ME", "1"))
    cluster = ["--cluster", str(filled_in)]
    shown = call("plan", file, *cluster).output
    assert "node type gpu: 8 trials at once on each, at most 4 nodes" in shown
    assert "node type head: no trial fits" in shown
    gpus = ["--set", "resources.gpus_per_trial=1", "--price", "gpu=0.5"]
    priced = json.loads(call("plan", file, *gpus, *cluster, "--json").stdout)
    nodes = {node["type"]: node for node in priced["cluster"]}
    assert nodes["gpu"]["trials_a_node"] == 1 and nodes["gpu"]["cost"]["most"] > 0
    filled_in.write_text(own.read_text().replace('limits: {cpu: "8"', 'limits: {cpu: "all"'))
    refused = call("plan", file, *cluster)
    said = "--cluster: is a file for `ray up`, or a RayCluster, whose node types say"
    assert refused.exit_code == 2 and said in " ".join(refused.output.split())


def test_plan_assumes_a_rate_of_gpus_and_says_so(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, resources={"gpus_per_trial": 2, "cpus_per_trial": 2})
    shown = " ".join(call("plan", file).output.split())
    assert "GPU-hours, if a GPU sustains 100 TFLOP/s, an assumption" in shown
    one = json.loads(call("plan", file, "--set", "resources.gpus_per_trial=1", "--json").stdout)
    two = json.loads(call("plan", file, "--json").stdout)
    assert two["hours"]["most"] == pytest.approx(2 * one["hours"]["most"])
    assert not any(row["is_counted"] for row in two["tasks"])


def test_plan_tells_hours_at_measured_rates(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)

    def rates(scale: float, dtype: str = "fp32") -> str:
        """A file of rates: `scale` rows of each measured kind a second."""
        rows = [{"kind": kind, "dtype": dtype} for kind in ("pair", "tagging", "span")]
        rows = [{**row, "model": "tiny", "examples_per_s": scale} for row in rows]
        path = tmp_path / f"bench{scale}{dtype}.json"
        path.write_text(json.dumps({"device": "cpu", "train": rows, "evaluate": rows}))
        return str(path)

    slow, fast = (
        json.loads(call("plan", file, "--bench", rates(scale), "--json").stdout)
        for scale in (10.0, 100.0)
    )
    assert slow["hours"]["most"] == pytest.approx(10 * fast["hours"]["most"])
    assert slow["hours"]["most"] >= slow["hours"]["least"] > 0
    shown = call("plan", file, "--bench", rates(10.0)).output
    assert "hours of one trial after the other" in shown and "tiny on cpu" in shown
    assert max(map(len, shown.splitlines())) <= 80
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    for path, rule in ((str(broken), "bench --out"), (rates(1.0, "bf16"), "has rates of mnli")):
        refused = call("plan", file, "--bench", path)
        assert refused.exit_code == 2 and rule in refused.output


def test_one_trial_runs_and_is_rebuilt_from_its_record(tmp_path: Path, shared_mini: Path) -> None:
    short = {
        "targets": ["mini_xnli", "mini_tatoeba"],
        "languages": ["en", "qab"],
        "data": {"root": str(shared_mini)},
        "search": {
            "encoder": {
                "space": {
                    "intermediate": {"choice": ["none", "nli"]},
                    "intermediate.epochs": {"choice": [0.05]},
                    "target.epochs": {"choice": [0.05]},
                }
            }
        },
    }
    file = sweep_file(tmp_path, **short)
    first = json.loads(call("run", file, "--point", "{intermediate: nli}", "--json").stdout)
    assert first["state"] == "finished"
    assert first["metrics"]["custom/avg"] > 0
    assert {row["language"] for row in first["scores"]} == {"en", "qab"}
    done = list(tmp_path.glob("runs/store/*/result-1/DONE"))
    assert len(done) == len(first["stages"])
    for path in done:
        path.unlink()
    again = json.loads(call("run", file, "--trial", first["trial"], "--json").stdout)
    assert again["scores"] == first["scores"]
    assert again["stages"][0]["fingerprint"] == first["stages"][0]["fingerprint"]


def test_data_list_names_every_task() -> None:
    rows = json.loads(call("data", "list", "--json").stdout)
    assert {row["name"] for row in rows} >= {"mini_nli", "mini_mlm", "mini_tatoeba"}
    assert max(map(len, call("data", "list").output.splitlines())) <= 80


def test_original_files_become_a_mirror_that_can_be_checked(tmp_path: Path) -> None:
    folder = tmp_path / "download" / "xnli"
    folder.mkdir(parents=True)
    (folder / "dev-de.tsv").write_text("Eins.\tZwei.\tneutral\r\n", newline="")
    (folder / "notes.txt").write_text("nothing")
    root = str(tmp_path / "mirror")
    result = call("data", "import", str(folder.parent), "--root", root)
    assert result.exit_code == 0, result.output
    assert "facebook/xnli" in result.output and "1 files of no known format" in result.output
    checked = call("data", "check", "--root", root, "--json")
    rows = json.loads(checked.stdout)
    assert [(row["task"], row["use"], row["num_rows"]) for row in rows] == [
        ("xnli", "validation", 1)
    ]
    (folder / "dev-de.tsv").write_text("Eins.\tZwei.\tperhaps\r\n", newline="")
    broken = call("data", "import", str(folder.parent), "--root", root)
    assert broken.exit_code == 2 and "dev-de.tsv:1" in broken.output
    nothing = call("data", "check", "--root", str(tmp_path / "download"))
    assert nothing.exit_code == 2 and "--root: is no mirror" in nothing.output


@pytest.fixture
def toy_sweep(tmp_path: Path) -> str:
    """A sweep over two pairs in each split, in two lengths."""
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in (0, 1)]
    splits = [
        Split("en", split, hub.PAIR_FEATURES, rows) for split in ("train", "validation", "test")
    ]
    write_dataset(tmp_path / "mirror/xstilts/mini_xnli", splits, "toy")
    return sweep_file(
        tmp_path,
        data={"root": str(tmp_path / "mirror")},
        intermediates={},
        targets=["mini_xnli"],
        languages=["en"],
        seeds=[0],
        search={"target": {"space": {"max_length": {"choice": [16, 32]}}}},
    )


@pytest.mark.ray
def test_a_sweep_with_much_to_encode_does_it_first(
    tmp_path: Path, toy_sweep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "PARALLEL_ROWS", 0)
    result = call("sweep", toy_sweep)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "runs/sweeps").glob("*/report/tokens.csv")
    (text,) = (path.read_text() for path in lines)
    assert text.count("mini_xnli") == 6 and "fertility" in text.splitlines()[0]
    # The trial reads one of the two lengths: the pool encoded both.
    assert len(list((tmp_path / "runs/encoded").glob("*.json"))) == 6


def test_prepare_encodes_once_and_trials_read_what_it_wrote(tmp_path: Path, toy_sweep: str) -> None:
    file = toy_sweep
    missing = call("prepare", file, "--check", "--json")
    assert missing.exit_code == 1
    # Three uses in each of two lengths.
    assert json.loads(missing.stdout)["rows"] == 12
    first = call("prepare", file, "--json")
    assert first.exit_code == 0, first.output
    assert {(row["task"], row["use"], row["rows"]) for row in json.loads(first.stdout)} == {
        ("mini_xnli", use, 2) for use in ("train", "dev", "test")
    }
    encoded = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/encoded").iterdir()}
    again = call("prepare", file)
    assert again.exit_code == 0 and "0 of 6 parts were missing" in again.output
    assert call("prepare", file, "--check").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in encoded} == encoded
    assert call("run", file, "--seed", "0").exit_code == 0
    # The trial found all that it read.
    assert set((tmp_path / "runs/encoded").iterdir()) == set(encoded)


def test_a_mirror_that_changed_since_prepare_is_refused(tmp_path: Path, toy_sweep: str) -> None:
    assert call("prepare", toy_sweep).exit_code == 0
    rows = [{"premise": "c", "hypothesis": "d", "label": label} for label in (0, 1)]
    splits = [
        Split("en", split, hub.PAIR_FEATURES, rows) for split in ("train", "validation", "test")
    ]
    write_dataset(tmp_path / "mirror/xstilts/mini_xnli", splits, "toy")
    refused = call("sweep", toy_sweep)
    assert refused.exit_code == 2
    assert "as `prepare` read them; got changed: xstilts/mini_xnli" in refused.output
    assert not list(tmp_path.glob("runs/store/*"))


def test_mlm_from_a_model_without_lm_head_is_refused_before_anything(
    tmp_path: Path, tiny_model: Path
) -> None:
    from transformers import AutoModel

    shutil.copytree(tiny_model, tmp_path / "bare")
    AutoModel.from_pretrained(tiny_model).save_pretrained(tmp_path / "bare")
    mix = {"tasks": ["mini_nli", "mini_mlm"], "budget": {"examples": 64}}
    file = sweep_file(
        tmp_path,
        models={"bare": {"path": str(tmp_path / "bare")}},
        intermediates={"mix": {**mix, "rates": {"mini_nli": 1, "mini_mlm": 1}}},
        search={},
    )
    result = call("run", file)
    assert result.exit_code == 2
    assert 'intermediates.mix.tasks: "mini_mlm" needs a model with its' in result.output
    assert "models.bare" in result.output
