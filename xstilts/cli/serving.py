"""A server that ends with the process that asked for it, however that ends.

Between the two stands a keeper, this file run as a script. It holds one end of a pipe whose other
end the system closes when the asking process is gone, by `kill -9` too; then it ends the server and
all that the server started, which are one group of processes.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType

PATIENCE_S = 5.0
"""How long a server may take to end by itself."""

LOOK_S = 0.1


def why_not(port: int) -> str:
    """Why nobody can listen on a port of loopback now; empty if one can."""
    with socket.socket() as probe:
        # As servers do: a connection that has just ended keeps nobody away.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return "is in use" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
    return ""


def serve(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server to its end, or to ours; its exit status.

    SIGTERM and SIGHUP end this process and, as Ctrl-C does, the server before it.

    Raises:
        KeyboardInterrupt: Ctrl-C came.
        SystemExit: one of the other two came.
    """
    ours_is_gone, ours = os.pipe()
    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            before[number] = signal.signal(number, _leave)
    keeper = subprocess.Popen(
        [sys.executable, __file__, str(ours_is_gone), *command],
        env=environment,
        pass_fds=[ours_is_gone],
        start_new_session=True,
    )
    os.close(ours_is_gone)
    try:
        return keeper.wait()
    finally:
        os.close(ours)
        keeper.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def keep(pipe: int, command: Sequence[str]) -> int:
    """Run a command until it ends, or until nobody holds the other end of the pipe."""
    server = subprocess.Popen(command, process_group=0)
    while server.poll() is None and not select.select([pipe], [], [], LOOK_S)[0]:
        pass
    for number in (signal.SIGTERM, signal.SIGKILL):
        over = time.monotonic() + PATIENCE_S
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
            while time.monotonic() < over:
                server.poll()
                os.killpg(server.pid, 0)
                time.sleep(LOOK_S)
    return server.wait()


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
