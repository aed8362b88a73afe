"""Tagging: UDPOS and PAN-X as XTREME leaves them, the original PAN-X, Universal Dependencies.

A file is sentences with a blank line between them and a word on every line. Tests without tags
come with -1 for every word. Treebanks of one language are not joined here, but for the languages
that XTREME-R adds to UDPOS: their dev and test sets are all treebanks of UD 2.7, as it joins them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from xstilts.data.hub_layout import STRINGS, Features, Row, Split, class_labels
from xstilts.data.importers.conllu import Block, Word, blocks, surface_words
from xstilts.data.importers.original import Imported, Importer, read_lines, refuse
from xstilts.tasks.targets import UPOS
from xstilts.tasks.xtreme_r import XTREME_R

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
NER_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
"""In the order of the Hub's copy."""

_UNKNOWN = -1

WITHHELD = "sentences whose words were withheld"

_LANGUAGE = r"(?P<lang>[a-z]{2,3}(?:-[a-z]+)*)"
_SPLIT = r"(?P<split>train|dev|test)"

# What gives the words of a block; the match is that of the file's name.
_Parse = Callable[[Path, Block, re.Match[str]], list[Word]]


@dataclass(frozen=True, slots=True)
class _DataSet:
    """Where the rows go and what they look like; `config` is filled from the file's name."""

    hub_id: str
    config: str
    tag_column: str
    tags: tuple[str, ...]
    has_langs: bool = False
    is_end: Callable[[str], bool] = lambda line: not line

    @property
    def features(self) -> Features:
        tagged = {"tokens": STRINGS, self.tag_column: class_labels(self.tags)}
        return {**tagged, "langs": STRINGS} if self.has_langs else tagged


def _has_no_word(line: str) -> bool:
    """Whether a line of PAN-X has no word: it ends a sentence. XTREME leaves it an empty line, and
    its gold has a label for every other line."""
    return not line.partition("\t")[0]


def _has_no_word_behind_its_language(line: str) -> bool:
    """As `_has_no_word`, of the original, whose words XTREME strips of white space."""
    prefixed, tab, _ = line.partition("\t")
    _, colon, form = prefixed.partition(":")
    return not line or bool(tab and colon and not form.strip())


_UDPOS = _DataSet("xtreme/udpos", "{lang}", "pos_tags", UPOS)
_PANX = _DataSet("google/xtreme", "PAN-X.{lang}", "ner_tags", NER_TAGS, True)
_PANX_OF_XTREME = replace(_PANX, is_end=_has_no_word)
_PANX_ORIGINAL = replace(_PANX, is_end=_has_no_word_behind_its_language)
_UD = _DataSet("universal-dependencies/universal_dependencies", "{config}", "pos_tags", UPOS)


def _read(
    path: Path, match: re.Match[str], *, data_set: _DataSet, parse: _Parse
) -> Iterator[Imported]:
    groups = match.groupdict()
    may_lack_tags = groups["split"] == "test"
    tagged: bool | None = None
    rows: list[Row] = []
    without = Counter[str]()
    for block in blocks(read_lines(path), data_set.is_end):
        words = parse(path, block, match)
        if not words:
            without[WITHHELD] += 1
        for word in words:
            if tagged is None:
                tagged = word.tag is not None or not may_lack_tags
            if tagged != (word.tag is not None):
                # One word without its tag is a damaged file; a test without any is a blank one.
                rule = "a word must have a tab and a tag" if tagged else "no word above has a tag"
                raise refuse(path, word.row, rule, word.form)
        if words:
            rows.append(_row(path, words, data_set, groups["lang"]))
    name = SPLITS[groups["split"]]
    split = Split(data_set.config.format(**groups), name, data_set.features, rows)
    yield Imported(data_set.hub_id, split, without=without)
    if data_set is _UD and groups["lang"] in XTREME_R["udpos"] and name != "train":
        joined = Split(groups["lang"], name, _UDPOS.features, rows)
        yield Imported(_UDPOS.hub_id, joined, is_piece=True)


def _row(path: Path, words: list[Word], data_set: _DataSet, language: str) -> Row:
    tags = [_number(path, word, data_set.tags) for word in words]
    row = {"tokens": [word.form for word in words], data_set.tag_column: tags}
    return {**row, "langs": [language] * len(words)} if data_set.has_langs else row


