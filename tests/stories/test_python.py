"""From Python: what the page and the notebook show runs; a sweep stops and goes on where it was."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "python_api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.ray


@pytest.fixture
def folder(tmp_path: Path, undisturbed: Any) -> Path:
    """A copy of a finished sweep, in which trials may be added."""
    shutil.copytree(undisturbed.folder, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1][:30])
def test_what_the_page_shows_runs_in_three_lines(folder: Path, block: str) -> None:
    assert len([line for line in block.splitlines() if line]) <= 3
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout) == ("print(" in block)


def test_the_notebook_runs_and_shows_every_table(folder: Path) -> None:
    notebook = nbformat.read(DOCS / "results.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        cell.source = cell.source.replace('"quickstart"', '"small"')
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        shown = [one for one in cell.outputs if one.output_type == "execute_result"]
        assert len(shown) == len(cell.outputs) == 1, cell.source
    pictures = [cell for cell in cells if "image/png" in cell.outputs[0].data]
    assert ["heatmap" in cell.source for cell in pictures] == [True]
    text = cells[0].outputs[0].data["text/plain"]
    assert "mini_xnli" in text and "not confirmed" in text


STOPPED = """
import xstilts
if __name__ == "__main__":
    sweep = xstilts.load_sweep("sweep.yaml")
    try:
        xstilts.run_sweep(sweep)
    except xstilts.SweepStopped as stopped:
        print(stopped, len(xstilts.open_results("small").trials))
"""


def test_ctrl_c_raises_and_the_same_call_goes_on(bench: Any, undisturbed: Any) -> None:
    (bench.folder / "script.py").write_text(STOPPED)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=bench.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    bench.wait_for(lambda: len(bench.stages()) >= 1, timeout_s=300)
    process.send_signal(signal.SIGINT)
    told, log = process.communicate(timeout=400)
    assert process.returncode == 0, log
    assert re.fullmatch(r"small: stopped; the same call goes on where it was \d\n", told)
    assert "running trials write a checkpoint first" in log
    before = bench.stages()
    assert len(before) < len(undisturbed.stages())
    code = "import xstilts\nif __name__ == '__main__':\n"
    code += "    print(list(xstilts.run_sweep(xstilts.load_sweep('sweep.yaml')).best['score']))\n"
    (bench.folder / "script.py").write_text(code)
    again = subprocess.run(
        [sys.executable, "script.py"], cwd=bench.folder, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    # Trained this briefly, nothing learns XNLI; what collapsed is no score of the best.
    assert re.fullmatch(r"\[nan, \d+\.\d+\]\n", again.stdout), "nothing else is printed"
    assert {name: bench.stages()[name] for name in before} == before
    assert bench.scores() == undisturbed.scores()
