"""Changes of a bundle, and which of them `verify` finds.

    python -m tests.benchmarks.bundle_changes BUNDLE [--bytes 200] [--numbers 100]

Single bytes of the file, drawn over all of it, each by another value: all are to be found by the
digests. Numbers of its parts, drawn over the parts and then over the numbers of each, with all
digests made again: those that follow from others are found by computing them, the rest are named,
by part and key. `trials/` stands for all records, numbers of lists for their list.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from xstilts.errors import XstiltsError
from xstilts.study.bundle import write_bundle
from xstilts.study.bundle_reader import Bundle
from xstilts.study.verify import verify

Place = tuple[str | int, ...]


def is_found(path: Path) -> bool:
    try:
        verify(path)
    except XstiltsError:
        return True
    return False


def bytes_found(bundle: Path, count: int, other: Path) -> int:
    """Of so many changed bytes those that are found."""
    content, drawn, found = bundle.read_bytes(), random.Random(0), 0
    for _ in range(count):
        changed = bytearray(content)
        changed[drawn.randrange(len(changed))] ^= drawn.randrange(1, 256)
        other.write_bytes(changed)
        found += is_found(other)
    return found


def numbers_of(value: Any, place: Place = ()) -> list[Place]:
    """Where a JSON value has numbers."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, own in pairs for found in numbers_of(own, (*place, key))]
    return [place] if isinstance(value, int | float) and not isinstance(value, bool) else []


def numbers_found(bundle: Path, count: int, other: Path) -> tuple[int, Counter[str]]:
    """Of so many changed numbers those that are found, and where the others are."""
    with Bundle(bundle) as read:
        sweep, names = read.manifest.sweep, [*read.manifest.parts]
        parts = {name: read.read(name) for name in names}
    drawn, found, believed = random.Random(0), 0, Counter[str]()
    json_names = [name for name in names if name.endswith(".json")]
    for _ in range(count):
        value: Any = []
        while not (places := numbers_of(value)):
            name = drawn.choice(json_names)
            value = json.loads(parts[name])
        *keys, last = drawn.choice(places)
        inner = value
        for key in keys:
            inner = inner[key]
        inner[last] = 1 - inner[last] if inner[last] in (0, 1) else 1.01 * inner[last]
        write_bundle(other, sweep, {**parts, name: json.dumps(value).encode()}.items())
        if is_found(other):
            found += 1
        else:
            kind = re.sub(r"^(trials|items|launches)/.*?([^/]*)$", r"\1/", name)
            believed[" ".join([kind, *(str(key) for key in (*keys, last) if key is not int)])] += 1
    return found, believed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--numbers", type=int, default=100)
    given = parser.parse_args()
    begun = time.perf_counter()
    print(verify(given.bundle))
    print(f"verified in {time.perf_counter() - begun:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, "other.zip")
        found = bytes_found(given.bundle, given.bytes, other)
        print(f"{found} of {given.bytes} changed bytes are found")
        numbers, believed = numbers_found(given.bundle, given.numbers, other)
        print(f"{numbers} of {given.numbers} changed numbers are found; the others are")
        for place, count in sorted(believed.items()):
            print(f"  {count} {place}")
    sys.exit(found < given.bytes)


if __name__ == "__main__":
    main()
