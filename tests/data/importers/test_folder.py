"""Importing a folder: what is found, which of two files wins, what an error leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from xstilts.data.hub_layout import declared_files
from xstilts.data.importers import import_folder
from xstilts.errors import DataError

RECORDS = Path(__file__).parents[4] / "shared" / "data"
needs_records = pytest.mark.usefixtures("data")


AT = {
    "lt": {"alksnis": 0, "hse": 684},
    "ro": {"nonstandard": 0, "rrt": 1052, "simonero": 1781},
    "uk": {"iu": 0},
    "wo": {"wtb": 0},
}
"""Where the slices of treebanks stand in XTREME-R's test sets, as the records' README says."""


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
    header = "language\tgold_label\tsentence1\tsentence2\tgenre\n"
    (original / "xnli.test.tsv").write_text(header + "de\tneutral\tEins.\tZwei.\tslate\n")
    xnli(tmp_path / "in", "test-de.tsv", [("Eins.", "Zwei."), ("Drei.", "Vier.")])
    report = import_folder(tmp_path / "in", tmp_path / "out")
    assert [(taken.path, taken.num_rows) for taken in report.taken] == [
        ("XNLI-1.0/xnli.test.tsv", 1)
    ]
    assert report.left_out == {
        "xnli/test-de.tsv": "XNLI-1.0/xnli.test.tsv has more of the same split"
    }


def rows_of(mirror: Path, config: str, split: str) -> list[dict[str, list[object]]]:
    [name] = declared_files(mirror / "xtreme" / "udpos")[config, split]
    rows: list[dict[str, list[object]]] = parquet.read_table(
        mirror / "xtreme" / "udpos" / name
    ).to_pylist()
    return rows


@needs_records
def test_treebanks_of_xtreme_r_are_joined_as_it_joins_them(tmp_path: Path) -> None:
    """Words and tags of the official conversion of UD 2.7, in the order of the treebanks' names."""
    report = import_folder(RECORDS / "ud", tmp_path / "joined")
    import_folder(RECORDS / "xtreme_r", tmp_path / "official")
    for language, starts in AT.items():
        joined = rows_of(tmp_path / "joined", language, "test")
        official = rows_of(tmp_path / "official", language, "test")
        for name, start in starts.items():
            config = f"{language}_{name}"
            [count] = [x.num_rows for x in report.taken if (x.config, x.split) == (config, "test")]
            piece, joined = joined[:count], joined[count:]
            assert piece == official[start : start + count], config
        assert not joined
    taken = {(x.config, x.split): x for x in report.taken if x.hub_id == "xtreme/udpos"}
    assert set(taken) == {(x, "test") for x in (*AT, "pl")} | {
        ("lt", "validation"),
        ("wo", "validation"),
    }
    names = [Path(name).name for name in taken["pl", "test"].path.split(", ")]
    assert names == [f"pl_{name}-ud-test.conllu" for name in ("lfg", "pdb", "pud")]


