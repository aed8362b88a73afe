"""The script that nodes run, with the real MLflow server and the real Ray: started, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ..processes import is_process_alive
from ..stories.conftest import descendants
from ..stories.hosts_of_one import free_port
from .rules import NODE

NodeSh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def node(tmp_path: Path, port: int) -> Iterator[NodeSh]:
    """Runs the script in an empty home, with the environment that runs the tests but for Ray."""
    environment = tmp_path / "venv/bin"
    environment.mkdir(parents=True)
    (environment / "mlflow").symlink_to(Path(sys.executable).parent / "mlflow")
    (environment / "ray").symlink_to("/bin/true")
    script = tmp_path / "node.sh"
    text = NODE.read_text().replace("5000", str(port))
    script.write_text(text.replace("/tmp/xstilts-", f"{tmp_path}/private-"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script), *arguments],
            env={**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    yield run
    run("stop")


@pytest.mark.slow
def test_the_server_starts_once_answers_here_alone_and_ends(
    node: NodeSh, port: int, tmp_path: Path
) -> None:
    for _ in range(2):
        ended = node("mlflow", "start")
        assert ended.returncode == 0, ended.stderr
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert json.load(answer)["experiment"]["experiment_id"] == "0"
    foreign = urllib.request.Request(url, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(foreign, timeout=30)
    assert refused.value.code == 403
    assert (tmp_path / "mlflow/mlflow.db").exists()
    sessions = {os.getsid(pid) for pid in servers(tmp_path)}
    assert len(sessions) == 1
    assert node("stop").returncode == 0
    assert servers(tmp_path) == []
    assert not [pid for pid in processes() if session_of(pid) in sessions]
    assert node("stop").returncode == 0, "nothing to stop is no failure"


def processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def servers(home: Path) -> list[int]:
    """The processes of the server whose database lies under a folder."""
    found = []
    for pid in processes():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "mlflow" in line and f"sqlite:///{home}/" in line:
            found.append(pid)
    return found


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def test_a_server_that_does_not_start_fails_with_its_log(node: NodeSh, tmp_path: Path) -> None:
    mlflow = tmp_path / "venv/bin/mlflow"
    mlflow.unlink()
    mlflow.write_text("#!/bin/bash\necho no such table; exit 1\n")
    mlflow.chmod(0o755)
    script = tmp_path / "node.sh"
    script.write_text(script.read_text().replace("seq 60", "seq 2"))
    ended = node("mlflow", "start")
    assert ended.returncode == 1
    assert "no such table" in ended.stderr


def test_the_environment_of_shells_is_written_once(node: NodeSh, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'\n")
    node("shell", "A=1")
    node("shell", "A=2")
    lines = (tmp_path / ".bashrc").read_text().splitlines()
    assert lines[0] == "alias ll='ls -l'"
    assert len(lines) == 2
    assert " A=2 " in lines[1]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "start",
        "ray start",
        "ray start boss",
        "mlflow start twice",
        "stop all",
        "spot azure",
        "pod",
        "pod boss",
    ],
)
def test_other_words_are_refused(node: NodeSh, words: str) -> None:
    ended = node(*words.split())
    assert ended.returncode == 1
    assert "unknown" in ended.stderr


class Metadata(BaseHTTPRequestHandler):
    """The machine's metadata as AWS serves them: a token first; no action until there is one."""

    is_called_back = False
    words: tuple[str, ...] = ()

    def do_PUT(self) -> None:
        self._answer(200 if self.path == "/latest/api/token" else 404)

    def do_GET(self) -> None:
        has_token = self.headers["X-aws-ec2-metadata-token"] == "token"
        is_there = self.path == "/latest/meta-data/spot/instance-action" and self.is_called_back
        self._answer(401 if not has_token else 200 if is_there else 404)

    def _answer(self, status: int, text: str = "token") -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class GoogleMetadata(Metadata):
    """As Google Cloud serves them, to who says the header: FALSE until it is called back."""

    words = ("gcp",)

    def do_GET(self) -> None:
        is_asked = self.headers["Metadata-Flavor"] == "Google"
        is_asked &= self.path == "/computeMetadata/v1/instance/preempted"
        self._answer(200 if is_asked else 403, "TRUE" if self.is_called_back else "FALSE")


