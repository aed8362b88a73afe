"""Tables for a paper: bold, daggers, holes, names that LaTeX would read; and TeX, where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.results import write_storage
from xstilts.errors import ConfigError
from xstilts.report.latex import escaped, latex_tables, write_latex
from xstilts.report.results import load_results
from xstilts.run.places import Places

from .stored import confirmed_places, confirmed_sweep

TEX = shutil.which("pdflatex")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return confirmed_places(tmp_path, confirmed_sweep())


def rows_of(table: str) -> dict[str, list[str]]:
    lines = [line.removesuffix(r" \\") for line in table.splitlines() if " & " in line]
    return {cells[0]: cells[1:] for cells in (line.split(" & ") for line in lines)}


def test_the_layout_is_that_of_the_paper(places: Places) -> None:
    tables = latex_tables(load_results(places))
    assert list(tables) == ["scores", "languages-mini_xnli"]
    rows = rows_of(tables["scores"])
    assert rows[""] == [r"mini\_xnli", "mean"]
    assert rows["none"] == ["70.0", "70.0"]
    assert rows["nli"] == [r"\textbf{74.0}$^\dagger$", r"\textbf{74.0}"]
    assert rows["mix"] == [r"\textit{60.0}", "60.0"], "of search, and no tie"
    assert "5 of confirmation or 2 of search (slanted); search had 2 seeds" in tables["scores"]
    assert "Unfinished" not in "".join(tables.values())
    english = rows_of(tables["languages-mini_xnli"])["English"]
    assert english[:2] == ["70.0", r"\textbf{74.0}"] and english[-2] == "$+4.0$"
    assert re.fullmatch(r"\$\+\d\.\d\$ to \$\+\d\.\d\$", english[-1])


def test_captions_of_an_unfinished_sweep_say_so(places: Places) -> None:
    shutil.rmtree(places.trials / "qa-c-s1")
    for table in latex_tables(load_results(places)).values():
        caption = next(line for line in table.splitlines() if line.startswith(r"\caption"))
        assert r"\textbf{Unfinished:} 7 of 8 trials of search have ended." in caption


def test_no_mean_is_taken_over_a_hole(tmp_path: Path) -> None:
    sweep = confirmed_sweep(targets=["mini_xnli", "mini_tatoeba"])
    rows = rows_of(latex_tables(load_results(confirmed_places(tmp_path, sweep)))["scores"])
    assert rows["nli"][1:] == ["--", "--"] and rows["none"][1:] == ["--", "--"]


def test_names_are_escaped() -> None:
    assert escaped("a_b%c&d#$") == r"a\_b\%c\&d\#\$"
    assert escaped("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert escaped("~^<|>") == "".join(
        rf"\text{name}{{}}" for name in ("asciitilde", "asciicircum", "less", "bar", "greater")
    )
    assert escaped("ไทย\n") == "???"
    assert escaped("−1 – ±2…") == r"$-$1 -- $\pm$2\ldots{}"


def test_a_folder_or_one_file(places: Places, tmp_path: Path) -> None:
    results = load_results(places)
    names = [path.name for path in write_latex(results, tmp_path / "paper")]
    assert names == ["scores.tex", "languages-mini_xnli.tex", "report.tex"]
    (one,) = write_latex(results, tmp_path / "one.tex")
    assert one.read_text().count(r"\begin{table}") == 2
    (tmp_path / "taken").write_text("x")
    with pytest.raises(ConfigError, match="--latex: cannot be written"):
        write_latex(results, tmp_path / "taken")


@pytest.mark.skipif(TEX is None, reason="no pdflatex is installed")
@pytest.mark.parametrize("form", ["folder", "file"])
def test_nine_targets_in_all_languages_compile_without_an_overfull_box(
    tmp_path: Path, form: str
) -> None:
    assert TEX is not None
    folder = write_storage(tmp_path / "runs", trials=10, layers=-1)
    results = load_results(Places(folder.parents[1], folder.name))
    paper = tmp_path / "paper"
    write_latex(results, paper if form == "folder" else paper / "report.tex")
    command = [TEX, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "report.tex"]
    told = subprocess.run(command, cwd=paper, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout[-2000:]
    assert "Overfull" not in told.stdout and "Undefined" not in told.stdout
    assert rows_of((paper / "scores.tex").read_text())["none"] if form == "folder" else True
