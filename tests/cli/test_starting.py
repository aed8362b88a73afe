"""`xstilts init`: five questions or options, a file that validates, nothing overwritten."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from xstilts.cli import app
from xstilts.config.load import load_sweep

ASKED = ("--targets", "--intermediates", "--model", "--data", "--gpus")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "reviews"
    folder.mkdir()
    rows = "".join(f"thing {number} is fine,{('neg', 'pos')[number % 2]}\n" for number in range(40))
    (folder / "train.csv").write_text("text,label\n" + rows)
    (folder / "test-de.csv").write_text("text,label\nsehr gut,pos\nschlecht,neg\n")
    return tmp_path


def init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def test_where_nobody_can_be_asked_what_is_offered_is_taken_and_said(here: Path) -> None:
    result = init("first.yaml")
    assert result.exit_code == 0, result.output
    sweep = load_sweep(here / "first.yaml")
    assert (sweep.name, sweep.benchmark.name, sweep.recipe.name) == ("first", "mini", "mini")
    assert result.stderr.count(": ") >= len(ASKED)
    assert " plan first.yaml" in result.output, "whatever the program is called here"


def test_options_answer_everything(here: Path) -> None:
    answers = ("panx,udpos", "mnli", "models/xlmr large", "mirror", "2")
    result = init("x.yaml", *(part for pair in zip(ASKED, answers, strict=True) for part in pair))
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    sweep = load_sweep(here / "x.yaml")
    assert sweep.targets == ("panx", "udpos") and sweep.benchmark.name == "xtreme"
    assert list(sweep.intermediates) == ["mnli"]
    assert [model.path for model in sweep.models.values()] == ["models/xlmr large"]
    assert sweep.data.root == "mirror" and sweep.resources.gpus_per_trial == 2
    assert sweep.search.is_race and sweep.confirm is not None


def test_files_of_ones_own_become_a_target_wherever_the_sweep_file_lies(here: Path) -> None:
    (here / "sweeps").mkdir()
    result = init("sweeps/own.yaml", "--targets", "mini_xnli,reviews/train.csv,reviews/test-de.csv")
    assert result.exit_code == 0, result.output
    sweep = load_sweep(here / "sweeps" / "own.yaml")
    assert sweep.targets == ("mini_xnli", "reviews")
    files = sweep.tasks["reviews"].files
    assert files is not None and Path(files.train).samefile(here / "reviews" / "train.csv")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--targets", "xnlii"), 'targets: unknown task; got "xnlii"; did you mean "xnli"?'),
        (("--intermediates", "mnlii"), 'intermediates: unknown task; got "mnlii"; did you mean'),
        (("--targets", " , "), "targets: name one or more; got none"),
        (("--targets", "reviews/gone.csv"), "reviews/gone.csv: no such file"),
        (("--gpus", "1", "folder/f.yaml"), "folder: no such folder; make it"),
        (("a b.yaml",), "a b.yaml: name: "),
        (("there.yaml",), "there.yaml: is there already; name another file"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    here: Path, arguments: tuple[str, ...], line: str
) -> None:
    (here / "there.yaml").write_text("mine")
    result = init(*arguments)
    assert result.exit_code == 2
    told = [one for one in result.stderr.splitlines() if one.startswith(line)]
    assert len(told) == 1, result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["reviews", "there.yaml"]
    assert (here / "there.yaml").read_text() == "mine"


def test_a_person_is_asked_again_after_a_wrong_answer(here: Path) -> None:
    master, slave = pty.openpty()
    code = "from xstilts.cli import main; main()"
    command = [sys.executable, "-c", code, "init", "asked.yaml", "--gpus", "0"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        os.write(master, b"xnlii\nmini_udpos\n\n\n\n")
        told = b""
        while process.poll() is None or told == b"":
            try:
                told += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(60) == 0, told
    os.close(master)
    assert b'got "xnlii"' in told and told.count(b"Target tasks") == 2
    assert load_sweep(here / "asked.yaml").targets == ("mini_udpos",)