@pytest.mark.parametrize("metadata", [Metadata, GoogleMetadata], ids=["aws", "gcp"])
def test_a_machine_that_is_called_back_gives_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: type[Metadata]
) -> None:
    """In a folder that is this user's alone, for whoever makes the file stops the trials."""
    private = tmp_path / f"private-{os.geteuid()}"
    private.mkdir(mode=0o755)
    notice = private / "notice"
    notice.touch()  # of the machine's life before
    script = tmp_path / "node.sh"
    script.write_text(NODE.read_text().replace("/tmp/xstilts-", f"{tmp_path}/private-"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "HOME": str(tmp_path),
        "XSTILTS_METADATA": f"http://127.0.0.1:{server.server_port}",
        "XSTILTS_METADATA_EVERY_S": "0.1",
    }
    command = ["bash", str(script), "spot", *metadata.words]
    watcher = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            watcher.wait(2)
        assert not notice.exists()
        monkeypatch.setattr(metadata, "is_called_back", True)
        assert watcher.wait(60) == 0
        assert notice.exists()
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        watcher.kill()
        server.shutdown()


def test_a_folder_that_another_made_first_is_not_used(tmp_path: Path) -> None:
    script = tmp_path / "node.sh"
    script.write_text(NODE.read_text().replace("/tmp/xstilts-", f"{tmp_path}/private-"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"private-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    ended = subprocess.run(["bash", str(script), "spot"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "is not this user's" in ended.stderr


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="x", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def foreign(short: Path) -> Iterator[set[int]]:
    """The processes of a Ray that is not ours, on another port and in another folder."""
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={free_port()}"]
    options = f"--temp-dir={short}/foreign --num-cpus=1 --include-dashboard=false"
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "foreign"}
    command = [*ray, *options.split(), "--object-store-memory=100000000", "--disable-usage-stats"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    mark = f"{short}/foreign"
    try:
        yield of_folder(mark)
    finally:
        while found := of_folder(mark):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


def of_folder(folder: str) -> set[int]:
    """The processes of a Ray by its folder, and those below them."""
    found = set()
    for pid in processes():
        with suppress(OSError):
            if folder.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found |= {pid, *descendants(pid)}
    return {pid for pid in found if is_process_alive(pid)}


@pytest.mark.ray
def test_our_ray_starts_anew_and_ends_and_another_lives_on(
    tmp_path: Path, short: Path, foreign: set[int]
) -> None:
    home, storage = tmp_path / "home", tmp_path / "storage"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray/auth_token").write_text("drawn by Ray")
    (home / "venv").symlink_to(Path(sys.executable).parents[1])
    (storage / "runs").mkdir(parents=True)
    text = (
        NODE.read_text().replace("/tmp/xstilts-", f"{short}/own-").replace("6379", str(free_port()))
    )
    text = text.replace("SHARED=/mnt/xstilts", f"SHARED={storage}").replace(
        "mountpoint -q", "test -d"
    )
    (tmp_path / "node.sh").write_text(text)

    def run(*arguments: str) -> set[int]:
        """Run the script; the processes of its Ray after."""
        done = subprocess.run(
            ["bash", str(tmp_path / "node.sh"), *arguments],
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return of_folder(f"{short}/own-")

    assert len(foreign) >= 4
    first = run("ray", "start", "head", "--num-cpus=1", "--include-dashboard=false")
    second = run("ray", "start", "head", "--num-cpus=1", "--include-dashboard=false")
    assert len(first) >= 4 and len(second) >= 4
    assert not [pid for pid in first if is_process_alive(pid)], "the first has ended"
    (found,) = short.glob("own-*/ray/ray_current_cluster")
    assert run("stop") == set()
    assert not [pid for pid in second if is_process_alive(pid)]
    assert not found.exists()
    assert of_folder(f"{short}/foreign") == foreign
    assert run("stop") == set(), "nothing to stop is no failure"
