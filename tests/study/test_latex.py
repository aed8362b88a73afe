"""A study for a paper: the parts, the forest, holes; and TeX, where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.study.answer import Answer, Interval
from xstilts.study.latex import latex_parts, write_latex

from . import answers

TEX = shutil.which("pdflatex")


def test_the_parts_and_what_is_in_them() -> None:
    parts = latex_parts(answers.answer())
    assert list(parts)[:6] == ["answer", "forest", "contrasts", "arms", "compared", "checks"]
    assert r"\textbf{Yes: rich beats english by 1.8 points [+0.6, +3.1]" in parts["answer"]
    assert r"slope\_on\_few & withheld & -- & -- & --" in parts["contrasts"]
    assert r"slope\_on\_few is withheld: a slope needs 12 target" in parts["contrasts"]
    assert r"none & -- & 60.0 \\" in parts["arms"]
    assert "+1.0, +2.7" in parts["checks"].replace("~", " ") and "CR2" in parts["checks"]
    assert {"slope_on_few-by-family", "slope_on_few-on-udpos"} <= {*parts}
    both = [name for name in parts if name.startswith("interaction_by_complexity-on-")]
    assert len(both) == 2, "a table a target, which a page holds"


def test_probes_are_two_tables() -> None:
    parts = latex_parts(answers.answer(probes=answers.probed()))
    assert r"rich & -- & 17.4 to -- \\" in parts["probes"]
    assert r"Finnish & fi & rich & -- & 20.4 to 21.0 \\" in parts["probes-by-language"]
    assert not {"probes", "probes-by-language"} & {*latex_parts(answers.answer())}


def test_the_forest_has_a_line_for_each_that_is_tested() -> None:
    forest = latex_parts(answers.answer())["forest"]
    assert forest.count(r"\circle*{4}") == 5 and forest.count(r"\circle{4}") == 2
    assert forest.count(r"\multiput") == 3, "two margins, one margin"
    assert "& withheld" in forest and r"\vector" not in forest
    wide = answers.contrast(effect=Interval(1.0, -70.0, 72.0))
    assert latex_parts(answers.answer(wide))["forest"].count(r"\vector") == 2


def test_a_folder_or_one_file(tmp_path: Path) -> None:
    names = [path.name for path in write_latex(answers.answer(), tmp_path / "paper")]
    assert names[0] == "answer.tex" and names[-1] == "report.tex"
    (one,) = write_latex(answers.answer(), tmp_path / "one.tex")
    assert one.read_text().count(r"\section*") == 1
    with pytest.raises(ConfigError, match=r"--latex: is a folder or a FILE\.tex"):
        write_latex(answers.answer(), tmp_path / "page.html")


@pytest.mark.skipif(TEX is None, reason="no pdflatex is installed")
@pytest.mark.parametrize(
    "answer", [answers.answer(probes=answers.probed()), answers.hostile()], ids=["all", "hostile"]
)
def test_it_compiles_without_an_overfull_box(tmp_path: Path, answer: Answer) -> None:
    assert TEX is not None
    write_latex(answer, tmp_path / "report.tex")
    command = [TEX, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "report.tex"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout[-2000:]
    assert not re.search("Overfull|Undefined|Float too large", told.stdout)