def _number(path: Path, word: Word, tags: tuple[str, ...]) -> int:
    if word.tag is None:
        return _UNKNOWN
    if word.tag not in tags:
        raise refuse(path, word.row, f"the tag must be one of {', '.join(tags)}", word.tag)
    return tags.index(word.tag)


def _plain(path: Path, block: Block, match: re.Match[str]) -> list[Word]:
    """`word`, or `word TAB tag`."""
    words = []
    for row, line in block:
        form, tab, tag = line.partition("\t")
        words.append(Word(row, form, tag if tab else None))
    return words


def _prefixed(path: Path, block: Block, match: re.Match[str]) -> list[Word]:
    """`language:word TAB tag`; the word may hold colons of its own."""
    words = []
    for row, line in block:
        prefixed, tab, tag = line.partition("\t")
        _, colon, form = prefixed.partition(":")
        if not colon or not tab:
            raise refuse(path, row, "a word must be `language:word`, a tab and a tag", line)
        words.append(Word(row, form, tag))
    return words


def _indexed(path: Path, block: Block, match: re.Match[str]) -> list[Word]:
    """`index TAB word TAB tag`, the index from 0."""
    words = []
    for i, (row, line) in enumerate(block):
        columns = line.split("\t")
        if len(columns) != 3 or columns[0] != str(i):
            raise refuse(path, row, f"a word must be its index {i}, the word and a tag", line)
        words.append(Word(row, columns[1], columns[2]))
    return words


def _conllu(path: Path, block: Block, match: re.Match[str]) -> list[Word]:
    return surface_words(path, block, match["lang"])


def _read_ccg(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """Supertags: `word|POS|category` with blanks between, a sentence a line, as the C&C tools have
    it, or `word TAB category`, a word a line. Which categories there are the rows say."""
    rows: list[Row] = []
    if match["form"] == "tsv":
        for block in blocks(read_lines(path)):
            words = _plain(path, block, match)
            untagged = [word for word in words if word.tag is None]
            if untagged:
                row = untagged[0].row
                raise refuse(path, row, "a word must have a tab and a category", untagged[0].form)
            rows.append({"tokens": [w.form for w in words], "tags": [w.tag for w in words]})
    else:
        for row, line in read_lines(path):
            parts = [part.rsplit("|", 2) for part in line.split()]
            if any(len(part) != 3 for part in parts):
                raise refuse(path, row, "words must be `word|POS|category`, blanks between", line)
            if parts:
                tokens, _, tags = zip(*parts, strict=True)
                rows.append({"tokens": list(tokens), "tags": list(tags)})
    features = {"tokens": STRINGS, "tags": STRINGS}
    yield Imported("xstilts/ccg", Split("default", SPLITS[match["split"]], features, rows))


def _importer(name: str, pattern: str, data_set: _DataSet, parse: _Parse) -> Importer:
    return Importer(name, pattern, partial(_read, data_set=data_set, parse=parse))


IMPORTERS: tuple[Importer, ...] = (
    Importer("CCGbank export", rf"(?i:ccg)[^/]*/{_SPLIT}\.(?P<form>tsv|txt|stagged)", _read_ccg),
    _importer("UDPOS of XTREME", rf"udpos/{_SPLIT}-{_LANGUAGE}\.tsv", _UDPOS, _plain),
    _importer("PAN-X of XTREME", rf"panx/{_SPLIT}-{_LANGUAGE}\.tsv", _PANX_OF_XTREME, _plain),
    # XTREME's download renames `de/train` to `de-train`.
    _importer(
        "PAN-X",
        rf"(?:PAN-X|panx_dataset)/{_LANGUAGE}[/-]{_SPLIT}",
        _PANX_ORIGINAL,
        _prefixed,
    ),
    _importer(
        "WikiANN tests with labels",
        rf"wikiann_labelled_test/{_LANGUAGE}/(?P<split>test)\.conllu",
        _PANX,
        _indexed,
    ),
    _importer(
        "Universal Dependencies",
        rf"UD_[^/]+/(?P<config>(?P<lang>[a-z]+)_[a-z0-9]+)-ud-{_SPLIT}\.conllu",
        _UD,
        _conllu,
    ),
)
