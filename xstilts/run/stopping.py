"""How work is told to stop: by a signal, by a file of its sweep, by a notice of its node.

Whoever computes asks a question now and then; nothing is interrupted in the middle of a write.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xstilts.errors import SweepStopped
from xstilts.lease import claim_path
from xstilts.run.places import Places

Question = Callable[[], bool]

STOP = "stop"
"""The file in a launch's folder that asks its trials to stop."""

NOTICE = "XSTILTS_NOTICE"
"""The environment variable that names the file by which a node says that it will go away."""

LOOK_EVERY_S = 1.0


@contextmanager
def stopping_on_signals(asked: Callable[[], None] = lambda: None) -> Iterator[Question]:
    """While the block runs, SIGTERM, SIGHUP, or Ctrl-C once, asks it to stop; Ctrl-C twice stops at
    once. A SIGHUP that is ignored, as under nohup, stays ignored.

    Gives the question whether to stop. Needs the main thread, as all signal handlers do.

    Args:
        asked: called once, in the signal handler, when the first signal comes.
    """
    event = threading.Event()

    def ask(number: int, _: object) -> None:
        if event.is_set():
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        event.set()
        asked()

    with _handling(ask, signal.SIGTERM, signal.SIGINT):
        yield event.is_set


@contextmanager
def ending_on_signals(name: str) -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP end it as Ctrl-C does, at once, save where it asks
    itself by `stopping_on_signals`. Needs the main thread.

    Args:
        name: what the block does, for the error.

    Raises:
        SweepStopped: one of them came, Ctrl-C included.
    """

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt

    try:
        with _handling(interrupt, signal.SIGTERM):
            yield
    except KeyboardInterrupt:
        raise SweepStopped(f"{name}: stopped; the same command goes on where it was") from None


@contextmanager
def _handling(handler: Callable[[int, object], None], *numbers: signal.Signals) -> Iterator[None]:
    """While the block runs, these signals have a handler, and SIGHUP unless it is ignored."""
    heeded = [*numbers]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)


class FileQuestion:
    """Whether one of some files exists; looks at most once a second, for it is asked every step."""

    def __init__(self, *paths: Path):
        self._paths = paths
        self._looked = -LOOK_EVERY_S
        self._answer = False

    def __call__(self) -> bool:
        """See the class; once yes, it stays yes."""
        now = time.monotonic()
        if not self._answer and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._answer = any(path.exists() for path in self._paths)
        return self._answer


def told_to_stop(places: Places, launch: int) -> Question:
    """Whether the launch, or the node of this process, asks its trials to stop, or another launch
    has taken the sweep over."""
    paths = [places.launch(launch) / STOP, claim_path(places.launches, launch + 1)]
    if notice := os.environ.get(NOTICE):
        paths.append(Path(notice))
    return FileQuestion(*paths)
