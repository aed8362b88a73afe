"""Tagging files into the mirror: real records of every format, their traps, broken rows."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as parquet
import pytest

from xstilts.data.hub_layout import write_dataset
from xstilts.data.importers import import_folder
from xstilts.data.importers.conllu import blocks, surface_words
from xstilts.data.importers.original import Imported
from xstilts.data.importers.tagging import IMPORTERS, NER_TAGS
from xstilts.errors import DataError
from xstilts.tasks.targets import UPOS

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.usefixtures("data")


def read(path: Path, root: Path) -> Imported:
    name = path.relative_to(root).as_posix()
    [match] = [(i, found) for i in IMPORTERS if (found := i.match(name))]
    # Some treebanks are a piece of UDPOS besides.
    imported, *pieces = match[0].read(path, match[1])
    assert all(piece.is_piece for piece in pieces)
    return imported


def read_real(name: str) -> Imported:
    return read(DATA / name, DATA)


def written(tmp_path: Path, name: str, text: str) -> Imported:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return read(path, tmp_path)


def conllu_words(text: str, language: str = "de") -> list[tuple[str, str | None]]:
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1)]
    return [
        (word.form, word.tag)
        for block in blocks(iter(lines))
        for word in surface_words(Path("x.conllu"), block, language)
    ]


def line(number: str, form: str, tag: str, head: str = "0", enhanced: str = "_") -> str:
    return "\t".join([number, form, "_", tag, "_", "_", head, "dep", enhanced, "_"])


def manifest(*beginnings: str) -> list[tuple[str, int]]:
    with (DATA / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [(r["path"], int(r["records"])) for r in rows if r["path"].startswith(beginnings)]


@needs_data
def test_every_file_has_the_sentences_that_the_manifest_counts() -> None:
    files = manifest("xtreme/udpos/", "xtreme/panx/", "wikiann_labelled_test/", "ud/")
    assert len(files) >= 73 + 96 + 6 + 19
    assert {name: len(read_real(name).split.rows) for name, _ in files} == dict(files)


@needs_data
def test_every_original_panx_file_has_its_blocks() -> None:
    files = sorted((DATA / "hf_dummy/PAN-X").glob("*/*"))
    assert len(files) == 3 * 48
    for path in files:
        parts = re.split(r"\n\n+", path.read_text(encoding="utf-8").strip("\n"))
        imported = read(path, DATA)
        assert imported.split.config == f"PAN-X.{path.parent.name}"
        assert ["\n".join(row["tokens"]) for row in imported.split.rows] == [
            re.sub(r"(?m)^[a-z]+:(.*)\t[^\t]+$", r"\1", part) for part in parts
        ]


PANX = "google/xtreme"
UD = "universal-dependencies/universal_dependencies"


@needs_data
@pytest.mark.parametrize(
    ("name", "hub_id", "config", "split", "column"),
    [
        ("xtreme/udpos/dev-de.tsv", "xtreme/udpos", "de", "validation", 0),
        ("xtreme/udpos/test-th.tsv", "xtreme/udpos", "th", "test", 0),
        ("xtreme/panx/dev-zh.tsv", PANX, "PAN-X.zh", "validation", 0),
        ("xtreme/panx/test-de.tsv", PANX, "PAN-X.de", "test", 0),
        ("hf_dummy/PAN-X/th/train", PANX, "PAN-X.th", "train", 0),
        ("wikiann_labelled_test/de/test.conllu", PANX, "PAN-X.de", "test", 1),
        ("ud/UD_German-GSD/de_gsd-ud-test.conllu", UD, "de_gsd", "test", None),
    ],
)
def test_what_is_loaded_back_is_what_the_file_says(
    tmp_path: Path, name: str, hub_id: str, config: str, split: str, column: int | None
) -> None:
    imported = read_real(name)
    assert imported.hub_id == hub_id
    write_dataset(tmp_path / hub_id, [imported.split], "a note")
    loaded = datasets.load_dataset(
        str(tmp_path / hub_id), config, split=split, cache_dir=str(tmp_path / "cache")
    )
    assert loaded.to_list() == imported.split.rows
    tags = loaded.features["pos_tags" if "ner_tags" not in loaded.features else "ner_tags"]
    assert tags.feature.names == list(UPOS if hub_id != PANX else NER_TAGS)
    if column is None:
        return
    expected = [
        [re.sub("^th:", "", part.split("\t")[column]) for part in sentence.split("\n")]
        for sentence in (DATA / name).read_text(encoding="utf-8").strip("\n").split("\n\n")
    ]
    assert loaded["tokens"] == expected


@needs_data
def test_tags_stand_at_their_words() -> None:
    row = read_real("xtreme/udpos/dev-de.tsv").split.rows[0]
    assert list(zip(row["tokens"], [UPOS[tag] for tag in row["pos_tags"]], strict=True)) == [
        ("Manasse", "PROPN"),
        ("ist", "AUX"),
        ("ein", "DET"),
        ("einzigartiger", "ADJ"),
        ("Parfümeur", "NOUN"),
        (".", "PUNCT"),
    ]
    row = read_real("xtreme/panx/dev-de.tsv").split.rows[0]
    assert [NER_TAGS[tag] for tag in row["ner_tags"]] == ["B-PER", "I-PER", "I-PER", "I-PER", "O"]
    assert row["langs"] == ["de"] * 5


@needs_data
@pytest.mark.parametrize("name", ["xtreme/udpos/test-de.tsv", "xtreme/panx/test-de.tsv"])
def test_a_test_without_tags_has_one_unknown_tag_a_word(name: str) -> None:
    for row in read_real(name).split.rows:
        tags = row["pos_tags"] if "pos_tags" in row else row["ner_tags"]
        assert tags == [-1] * len(row["tokens"])


@needs_data
@pytest.mark.parametrize("language", ["de", "en", "es", "nl", "ru"])
def test_labelled_wikiann_tests_are_the_blank_ones_with_tags(language: str) -> None:
    blank = read_real(f"xtreme/panx/test-{language}.tsv").split
    labelled = read_real(f"wikiann_labelled_test/{language}/test.conllu").split
    assert (labelled.config, labelled.name) == (blank.config, blank.name)
    pairs = list(zip(blank.rows, labelled.rows, strict=False))
    assert len(pairs) == 50
    assert all(a["tokens"] == b["tokens"] for a, b in pairs)
    assert all(tag >= 0 for _, row in pairs for tag in row["ner_tags"])


def test_colons_within_words_of_the_original_panx_stay(tmp_path: Path) -> None:
    text = "th::\tO\nth:a:b\tB-PER\n\nth:http://x\tO\n"
    rows = written(tmp_path, "panx_dataset/th/train", text).split.rows
    assert [row["tokens"] for row in rows] == [[":", "a:b"], ["http://x"]]
    assert rows[0]["ner_tags"] == [0, 1]


def test_a_missing_line_end_loses_nothing_and_blank_lines_add_nothing(tmp_path: Path) -> None:
    text = "\nTea\tNOUN\n\n\nis\tAUX\r\nhot\tADJ"
    rows = written(tmp_path, "udpos/dev-en.tsv", text).split.rows
    assert [row["tokens"] for row in rows] == [["Tea"], ["is", "hot"]]


def test_words_of_spaces_and_separators_are_words(tmp_path: Path) -> None:
    rows = written(tmp_path, "panx/dev-en.tsv", "\u2028\tO\n\u00a0\tO\na b\tB-LOC\n\n").split.rows
    assert [row["tokens"] for row in rows] == [["\u2028", "\u00a0", "a b"]]


@needs_data
def test_surface_words_spell_the_sentences_of_every_treebank() -> None:
    files = sorted((DATA / "ud").glob("*/*.conllu"))
    assert len(files) >= 19
    for path in files:
        # The Vietnamese treebank has no space after the sign.
        texts = re.findall(r"(?m)^# text = ?(.*)$", path.read_text(encoding="utf-8"))
        squeezed = [re.sub(r"[\s\u200c]", "", text) for text in texts]
        assert ["".join(row["tokens"]) for row in read(path, DATA).split.rows] == squeezed


@needs_data
def test_a_fused_word_is_kept_once_with_the_tag_of_a_part() -> None:
    rows = read_real("ud/UD_German-GSD/de_gsd-ud-test.conllu").split.rows
    tags = {
        UPOS[tag]
        for row in rows
        for token, tag in zip(row["tokens"], row["pos_tags"], strict=True)
        if token == "im"
    }
    assert tags == {"ADP"}


@needs_data
@pytest.mark.parametrize("language", ["de", "ko", "ru", "ta", "te", "th"])
def test_words_of_treebanks_are_those_of_xtreme(language: str) -> None:
    [path] = (DATA / "ud").glob(f"*/{language}_*-ud-test.conllu")
    blank = read_real(f"xtreme/udpos/test-{language}.tsv").split.rows
    rows = read(path, DATA).split.rows
    assert [row["tokens"] for row in rows[: len(blank)]] == [row["tokens"] for row in blank]


@needs_data
@pytest.mark.parametrize("language", ["de", "es", "fr", "ta"])
def test_fused_words_have_the_tags_that_xtreme_gives_them(language: str) -> None:
    [path] = (DATA / "ud").glob(f"*/{language}_*-ud-test.conllu")
    fused = set(re.findall(r"(?m)^\d+-\d+\t([^\t]+)", path.read_text(encoding="utf-8")))

    def most_frequent(rows: Any) -> dict[str, int]:
        tags: dict[str, list[int]] = {}
        for row in rows:
            for token, tag in zip(row["tokens"], row["pos_tags"], strict=True):
                if token in fused:
                    tags.setdefault(token, []).append(tag)
        return {token: max(set(found), key=found.count) for token, found in tags.items()}

    ours = most_frequent(read(path, DATA).split.rows)
    theirs = most_frequent(read_real(f"xtreme/udpos/dev-{language}.tsv").split.rows)
    shared = ours.keys() & theirs.keys()
    assert shared
    assert {token: ours[token] for token in shared} == {token: theirs[token] for token in shared}


def test_the_part_nearest_to_the_root_gives_the_tag_whatever_its_rank() -> None:
    text = [line("1-2", "im", "_"), line("1", "in", "ADP", "2"), line("2", "dem", "DET", "0")]
    assert conllu_words("\n".join(text)) == [("im", "DET")]


def test_among_parts_at_one_height_the_language_decides() -> None:
    text = "\n".join(
        [
            line("1-2", "xy", "_"),
            line("1", "x", "NOUN", "3"),
            line("2", "y", "ADP", "3"),
            line("3", "z", "VERB", "0"),
        ]
    )
    assert conllu_words(text, "de")[0] == ("xy", "NOUN")
    assert conllu_words(text, "fr")[0] == ("xy", "NOUN")
    assert conllu_words(text, "es")[0] == ("xy", "ADP")
    assert conllu_words(text, "it")[0] == ("xy", "ADP")
    adverb = text.replace("NOUN", "ADV").replace("ADP", "PRON")
    assert [conllu_words(adverb, code)[0][1] for code in ("de", "fr", "it")] == [
        "PRON",
        "PRON",
        "ADV",
    ]


def test_enhanced_heads_count_as_being_above() -> None:
    text = "\n".join(
        [
            line("1-2", "xy", "_"),
            line("1", "x", "VERB", "3", "3:dep|4:dep|4.1:dep"),
            line("2", "y", "PART", "3", "3:dep"),
            line("3", "z", "NOUN", "0", "0:root"),
            line("4", "w", "NOUN", "3", "3:dep"),
        ]
    )
    assert conllu_words(text)[0] == ("xy", "PART")


def test_empty_nodes_are_no_words_and_missing_tags_are_x() -> None:
    text = "\n".join(["# text = a b", line("1", "a", "_"), line("1.1", "c", "VERB", "_")])
    assert conllu_words(text + "\n" + line("2", "b", "NOUN", "1")) == [("a", "X"), ("b", "NOUN")]


@needs_data
def test_real_empty_nodes_and_forms_with_spaces() -> None:
    path = DATA / "ud/UD_Vietnamese-VTB/vi_vtb-ud-test.conllu"
    spaced = re.findall(r"(?m)^\d+\t([^\t]* [^\t]*)\t", path.read_text(encoding="utf-8"))
    tokens = {token for row in read(path, DATA).split.rows for token in row["tokens"]}
    assert len(spaced) == 358
    assert {form.replace(" ", "") for form in spaced} <= tokens
    assert not any(" " in token for token in tokens)
    path = DATA / "ud/UD_English-EWT/en_ewt-ud-train.conllu"
    lines = path.read_text(encoding="utf-8").split("\n")
    assert sum(bool(re.match(r"\d+\.\d+\t", text)) for text in lines) == 4
    single = sum(bool(re.match(r"\d+\t", text)) for text in lines)
    ranges = [re.match(r"(\d+)-(\d+)\t", text) for text in lines]
    parts = sum(int(found[2]) - int(found[1]) for found in ranges if found)
    assert sum(len(row["tokens"]) for row in read(path, DATA).split.rows) == single - parts


def test_withheld_sentences_are_dropped_and_joiners_removed(tmp_path: Path) -> None:
    withheld = [line("1", "_", "NOUN"), line("2", "_", "VERB"), line("3", ".", "PUNCT")]
    kept = [line("1", "_", "SYM"), line("2", "a\u200cb", "VERB"), line("3", "c d", "X")]
    alone = [line("1", "\u200c", "X"), line("2", "e", "X")]
    text = "\n\n".join("\n".join(part) for part in (withheld, kept, alone))
    imported = written(tmp_path, "UD_French-FTB/fr_ftb-ud-train.conllu", text)
    assert imported.split.config == "fr_ftb"
    assert [row["tokens"] for row in imported.split.rows] == [["_", "ab", "cd"], ["\u200c", "e"]]


@pytest.mark.parametrize(
    ("name", "text", "where", "message"),
    [
        ("udpos/dev-en.tsv", "a\tNOUN\nb\n", 2, "must have a tab and a tag; got 'b'"),
        ("udpos/train-en.tsv", "a\n", 1, "must have a tab and a tag; got 'a'"),
        ("udpos/test-en.tsv", "a\tNOUN\n\nb\n", 3, "must have a tab and a tag; got 'b'"),
        ("udpos/test-en.tsv", "a\nb\tNOUN\n", 2, "no word above has a tag; got 'b'"),
        ("udpos/dev-en.tsv", "a\tNOUN\nb\tNN\n", 2, "the tag must be one of ADJ, "),
        ("panx/dev-en.tsv", "a\tB-MISC\n", 1, "got 'B-MISC'"),
        ("panx/dev-en.tsv", "a\tO\tO\n", 1, "the tag must be one of O, B-PER, "),
        ("PAN-X/en/dev", "en:a\tO\nb\tO\n", 2, "must be `language:word`, a tab and a tag"),
        ("PAN-X/en/test", "en:a\n", 1, "must be `language:word`, a tab and a tag"),
        ("wikiann_labelled_test/de/test.conllu", "0\ta\tO\n2\tb\tO\n", 2, "its index 1, the word"),
        ("UD_X-Y/en_ewt-ud-dev.conllu", "1\ta\tNOUN\n", 1, "must have 10 columns"),
        ("UD_X-Y/en_ewt-ud-dev.conllu", line("x", "a", "NOUN"), 1, "must be numbers"),
        ("UD_X-Y/en_ewt-ud-dev.conllu", line("1", "a", "NN"), 1, "got 'NN'"),
        ("UD_X-Y/en_ewt-ud-dev.conllu", line("1-2", "ab", "_"), 1, "a range must name words"),
    ],
)
def test_a_broken_row_is_named(
    tmp_path: Path, name: str, text: str, where: int, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        written(tmp_path, name, text)
    assert str(caught.value).startswith(f"{tmp_path / name}:{where}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ccg_exports_of_both_forms(tmp_path: Path) -> None:
    text = "The|DT|NP/N tea|NN|N .|.|.\n\nA|b|c|DT|NP/N\n"
    rows = written(tmp_path, "CCGbank/train.stagged", text).split.rows
    assert [row["tokens"] for row in rows] == [["The", "tea", "."], ["A|b|c"]]
    assert [row["tags"] for row in rows] == [["NP/N", "N", "."], ["NP/N"]]
    rows = written(tmp_path, "ccg/dev.tsv", "Tea\tN\n.\t.\n\nCats\tN").split.rows
    assert [row["tags"] for row in rows] == [["N", "."], ["N"]]


@pytest.mark.parametrize(
    ("name", "text"), [("train.stagged", "The|NP/N\n"), ("dev.tsv", "Tea N\n")]
)
def test_a_broken_ccg_row_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(DataError, match=f"{name}:1"):
        written(tmp_path, f"ccg/{name}", text)


def test_a_word_of_nothing_ends_a_sentence_as_xtreme_has_it(tmp_path: Path) -> None:
    """Its preprocessing writes an empty line for one."""
    words = ["Hà\tB-LOC", "Nội\tI-LOC", "\tO", "đặt:\tO", "", "\u3000\tO", ":\tO", "", "Ba\tO"]
    original = tmp_path / "in/panx_dataset/vi-dev"
    original.parent.mkdir(parents=True)
    original.write_text("".join(f"vi:{word}\n" if word else "\n" for word in words))
    left = tmp_path / "xtreme/panx/dev-vi.tsv"
    left.parent.mkdir(parents=True)
    left.write_text("".join(f"{word.strip(chr(0x3000))}\n" for word in words))
    sentences = []
    for folder in ("in", "xtreme"):
        import_folder(tmp_path / folder, tmp_path / "out" / folder)
        (file,) = (tmp_path / "out" / folder).rglob("*.parquet")
        sentences.append(parquet.read_table(file)["tokens"].to_pylist())
    assert sentences[0] == sentences[1] == [["Hà", "Nội"], ["đặt:"], [":"], ["Ba"]]
