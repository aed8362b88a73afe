"""`xstilts slurm`: what sinfo says decides, what is printed is the script, sbatch gets the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from xstilts.cli import app, submitting
from xstilts.run.storage import identity_of
from xstilts.search.preflight import file_system

SWEEP = """
name: mine
benchmark: custom
recipe: mini
models: {m: {path: "builtin:mini"}}
data: {root: "builtin:mini"}
targets: [mini_xnli]
storage: %s
"""
SINFO = "cpu*|up|2:00:00|1-infinite|4|2|(null)|idle\n"
ONE = ("--cpus-per-node", "2", "--time", "1:00:00")

Tool = Callable[[str, str], None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a command first on the path; no Slurm is there before."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(SWEEP % "runs")
    if file_system(tmp_path, Path("/proc/mounts")).partition(" ")[0] in submitting.SHARED_NOWHERE:
        monkeypatch.setattr(submitting, "SHARED_NOWHERE", ())

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def slurm(*words: str) -> Result:
    return CliRunner().invoke(app, ["slurm", "sweep.yaml", *words])


def test_what_is_printed_is_what_is_submitted(tool: Tool, tmp_path: Path) -> None:
    tool("sinfo", f"echo '{SINFO}'")
    printed = slurm(*ONE, "--set", "seeds=[1]")
    assert printed.exit_code == 0, printed.output
    identity = identity_of(tmp_path / "runs")
    assert f"STORAGE={tmp_path}/runs IDENTITY={identity} CPUS=2 GPUS=0" in printed.stdout
    assert f"SWEEP=({tmp_path}/sweep.yaml --set 'seeds=[1]')" in printed.stdout
    assert "ends before it begins" in printed.stderr, "no other machine need see this disk"
    tool("sbatch", f"cat > {tmp_path}/got; echo Submitted batch job 7")
    submitted = slurm(*ONE, "--set", "seeds=[1]", "--submit")
    assert submitted.exit_code == 0, submitted.output
    assert submitted.stdout.startswith("Submitted batch job 7; its log is xstilts-mine-JOB.log")
    assert (tmp_path / "got").read_text() == printed.stdout


def test_what_slurm_cannot_give_is_refused_before_anything_is_made(
    tool: Tool, tmp_path: Path
) -> None:
    tool("sinfo", f"echo '{SINFO}'")
    refused = slurm("--cpus-per-node", "3", "--time", "24:00:00", "--nodes", "1-4")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "--nodes 1-4 --gpus-per-node 0 --time 24:00:00: no partition can give that; "
        "cpu gives 02:00:00 at most\n"
    )
    assert not (tmp_path / "runs").exists()


def test_without_slurm_it_is_printed_and_not_submitted(tool: Tool, tmp_path: Path) -> None:
    line = 'sinfo: answers where jobs are submitted; got "there is none"'
    printed = slurm(*ONE)
    assert printed.exit_code == 0 and f"not checked: {line}\n" in printed.stderr
    refused = slurm(*ONE, "--submit")
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", f"{line}\n")


@pytest.mark.parametrize("name", ["sinfo", "sbatch"])
def test_what_slurm_says_instead_is_said_in_one_line(tool: Tool, name: str) -> None:
    tool("sinfo", f"echo '{SINFO}'")
    tool(name, "echo 'slurm_load: first' >&2; echo 'Invalid account' >&2; exit 1")
    refused = slurm(*ONE, "--submit")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1].startswith(f"{name}: ")
    assert refused.stderr.splitlines()[-1].endswith('got "Invalid account"')


def test_a_storage_in_memory_is_refused(tool: Tool, tmp_path: Path) -> None:
    if not submitting.SHARED_NOWHERE:
        pytest.skip("the folder of the tests lies in memory itself")
    (tmp_path / "sweep.yaml").write_text(SWEEP % "/dev/shm/xstilts-test/runs")
    refused = slurm(*ONE)
    assert refused.exit_code == 2
    assert "storage: must be a folder that all nodes share" in refused.stderr
    assert not Path("/dev/shm/xstilts-test").exists()
