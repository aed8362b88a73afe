"""Runs a scenario once for every call that it makes to the file system, with that call failing.

Started with `inject.c` preloaded: `python harness.py SCENARIO FOLDER STRIDE SEED PART`: a sample of
one case in STRIDE, and of these every PARTS-th from PART on, for several processes. Each case is a
process of its own, forked from this one: the first has the fault, the second gives the same command
again, and must come to what an undisturbed one came to. Prints a line of JSON for every case.
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import json
import logging
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import scenarios
from xstilts.errors import XstiltsError

CALLS = ("open", "write", "fsync", "rename", "link", "read", "mkdir", "unlink", "truncate")
SHORT, KILL = -1, -2
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "ESTALE": errno.ESTALE}
FAULTS = {
    **{call: {**ERRORS, "kill": KILL} for call in ("open", "fsync", "rename", "link", "mkdir")},
    "write": {**ERRORS, "short": SHORT, "kill": KILL},
    "read": {"EIO": errno.EIO, "ESTALE": errno.ESTALE, "short": SHORT, "kill": KILL},
    "unlink": {"EIO": errno.EIO, "ESTALE": errno.ESTALE, "kill": KILL},
    "truncate": {"EIO": errno.EIO, "kill": KILL},
}

inject = ctypes.CDLL(None)


PARTS = 6


def main(name: str, folder: Path, stride: int, seed: int, part: int | None) -> None:
    logging.disable(logging.CRITICAL)
    scenario = scenarios.ALL[name]
    template = folder / "template"
    scenario.prepare(template)
    work = folder / "work"
    shutil.copytree(template, work)
    counted = in_child(lambda: counting(scenario.run, work))
    undisturbed, counts = counted["value"]
    print(json.dumps({"undisturbed": undisturbed, "counts": counts}), flush=True)
    cases = [
        (call, number, fault)
        for call, count in counts.items()
        for number in range(1, count + 1)
        for fault in FAULTS[call]
    ]
    if stride > 1:
        cases = random.Random(seed).sample(cases, max(1, len(cases) // stride))
    if part is not None:
        cases = cases[part::PARTS]
    for call, number, fault in cases:
        shutil.rmtree(work)
        shutil.copytree(template, work)
        what = (call, number, FAULTS[call][fault])
        first = in_child(lambda what=what: armed(scenario.run, work, *what))
        again = in_child(lambda: scenario.run(work))
        case = {"call": call, "number": number, "fault": fault, "first": first["how"]}
        case["fired"] = first.get("fired", True)
        wrong = [
            f"{which}: {difference(undisturbed, one['value'])}"
            for which, one in (("first", first), ("again", again))
            if one["how"] == "done" and one["value"] != undisturbed
        ]
        if again["how"] != "done":
            wrong.append(f"again: {again['how']}: {again.get('error', '')[-600:]}")
        if first["how"] not in ("done", "killed", "told"):
            wrong.append(f"first: {first['how']}: {first.get('error', '')[-600:]}")
        print(json.dumps({**case, "wrong": wrong}), flush=True)


def difference(expected: Any, got: Any) -> str:
    one, other = (json.dumps(value, indent=0).splitlines() for value in (expected, got))
    return " ".join(difflib.unified_diff(one, other, "undisturbed", "got", n=0, lineterm=""))[:600]


def counting(run: Callable[[Path], Any], work: Path) -> Any:
    arm(work, "open", 0, 0)
    value = run(work)
    inject.inject_disarm()
    return value, {call: inject.inject_count(i) for i, call in enumerate(CALLS)}


def armed(run: Callable[[Path], Any], work: Path, call: str, number: int, fault: int) -> Any:
    arm(work, call, number, fault)
    try:
        return run(work)
    finally:
        inject.inject_disarm()


def arm(work: Path, call: str, number: int, fault: int) -> None:
    inject.inject_arm(str(work).encode(), CALLS.index(call), number, fault)


def in_child(act: Callable[[], Any]) -> dict[str, Any]:
    """What a process of its own came to: `done` with a value, `told` by an error of ours or of the
    system, `raised` by any other, or `killed`."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            told = {"how": "done", "value": act()}
        except (XstiltsError, OSError) as error:
            told = {"how": "told", "error": f"{type(error).__name__}: {error}"}
        except BaseException:
            told = {"how": "raised", "error": traceback.format_exc()[-2000:]}
        told["fired"] = bool(inject.inject_fired())
        with os.fdopen(writer, "w") as stream:
            json.dump(told, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        is_ours = os.WTERMSIG(status) == signal.SIGKILL
        return {"how": "killed" if is_ours else f"signal {os.WTERMSIG(status)}"}
    return json.loads(text)


if __name__ == "__main__":
    part_ = int(sys.argv[5]) if len(sys.argv) > 5 else None
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), part_)
