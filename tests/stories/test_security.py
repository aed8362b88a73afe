"""A local sweep speaks to nobody else, and what is secret stays in its environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..sockets import Listener, listed, listeners
from .conftest import SWEEP, Bench, descendants

pytestmark = pytest.mark.ray

SECURITY = (Path(__file__).parents[2] / "SECURITY.md").read_text()
PLANTED = {
    "MLFLOW_TRACKING_PASSWORD": "planted-password-of-mlflow",
    "HF_TOKEN": "hf_planted0token0of0the0hub",
    "RAY_AUTH_TOKEN": "planted-token-of-another-ray",
}
NAMES = {
    r"-m xstilts\.cli -v sweep": "the driver, `xstilts sweep`",
    r"/gcs_server ": "`gcs_server`",
    r"/raylet ": "`raylet`",
    r"^ray::RuntimeEnvAgent": "`ray::RuntimeEnvAgent`",
    r"^ray::(?!RuntimeEnv|Dashboard)": "`ray::`, a trial's process",
}
"""How SECURITY.md calls a process, by its command line."""

CLIENT = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(len(ray.nodes()), "node")
"""


@dataclass
class Seen:
    """What was seen of a sweep while it ran, and after."""

    sockets: set[Listener] = field(default_factory=set)
    command_lines: set[str] = field(default_factory=set)
    folder: Path = Path()
    mode: int = 0
    longest_socket: int = 0
    token: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    agent: int = 0
    found: set[tuple[str, str]] = field(default_factory=set)
    output: str = ""
    storage: Path = Path()

    def look(self, driver: int, own: dict[str, str]) -> None:
        """Look at all processes of the sweep, and for secrets in Ray's folder."""
        pids = [driver, *descendants(driver)]
        self.sockets |= listeners(pids)
        for pid in pids:
            with suppress(OSError):
                self.command_lines.add(Path(f"/proc/{pid}/cmdline").read_text())
        if self.folder.name:
            self.search(self.folder, own)

    def search(self, folder: Path, secrets: dict[str, str]) -> None:
        """Note which file holds which secret."""
        for path in folder.rglob("*"):
            with suppress(OSError):
                content = path.read_bytes() if path.is_file() else b""
                self.found |= {
                    (name, str(path)) for name, text in secrets.items() if text.encode() in content
                }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Iterator[Seen]:
    """A whole sweep with secrets in its environment, watched."""
    bench = Bench(tmp_path_factory.mktemp("security"))
    (bench.folder / "sweep.yaml").write_text(SWEEP % shared_mini)
    seen = Seen(storage=bench.storage)
    with pytest.MonkeyPatch.context() as patch:
        for name, text in PLANTED.items():
            patch.setenv(name, text)
        patch.setenv("RAY_AUTH_MODE", "disabled")  # which a local sweep does not heed
        driver = bench.start("-v", "sweep", "sweep.yaml")
        bench.wait_for(lambda: bool(bench.workers()))
        gcs = next(pid for pid in descendants(driver.pid) if "gcs_server" in line_of(pid))
        seen.folder = Path(re.search(r"--log_dir=(/.*?)/ray/", line_of(gcs))[1])
        seen.mode = seen.folder.stat().st_mode & 0o777
        sockets = [path for path in seen.folder.rglob("*") if path.is_socket()]
        seen.longest_socket = max(
            len(str(path.relative_to(seen.folder.parent))) for path in sockets
        )
        seen.token = variable(gcs, "RAY_AUTH_TOKEN")
        secrets = {**PLANTED, "the launch's token": seen.token}
        (port,) = {one.port for one in listeners([gcs])}
        clients = {name: client(port, name, seen.token) for name in ("none", "wrong", "right")}
        agents = [pid for pid in descendants(driver.pid) if "RuntimeEnvAgent" in line_of(pid)]
        (agent,) = {one.port for one in listeners(agents)}
        seen.agent = status_of(agent)
        while driver.poll() is None:
            seen.look(driver.pid, secrets)
            with suppress(subprocess.TimeoutExpired):
                seen.output = bench.finish(driver, timeout_s=1)
        for name, one in clients.items():
            text, _ = one.communicate(timeout=120)
            seen.answers[name] = one.returncode, text
        seen.output += bench.run("status", "small") + bench.run("report", "small")
        seen.search(bench.folder, secrets)
    yield seen


def line_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def variable(pid: int, name: str) -> str:
    """A variable of a process's environment."""
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))


def client(port: int, which: str, right: str) -> subprocess.Popen[str]:
    """One who asks the sweep's Ray for its nodes, with some token."""
    token = {"none": {}, "wrong": {"RAY_AUTH_TOKEN": "f" * 64}, "right": {"RAY_AUTH_TOKEN": right}}
    mode = {"RAY_AUTH_MODE": "disabled" if which == "none" else "token"}
    # Without it Ray takes an address of loopback for another of this machine's.
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    # It asks twenty times, longer than the sweep takes, and then waits long for who is gone.
    few = {"RAY_NUM_REDIS_GET_RETRIES": "3"}
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, f"127.0.0.1:{port}"],
        env={**os.environ, **mode, **token[which], **loopback, **few},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def status_of(port: int) -> int:
    """How a server of HTTP answers one without a token; 0 where it does not listen on loopback."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


def test_the_sockets_are_those_of_the_list(seen: Seen) -> None:
    rows = listed(SECURITY, "A local sweep")
    expected = {(process, address) for process, when, address in rows if when == "always"}
    found = set()
    for one in seen.sockets:
        names = [name for line, name in NAMES.items() if re.search(line, one.process)]
        found.add((" and ".join(names) or one.process, one.address))
    assert found == expected
    assert {address for _, address in expected} == {"127.0.0.1"}


def test_who_lacks_the_token_is_refused(seen: Seen) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", seen.token) and seen.token not in PLANTED.values()
    for which in ("none", "wrong"):
        status, text = seen.answers[which]
        assert status == 1 and "InvalidAuthToken" in text and "node\n" not in text
    assert seen.answers["right"] == (0, "1 node\n")
    assert seen.agent == 401


def test_the_folder_is_private_and_gone(seen: Seen) -> None:
    from xstilts.search.own_ray import FOLDER, LONGEST_SOCKET

    assert seen.mode == 0o700
    assert not seen.folder.exists()
    assert len("X/plasma_store") < seen.longest_socket <= len(FOLDER + LONGEST_SOCKET)


def test_no_secret_is_in_any_file_command_line_or_output(seen: Seen) -> None:
    assert seen.found == set()
    secrets = {**PLANTED, "the launch's token": seen.token}
    lines = "\n".join(seen.command_lines)
    assert not [name for name, text in secrets.items() if text in seen.output or text in lines]
    assert (seen.storage / "mlflow.db").stat().st_size > 0
    assert "Verdicts" in seen.output
