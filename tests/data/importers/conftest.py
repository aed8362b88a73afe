"""How many real records each file has that importers are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def counts(data: Path) -> dict[str, int]:
    """Records by file, as the manifest of the real records counts them."""
    lines = (data / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith(("#", "path"))]
    return {row[0]: int(row[2]) for row in rows}