def test_what_xtreme_r_never_trains_on_is_not_joined(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "UD_Lithuanian-HSE"
    folder.mkdir(parents=True)
    word = "1\tlabas\t_\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
    for split in ("train", "dev"):
        (folder / f"lt_hse-ud-{split}.conllu").write_text(word)
    report = import_folder(tmp_path / "in", tmp_path / "out")
    taken = [(x.hub_id, x.config, x.split) for x in report.taken]
    assert ("xtreme/udpos", "lt", "validation") in taken and len(taken) == 3


@needs_records
def test_the_whole_test_set_wins_over_joined_slices(tmp_path: Path) -> None:
    report = import_folder(RECORDS, tmp_path)
    taken = {(x.hub_id, x.config, x.split): x for x in report.taken}
    whole = taken["xtreme/udpos", "lt", "test"]
    assert (whole.path, whole.num_rows) == ("xtreme_r/udpos/test-lt.tsv", 739)
    assert taken["google/xtreme", "PAN-X.qu", "test"].num_rows > 0
    assert taken["google/xquad", "xquad.ro", "validation"].num_rows == 1190
    assert taken["google/xtreme", "tatoeba.aze", "validation"].num_rows == 1000


def copa(path: Path, *questions: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        {"premise": "p", "choice1": "a", "choice2": "b", "question": x, "idx": i, "label": 1}
        for i, x in enumerate(questions)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("english", [(), ("cause",), ("cause", "effect", "cause")])
def test_xcopa_gets_the_questions_of_an_english_file_that_has_all_items(
    tmp_path: Path, english: tuple[str, ...]
) -> None:
    copa(tmp_path / "in" / "data" / "th" / "val.th.jsonl", "effect", "effect")
    if english:
        copa(tmp_path / "in" / "xcopa" / "val-en.jsonl", *english)
    report = import_folder(tmp_path / "in", tmp_path / "out")
    fixed = [taken for taken in report.taken if taken.hub_id == "xstilts/xcopa_fixed"]
    assert len(fixed) == (len(english) == 3)
    read = {
        name: parquet.read_table(path)["question"].to_pylist()
        for name in ("cambridgeltl/xcopa", "xstilts/xcopa_fixed")
        for path in (tmp_path / "out" / name).glob("**/*.parquet")
    }
    assert read["cambridgeltl/xcopa"] == ["effect", "effect"], "as released"
    if fixed:
        assert (fixed[0].config, fixed[0].split) == ("th", "validation")
        assert read["xstilts/xcopa_fixed"] == ["cause", "effect"]


def bucc(folder: Path, part: str, count: int, gold: bool = True) -> None:
    """A part of BUCC whose German sentences have the ids of no other part."""
    place = folder / "bucc2018" / "de-en"
    place.mkdir(parents=True, exist_ok=True)
    for side in ("de", "en"):
        lines = [f"{side}-{part}-{i}\tSatz {part} {i}" for i in range(count)]
        (place / f"de-en.{part}.{side}").write_text("\n".join(lines))
    if gold:
        pairs = [f"de-{part}-{i}\ten-{part}-{i}" for i in range(3)]
        (place / f"de-en.{part}.gold").write_text("\n".join(pairs))


@pytest.mark.parametrize("blind", [5, 50])
def test_pools_and_gold_are_of_one_part(tmp_path: Path, blind: int) -> None:
    """However many lines the blind part has."""
    bucc(tmp_path / "in", "training", 20)
    bucc(tmp_path / "in", "test", blind, gold=False)
    bucc(tmp_path / "in", "sample", 9)
    report = import_folder(tmp_path / "in", tmp_path / "out")
    taken = {(one.config, one.split): one.path.rpartition("/")[2] for one in report.taken}
    assert taken == {
        (config, split): f"de-en.{part}.{side}"
        for split, part in (("test", "training"), ("validation", "sample"))
        for config, side in (("de", "de"), ("de.en", "en"), ("de.gold", "gold"))
    }
    assert report.left_out == {
        f"bucc2018/de-en/de-en.test.{side}": (
            "pools and gold are of one part, all or none: those of `training` are taken"
        )
        for side in ("de", "en")
    }


def test_a_part_is_not_mixed_with_one_that_was_imported_before(tmp_path: Path) -> None:
    bucc(tmp_path / "one", "training", 20)
    bucc(tmp_path / "two", "test", 50, gold=False)
    bucc(tmp_path / "two", "sample", 9)
    import_folder(tmp_path / "one", tmp_path / "out")
    report = import_folder(tmp_path / "two", tmp_path / "out")
    assert {one.split for one in report.taken} == {"validation"}
    assert report.left_out == {
        f"bucc2018/de-en/de-en.test.{side}": (
            "pools and gold are of one part, all or none: the mirror has de.gold test from another "
            "import"
        )
        for side in ("de", "en")
    }
    # The whole of a part replaces the whole of another.
    bucc(tmp_path / "two", "test", 50)
    assert len(import_folder(tmp_path / "two", tmp_path / "out").taken) == 6


def test_what_is_dropped_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines = ["gold_label\tsentence1\tsentence2", "neutral\ta\tb", "-\tc\td", "-\te\tf"]
    (tmp_path / "in/snli_1.0_dev.txt").write_text("\n".join(lines))
    report = import_folder(tmp_path / "in", tmp_path / "out")
    assert report.left_out == {
        "snli_1.0_dev.txt": (
            "2 rows without a label that the annotators agree on (plain_text validation)"
        )
    }


def test_linked_folders_are_followed_and_a_circle_is_not(tmp_path: Path) -> None:
    xnli(tmp_path / "elsewhere", "dev-de.tsv", [("a", "b", "neutral")])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere")
    report = import_folder(tmp_path / "in", tmp_path / "out")
    assert [one.path for one in report.taken] == ["linked/xnli/dev-de.tsv"]


MARKED = {
    "udpos/dev-de.tsv": "Tee\tNOUN\n",
    "panx_dataset/de-dev": "de:Tee\tO\n",
    "pawsx/dev-de.tsv": "Ein Satz\tNoch einer\t1\n",
    "tatoeba.deu-eng.deu": "Tee\n",
    "XNLI-1.0/xnli.dev.tsv": (
        "language\tgold_label\tsentence1\tsentence2\tgenre\nde\tneutral\ta\tb\tslate\n"
    ),
    "ocnli/dev.json": '{"sentence1": "a", "sentence2": "b", "label": "neutral", "genre": "tv"}\n',
    "klue-nli-v1.1_dev.json": (
        '[{"guid": "1", "source": "x", "premise": "a", "hypothesis": "b", "gold_label": "neutral"}]'
    ),
    "snli_1.0_dev.jsonl": '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n',
    "cosmos/valid.csv": (
        "id,context,question,answer0,answer1,answer2,answer3,label\n1,a,b,c,d,e,f,0\n"
    ),
    "UD_German-X/de_x-ud-dev.conllu": "1\tTee\t_\tNOUN\t_\t_\t0\t_\t_\t_\n",
    "bucc2018/de-en.sample.de": "de-1\tTee\n",
    "ccg/dev.tsv": "Tee\tN\n",
    "train-v1.1.json": (
        '{"data": [{"paragraphs": [{"context": "Tee", "qas": [{"id": "1", "question": "?", '
        '"answers": [{"text": "Tee", "answer_start": 0}]}]}]}]}'
    ),
}


@pytest.mark.parametrize("name", MARKED)
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str) -> None:
    mirrors = []
    for mark in ("", "\ufeff"):
        folder = tmp_path / f"in{len(mark)}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(mark + MARKED[name], encoding="utf-8")
        if name.endswith(".deu"):
            (folder / name).with_suffix(".eng").write_text(mark + "tea\n", encoding="utf-8")
        out = tmp_path / f"out{len(mark)}"
        assert import_folder(folder, out).num_rows == 1
        mirrors.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*.parquet")})
    assert mirrors[0] == mirrors[1] and mirrors[0]


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
