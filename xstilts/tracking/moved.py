"""MLflow's SQLite file after its folder was moved or copied: artifacts are named where they lie.

MLflow writes the absolute place of an experiment's artifacts, and of each run's, into its database
and has no call that changes it. Left alone, a storage that was moved would make its old folder
again and write there, and the UI would look for artifacts where none are.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUSY_S = 30.0
"""How long another process may be writing."""


def bring_along(database: Path, artifacts: Path) -> list[str]:
    """Have a database, beside whose file the folder `artifacts` lies, name what is in that folder
    there; the names of the experiments that were elsewhere before.

    A place from which the same file is reached by another path stays as it is.

    Raises:
        sqlite3.Error: the file cannot be read or written.
    """
    if not database.exists() or database.parent != artifacts.parent:
        return []
    with closing(sqlite3.connect(database, timeout=BUSY_S)) as db, db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return []  # MLflow has not made its tables yet
        known = db.execute("SELECT experiment_id, name, artifact_location FROM experiments")
        moved = [
            (number, name, old, new)
            for number, name, old in known.fetchall()
            if (new := _now(old or "", database, artifacts)) != old
        ]
        for number, _, old, new in moved:
            db.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (new, number),
            )
            db.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?)"
                " WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                (new, len(old) + 1, number, len(old) + 1, f"{old}/"),
            )
        return [name for _, name, _, _ in moved]


def _now(location: str, database: Path, artifacts: Path) -> str:
    """Where the artifacts of an experiment are that were at `location` when it was made."""
    if not location.startswith("file:"):
        return location
    then = Path(unquote(urlsplit(location).path))
    if then.parent.name != artifacts.name or then.parent == artifacts:
        return location
    try:
        if (then.parents[1] / database.name).samefile(database):
            return location
    except OSError:  # nothing is there any more
        pass
    return (artifacts / then.name).as_uri()
