"""The first hour of somebody who has installed it and copies what is printed: every example of
every `--help`, and the last line of a sweep, from a folder without an activated environment."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xstilts.tasks import lookup

from ..test_cli import COMMANDS, GROUPED
from .conftest import descendants
from .hosts_of_one import free_port
from .test_faults import answers, wait_until

pytestmark = pytest.mark.ray

PROGRAM = "env/bin/xstilts"
LONG = {"quickstart", "sweep", "run", "bench"}
"""Their examples take minutes; `test_cli` reads them."""

SHORT = (
    "seeds=[0]",
    "search.encoder.trials=1",
    "search.target.trials=1",
    "search.target.space={epochs: {choice: [0.05]}}",
)


class Newcomer:
    """A folder with an environment in it that is not activated."""

    def __init__(self, folder: Path, mini: Path):
        self.folder = folder
        self.mini = mini
        program = folder / PROGRAM
        program.parent.mkdir(parents=True)
        begin = "from xstilts.cli import main\n\nif __name__ == '__main__':\n    main()\n"
        program.write_text(f"#!{sys.executable}\n{begin}")
        program.chmod(0o755)
        self.environment = {**os.environ, "COLUMNS": "80", "XDG_STATE_HOME": str(folder / "state")}
        path = os.environ["PATH"].split(os.pathsep)
        path = [place for place in path if not (Path(place) / "xstilts").exists()]
        self.environment["PATH"] = os.pathsep.join(path)

    def type(self, line: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """What comes of a line that is typed into a shell."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, (line, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def sweep(self, storage: str) -> str:
        """The quickstart's sweep, cut short."""
        settings = (*SHORT, f"storage={storage}", f"data.root={self.mini}")
        options = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
        return self.type(f"{PROGRAM} sweep builtin:quickstart {options}").stdout

    @contextmanager
    def ui(self, line: str) -> Iterator[str]:
        """A line that opens the UI; its address, while it runs."""
        port = free_port()
        server = subprocess.Popen(
            [*shlex.split(line), "--port", str(port)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(f"{url}/health"), 120)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            _, text = server.communicate(timeout=30)
        assert server.returncode == 0, text
        assert not descendants(server.pid)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Newcomer:
    """Somebody who has run the quickstart's sweep."""
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"), shared_mini)
    output = newcomer.sweep("trial/runs")
    assert output.splitlines()[-1] == f"MLflow UI: {PROGRAM} ui quickstart --storage trial/runs"
    return newcomer


def test_every_example_of_help_works_as_it_is_printed(newcomer: Newcomer) -> None:
    originals = newcomer.folder / "download" / "xnli"
    originals.mkdir(parents=True)
    (originals / "dev-de.tsv").write_text("Eins.\tZwei.\tneutral\r\n", newline="")
    reviews = newcomer.folder / "reviews"
    reviews.mkdir()
    lines = (f"Day {i} was {'good' if i % 2 else 'bad'}.,{5 if i % 2 else 1}\n" for i in range(40))
    (reviews / "train.csv").write_text("".join(["review,stars\n", *lines]))
    (reviews / "test-de.jsonl").write_text('{"review": "Sehr gut.", "stars": 5}\n')
    ran = []
    for name in (*COMMANDS, *GROUPED):
        text = newcomer.type(f"{PROGRAM} {name} --help").stdout
        (line,) = (line for line in text.splitlines() if "Example: " in line)
        example = line.partition("Example: ")[2]
        assert example.startswith(f"{PROGRAM} {name}")
        if name in LONG:
            continue
        if name == "score":  # of the benchmark that it is for
            for folder in ("submission", "labels"):
                (newcomer.folder / folder / "xnli").mkdir(parents=True)
                for language in lookup("xnli").languages_of("test"):
                    path = newcomer.folder / folder / "xnli" / f"test-{language}.tsv"
                    path.write_text("neutral\n")
        if name == "ui":
            with newcomer.ui(example):
                pass
        else:
            newcomer.type(example)
        ran.append(name)
    assert len(ran) == len(COMMANDS) + len(GROUPED) - len(LONG)


def test_the_last_storage_is_found_and_named(newcomer: Newcomer) -> None:
    said = f"--storage {newcomer.folder / 'trial/runs'}: that of the last sweep\n"
    for name in ("status", "report"):
        done = newcomer.type(f"{PROGRAM} {name} quickstart --json")
        assert done.stderr == said
        json.loads(done.stdout)
    given = newcomer.type(f"{PROGRAM} status quickstart --storage trial/runs")
    assert given.stderr == ""


def test_a_storage_that_was_moved_goes_on_and_the_ui_shows_its_artifacts(
    newcomer: Newcomer,
) -> None:
    (newcomer.folder / "trial").rename(newcomer.folder / "else where")
    storage = newcomer.folder / "else where/runs"
    try:
        # Before anything is launched there.
        line = f"{PROGRAM} ui quickstart --storage {shlex.quote(str(storage))}"
        with newcomer.ui(line) as url:
            assert artifact(url, "scores.json") == read(storage, "scores.json")
        newcomer.type(
            f"{PROGRAM} export quickstart {trial_of(storage)} --labels gold "
            f"--storage {shlex.quote(str(storage))}"
        )
        output = newcomer.sweep(str(storage))
        assert "everything is done already" in output
        line = output.splitlines()[-1].removeprefix("MLflow UI: ")
        assert line == f"{PROGRAM} ui quickstart --storage 'else where/runs'"
        with newcomer.ui(line) as url:
            assert artifact(url, "record.json") == read(storage, "record.json")
        assert not (newcomer.folder / "trial").exists(), "the old folder is not made again"
    finally:
        (newcomer.folder / "else where").rename(newcomer.folder / "trial")


def trial_of(storage: Path) -> str:
    (folder,) = storage.glob("sweeps/quickstart/trials/*")
    return folder.name


def read(storage: Path, name: str) -> bytes:
    return (storage / "sweeps/quickstart/trials" / trial_of(storage) / name).read_bytes()


def artifact(url: str, name: str) -> bytes:
    """An artifact of the trial's run, as the UI gets it."""
    found = call(url, "experiments/get-by-name?experiment_name=quickstart")["experiment"]
    body = {"experiment_ids": [found["experiment_id"]]}
    runs = call(url, "runs/search", body)["runs"]
    (run,) = (run["info"]["run_id"] for run in runs if run["info"]["run_name"] != "summary")
    query = urllib.parse.urlencode({"run_uuid": run, "path": name})
    with urllib.request.urlopen(f"{url}/get-artifact?{query}", timeout=30) as answer:
        return bytes(answer.read())


def call(url: str, what: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/{what}", data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
