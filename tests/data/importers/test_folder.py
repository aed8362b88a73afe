"""Importing a folder: what is found, which of two files wins, what an error leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.data.importers import import_folder
from xstilts.data.mirror import declared_files
from xstilts.errors import DataError

RECORDS = Path(__file__).parents[4] / "shared" / "data"
needs_records = pytest.mark.usefixtures("data")


def xnli(folder: Path, name: str, rows: list[tuple[str, ...]]) -> None:
    path = folder / "xnli" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\r\n" for row in rows), newline="")


@needs_records
def test_a_whole_folder_of_records(tmp_path: Path) -> None:
    report = import_folder(RECORDS, tmp_path)
    assert len(report.taken) > 400 and report.num_rows > 100_000
    # What no importer knows is listed, and none of it is data of a known sort.
    assert not [name for name in report.unknown if name.startswith(("mnli", "squad", "xtreme"))]
    for hub_id in {taken.hub_id for taken in report.taken}:
        declared = declared_files(tmp_path / hub_id)
        assert all((tmp_path / hub_id / path).exists() for (path,) in declared.values())
    splits = {(taken.hub_id, taken.config, taken.split): taken for taken in report.taken}
    # 2,000 pairs beside 240 rows of GLUE; labelled test sets beside blanked ones.
    assert splits["nyu-mll/glue", "mnli", "train"].num_rows == 2000
    assert "labelled" in splits["google/xtreme", "PAN-X.de", "test"].path
    assert "labelled" in splits["xtreme/tydiqa", "fi", "validation"].path


def test_labels_win_over_rows(tmp_path: Path) -> None:
    original = tmp_path / "in" / "XNLI-1.0"
    original.mkdir(parents=True)
    header = "language\tgold_label\tsentence1\tsentence2\n"
    (original / "xnli.test.tsv").write_text(header + "de\tneutral\tEins.\tZwei.\n")
    xnli(tmp_path / "in", "test-de.tsv", [("Eins.", "Zwei."), ("Drei.", "Vier.")])
    report = import_folder(tmp_path / "in", tmp_path / "out")
    assert [(taken.path, taken.num_rows) for taken in report.taken] == [
        ("XNLI-1.0/xnli.test.tsv", 1)
    ]
    assert report.left_out == {"xnli/test-de.tsv": "XNLI-1.0/xnli.test.tsv"}


def test_the_folder_itself_may_be_named(tmp_path: Path) -> None:
    xnli(tmp_path, "dev-de.tsv", [("Eins.", "Zwei.", "neutral")])
    report = import_folder(tmp_path / "xnli", tmp_path / "out")
    assert [taken.hub_id for taken in report.taken] == ["facebook/xnli"]


def test_a_second_import_keeps_what_the_first_brought(tmp_path: Path) -> None:
    for language in ("de", "fr"):
        xnli(tmp_path / language, f"dev-{language}.tsv", [("a", "b", "neutral")])
        import_folder(tmp_path / language, tmp_path / "out")
    assert set(declared_files(tmp_path / "out/facebook/xnli")) == {
        ("de", "validation"),
        ("fr", "validation"),
    }


def test_a_broken_row_leaves_the_mirror_as_it_was(tmp_path: Path) -> None:
    xnli(tmp_path / "in", "dev-de.tsv", [("a", "b", "neutral")])
    import_folder(tmp_path / "in", tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()}
    xnli(tmp_path / "in", "dev-de.tsv", [("c", "d", "neutral"), ("e", "f", "perhaps")])
    with pytest.raises(DataError, match=r"dev-de\.tsv:2: .*'perhaps'"):
        import_folder(tmp_path / "in", tmp_path / "out")
    after = {path: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()}
    assert after == before


def test_nothing_known_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="none of its 1 files is known"):
        import_folder(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        import_folder(tmp_path / "absent", tmp_path / "out")
