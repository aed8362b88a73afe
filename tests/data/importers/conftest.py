"""The real records that importers are tried on, and how many each file has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...conftest import require

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real records."""
    require("records", DATA.is_dir(), f"no real records at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def counts(data: Path) -> dict[str, int]:
    """Records by file, as the manifest of the real records counts them."""
    lines = (data / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith(("#", "path"))]
    return {row[0]: int(row[2]) for row in rows}
