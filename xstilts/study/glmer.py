"""Logistic mixed models by lme4, in an R of its own: where `Rscript` with lme4 is on the PATH.

The project has no logistic mixed model and no binding to R. A fit is a process that reads a table
of numbers and a formula that is this package's, in an empty folder, without a network, and ends
within a time that is bounded.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from xstilts.study.answer import LogisticFit

LIMIT_S = 60.0
"""Of a core for a fit: it does not hang on how busy the machine is."""

WAITED_S = 900.0
"""By the clock for a process that does not end by itself."""

DECIMALS = 4
"""Of log odds. What two processes fit of one table differs by some 1e-7, as vectors are summed
otherwise where they lie otherwise in memory; so far it is rounded."""

_SCRIPT = Path(__file__).with_name("glmer.R")
_VERSIONS = 'cat(paste(getRversion()), paste(packageVersion("lme4")))'
_PLAIN = ("--no-site-file", "--no-init-file")
"""No profile of the machine has a part in a figure; environments say where R's packages are."""


@cache
def software() -> tuple[str, str] | None:
    """The versions of R and lme4 that would fit here; None where there is no R with lme4."""
    if shutil.which("Rscript") is None:
        return None
    try:
        done = _ran(["-e", _VERSIONS], Path(tempfile.gettempdir()))
    except (OSError, subprocess.SubprocessError):
        return None
    found = done.stdout.split()
    return (found[0], found[1]) if done.returncode == 0 and len(found) == 2 else None


def fit(
    columns: Mapping[str, np.ndarray], formula: str, limit_s: float = LIMIT_S
) -> LogisticFit | str:
    """The fit of a table's `columns` (rows,), `right` and `arm` among them; in words why there is
    none.

    The same columns give the same fit on one machine, but where a number lies on the edge of its
    rounding: nothing is drawn, and BLAS has one thread.
    """
    with tempfile.TemporaryDirectory(prefix="xstilts-glmer-") as folder:
        table, found = Path(folder) / "table.csv", Path(folder) / "found"
        table.write_bytes(as_csv(columns))
        try:
            arguments = [f"{_SCRIPT}", table.name, formula, f"{limit_s:g}", found.name]
            done = _ran(arguments, Path(folder))
        except subprocess.TimeoutExpired:
            return f"it took more than {WAITED_S:g} seconds by the clock"
        except OSError as error:
            return f"Rscript cannot be run: {error.strerror}"
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        if "CPU time limit" in last:
            return f"it took more than {limit_s:g} seconds of a core"
        if done.returncode or not found.is_file():
            return f"lme4 could not: {last.strip()}"
        numbers = {
            name: math.nan if value == "NA" else round(float(value), DECIMALS)
            for name, value in (line.split() for line in found.read_text().splitlines())
        }
    own = LogisticFit(
        numbers["log_odds"],
        numbers["error"],
        {name[3:]: value for name, value in numbers.items() if name.startswith("sd:")},
        numbers["converged"] == 1,
    )
    known = math.isfinite(own.log_odds) and math.isfinite(own.error) and own.error > 0
    return own if known else "lme4 gives no standard error"


def as_csv(columns: Mapping[str, np.ndarray]) -> bytes:
    """Columns of numbers as R reads them."""
    rows = zip(*(own.tolist() for own in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def _ran(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    return subprocess.run(
        ["Rscript", *_PLAIN, *arguments],
        cwd=folder,
        env={**os.environ, **one_thread},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=WAITED_S,
    )
