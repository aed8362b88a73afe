"""Which processes listen where, as /proc says it: what a test compares with what it may be."""

from __future__ import annotations

import re
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
    """The listening TCP sockets of some processes, each in its own network namespace."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            folder = Path(f"/proc/{pid}")
            process = (folder / "cmdline").read_text().replace("\0", " ").strip()
            places = _places(folder / "net")
            for descriptor in (folder / "fd").iterdir():
                with suppress(OSError):
                    if place := places.get(str(descriptor.readlink())):
                        found.add(Listener(process, *place))
    return found


def _places(net: Path) -> dict[str, tuple[str, int]]:
    """Address and port of every listening socket of a namespace, by its descriptors' target."""
    places: dict[str, tuple[str, int]] = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in (net / name).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTEN:
                address, _, port = local.partition(":")
                places[f"socket:[{rest[5]}]"] = (_address(address, family), int(port, 16))
    return places


def listed(page: str, heading: str) -> set[tuple[str, str, str]]:
    """Process, when and address of every row of the table below a heading of SECURITY.md."""
    table = page.split(f"### {heading}\n")[1].split("\n### ")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in table.splitlines() if "|" in line]
    return {(process, when, address) for process, when, _, address, *_ in rows[2:]}


def _address(text: str, family: int) -> str:
    """An address as people write it, from words of four bytes each with its lowest first."""
    words = (bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    return socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:")
