"""Which processes listen where, as /proc says it: what a test compares with what it may be."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A socket that listens for TCP: of which process, at which address and port."""

    process: str
    address: str
    port: int


def listeners(pids: Iterable[int]) -> set[Listener]:
    """The listening TCP sockets of some processes of this network namespace."""
    places: dict[str, tuple[str, int]] = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTEN:
                address, _, port = local.partition(":")
                places[f"socket:[{rest[5]}]"] = (_address(address, family), int(port, 16))
    found = set()
    for pid in pids:
        with suppress(OSError):
            process = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if place := places.get(str(descriptor.readlink())):
                        found.add(Listener(process, *place))
    return found


def _address(text: str, family: int) -> str:
    """An address as people write it, from words of four bytes each with its lowest first."""
    words = (bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    return socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:")
