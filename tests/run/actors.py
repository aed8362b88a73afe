"""Processes that are simulated, one call of the file system at a time.

An actor is a thread that stands for a process: it stops before every call that reads or writes a
name, until the test lets it go on. It can be stopped, killed (nothing that it would still have done
happens, clean-up neither), and has clocks of its own that are apart from the others'. Its heartbeat
beats while time passes, unless it is stopped. What it calls is the real code on a real folder.
"""

from __future__ import annotations

import io
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from xstilts.lease import HEARTBEAT_S, Lease, Owner

CALLS = ("open", "pwrite", "rename", "replace", "mkdir", "unlink", "rmdir", "listdir", "truncate")


class Killed(BaseException):
    """The process is gone."""


class Actor:
    """One process. `on` says which machine it is on: there its death is seen at once."""

    def __init__(self, world: World, name: str, on: str, offset_s: float):
        self.world, self.name, self.on, self.offset_s = world, name, on, offset_s
        self.pid = 1000 + len(world.actors)
        self.held: list[Lease] = []
        self.is_stopped = self.is_dead = self.is_idle = False
        self.about = ""
        self.value: Any = None
        self.error: BaseException | None = None
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def start(self, act: Callable[[], Any]) -> None:
        """Begin something; nothing of it happens before the first step."""

        def run() -> None:
            self._go.acquire()
            try:
                if not self.is_dead:
                    self.value = act()
            except Killed:
                pass
            except BaseException as error:
                self.error = error
            self.is_idle = True
            self._paused.release()

        self.is_idle, self.value, self.error = False, None, None
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.actor = self  # type: ignore[attr-defined]
        self._thread.start()

    def step(self) -> None:
        """Let it do the next call."""
        if not self.is_idle and self._thread is not None:
            self._go.release()
            self._paused.acquire()

    def pause(self, call: str) -> None:
        """Called by its own thread before a call, which it is `about` to do."""
        if self.is_dead:
            raise Killed
        self.about = call
        self._paused.release()
        self._go.acquire()
        if self.is_dead:
            raise Killed

    def kill(self) -> None:
        """End it where it stands."""
        self.is_dead, self.is_stopped = True, False
        self.held.clear()
        while not self.is_idle and self._thread is not None:
            self._go.release()
            self._paused.acquire()

    def owner(self) -> Owner:
        """What its leases say of it."""
        return Owner(self.on, self.on, "boot", "pids", self.pid, "1", uuid.uuid4().hex)


class World:
    """All actors, and the time that they have."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.now = 1000.0
        self.claims: list[tuple[str, int, str]] = []

    def actor(self, on: str, offset_s: float) -> Actor:
        one = Actor(self, f"{on}-{len(self.actors)}", on, offset_s)
        self.actors.append(one)
        return one

    def pass_(self, seconds: float) -> None:
        """Let time pass; whoever is not stopped beats meanwhile."""
        left = seconds
        while left > 0:
            some = min(left, HEARTBEAT_S)
            self.now += some
            left -= some
            for actor in self.actors:
                if not actor.is_stopped and not actor.is_dead:
                    for one in list(actor.held):
                        with suppress(OSError):  # told, and tried again at the next beat
                            one.beat()

    def run_to_the_end(self, limit: int = 200_000) -> None:
        """Everybody alive wakes up, and has as much time as he needs."""
        for actor in self.actors:
            actor.is_stopped = False
        for count in range(limit):
            alive = [a for a in self.actors if not a.is_dead and not a.is_idle and a._thread]
            if not alive:
                return
            for actor in alive:
                actor.step()
            if count % 50 == 0:
                self.pass_(HEARTBEAT_S)
        raise AssertionError(f"no progress: {[a.name for a in alive]}")

    def end(self) -> None:
        for actor in self.actors:
            actor.kill()


def current() -> Actor | None:
    """The actor of the calling thread; none in the test's own."""
    return getattr(threading.current_thread(), "actor", None)


@contextmanager
def simulated(world: World, *modules: Any) -> Iterator[None]:
    """While the block runs, leases of `modules` are those of actors, and calls of actors pause."""
    patch = pytest.MonkeyPatch()

    def paused(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if (actor := current()) is not None:
                actor.pause(name)
            return call(*arguments, **named)

        return wrapped

    def make(*arguments: Any, **named: Any) -> Lease:
        actor = current()
        if actor is not None:
            clock = lambda: world.now + actor.offset_s  # noqa: E731
            named = {"owner": actor.owner(), "clock": clock, "life": clock, **named}
        return Lease(*arguments, **named)

    def known_dead(owner: Owner) -> bool:
        own, other = current(), by_pid(owner)
        return own is not None and other is not None and own.on == other.on and other.is_dead

    def known_running(owner: Owner) -> bool:
        own, other = current(), by_pid(owner)
        if own is None or other is None or own.on != other.on:
            return False
        return not other.is_dead and not other.is_stopped

    def by_pid(owner: Owner) -> Actor | None:
        return next((a for a in world.actors if (a.on, a.pid) == (owner.host, owner.pid)), None)

    @contextmanager
    def held(own: Lease) -> Iterator[None]:
        actor = current()
        assert actor is not None
        world.claims.append((str(own.folder), own.number, actor.name))
        actor.held.append(own)
        try:
            yield
        finally:
            if own in actor.held:
                actor.held.remove(own)
            own.release()

    def sleep(seconds: float) -> None:
        if (actor := current()) is not None:
            actor.pause("sleep")

    try:
        for name in CALLS:
            patch.setattr(os, name, paused(name, getattr(os, name)))
        patch.setattr(io, "open", paused("read or write", io.open))
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(time, "sleep", sleep)
        patch.setattr(Owner, "is_dead", known_dead)
        patch.setattr(Owner, "is_running", known_running)
        patch.setattr(Lease, "held", held)
        for module in modules:
            patch.setattr(module, "Lease", make)
        yield
    finally:
        world.end()
        patch.undo()
