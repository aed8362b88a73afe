"""A sweep packed into a bundle, which is verified before it has its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xstilts.errors import BundleError, ConfigError, Problem
from xstilts.lease import Lease, living
from xstilts.report.results import Results
from xstilts.report.unfinished import unfinished
from xstilts.study.bundle import write_bundle
from xstilts.study.contents import parts_of
from xstilts.study.verify import Verified, verify

SUFFIX = ".zip"


def pack(results: Results, path: Path, tell: Callable[[str], object] = lambda _: None) -> Verified:
    """Write the bundle of a sweep that has ended, and give what verifying it found.

    Args:
        path: of the file, which is replaced by a whole one.
        tell: called with a line before what takes long.

    Raises:
        ConfigError: the sweep runs or is not finished, or the file cannot be written there.
        StoreError: what scored a trial is no longer in the store.
        BundleError: what the storage holds does not verify.
    """
    if path.suffix != SUFFIX:
        rule, repair = f"a bundle is a file {SUFFIX}", f"--out {path.name}{SUFFIX}"
        raise ConfigError([Problem("--out", rule, f'"{path}"', repair)])
    name, places = results.sweep.name, results.places
    if living([Lease(places.launches)]):
        rule, repair = "a bundle is of a sweep that has ended, and this one runs", "wait for it"
        raise ConfigError([Problem("NAME", rule, f'"{name}"', repair)])
    if missing := unfinished(results):
        rule, repair = "a bundle is of a sweep that is finished", "go on with it: `xstilts sweep`"
        raise ConfigError([Problem("NAME", rule, f'"{name}": {missing}', repair)])
    tell(f"Packing {len(results.records)} trials, then verifying the bundle")
    found: list[Verified] = []

    def check(written: Path) -> None:
        try:
            found.append(verify(written))
        except BundleError as error:
            line = str(error).replace(str(written), name)
            raise BundleError(f"no bundle is written, as it would not verify: {line}") from error

    write_bundle(path, name, parts_of(results), check)
    return found[0]
