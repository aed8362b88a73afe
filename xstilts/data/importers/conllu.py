"""CoNLL-U sentences as XTREME's words and tags: one tag for every word of the surface text.

A multiword token (German `im`) stays one word with the tag of one of its parts; empty nodes are
no words. Trees, lemmas and features serve that choice and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xstilts.data.importers.original import refuse

Block = list[tuple[int, str]]
"""The lines between two blank ones, with their numbers."""

_NUM_COLUMNS = 10
_MISSING = "_"

# Which part gives a multiword token its tag where several parts stand equally near to the root.
# XTREME's converter fails at a tag that its list lacks; here such a part comes last.
_DEFAULT = (
    *("VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ"),
    *("AUX", "ADP", "DET", "PART", "CCONJ", "SCONJ", "X", "PUNCT"),
)
_PRECEDENCE: Mapping[str, tuple[str, ...]] = {
    "es": ("VERB", "AUX", "PRON", "ADP", "DET"),
    "fr": (
        *("VERB", "AUX", "PRON", "NOUN", "ADJ", "ADV", "ADP", "DET", "PART", "SCONJ"),
        "CONJ",  # as XTREME spells it, so that CCONJ has no rank
    ),
    "it": ("VERB", "AUX", "ADV", "PRON", "ADP", "DET", "INTJ"),
}


@dataclass(frozen=True, slots=True)
class Word:
    """A word, the number of its line and its tag; `None` where no tag was published."""

    row: int
    form: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class _Node:
    """A syntactic word: what the choice of a tag needs."""

    word: Word
    heads: frozenset[int]


def surface_words(path: Path, block: Block, language: str) -> list[Word]:
    """The words of one sentence as XTREME converts it; none where they were withheld.

    A treebank whose text may not be published has `_` for its forms: a sentence with at most one
    other form is dropped, as XTREME drops it. Spaces within a form and U+200C are removed. A word
    without a tag is X.

    Args:
        language: the treebank's language, for the precedence among a multiword token's parts.

    Raises:
        DataError: a line has not ten columns, an unreadable number, or a range without its parts.
    """
    nodes: dict[int, _Node] = {}
    ranges: list[tuple[Word, int, int]] = []
    for row, line in block:
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != _NUM_COLUMNS:
            raise refuse(path, row, f"a word must have {_NUM_COLUMNS} columns", line)
        word = Word(row, columns[1], "X" if columns[3] == _MISSING else columns[3])
        try:
            if "-" in columns[0]:
                first, last = map(int, columns[0].split("-"))
                ranges.append((word, first, last))
            elif "." not in columns[0]:
                nodes[int(columns[0])] = _Node(word, _heads(columns[6], columns[8]))
        except ValueError as error:
            rule = "the columns ID and HEAD must be numbers"
            raise refuse(path, row, rule, (columns[0], columns[6])) from error
    words = {number: node.word for number, node in nodes.items()}
    for fused, first, last in ranges:
        parts = range(first, last + 1)
        if not parts or not all(part in nodes for part in parts):
            raise refuse(path, fused.row, "a range must name words", f"{first}-{last}")
        tag = nodes[_chosen(nodes, parts, _PRECEDENCE.get(language, _DEFAULT))].word.tag
        for part in parts:
            words.pop(part, None)
        words[first] = Word(fused.row, fused.form, tag)
    forms = [words[number].form for number in sorted(words)]
    withheld = forms.count(_MISSING)
    if withheld and withheld >= len(forms) - 1:
        return []
    return [_without_spaces(words[number]) for number in sorted(words)]


def _heads(head: str, enhanced: str) -> frozenset[int]:
    """The heads of a word in the tree and in the enhanced graph, but for empty nodes."""
    heads = set() if head == _MISSING else {int(head)}
    if enhanced != _MISSING:
        numbers = (part.partition(":")[0] for part in enhanced.split("|"))
        heads |= {int(number) for number in numbers if number.isdigit()}
    return frozenset(heads)


def _chosen(nodes: Mapping[int, _Node], parts: Sequence[int], precedence: Sequence[str]) -> int:
    """The part with the fewest words above it; among equals the best tag, then the first."""

    def rank(part: int) -> tuple[int, int, int]:
        tag = nodes[part].word.tag
        place = precedence.index(tag) if tag in precedence else len(precedence)
        return _num_ancestors(nodes, part), place, part

    return min(parts, key=rank)


def _num_ancestors(nodes: Mapping[int, _Node], number: int) -> int:
    """All that stands above a word, over every path; a cycle is walked once."""
    seen: set[int] = set()
    waiting = set(nodes[number].heads)
    while waiting:
        head = waiting.pop()
        seen.add(head)
        if head in nodes:
            waiting |= nodes[head].heads - seen
    return len(seen - {number})


def _without_spaces(word: Word) -> Word:
    form = word.form.replace(" ", "").replace("\u200c", "")
    # A word of nothing else must stay a word.
    return Word(word.row, form or word.form, word.tag)


def blocks(
    lines: Iterator[tuple[int, str]], is_end: Callable[[str], bool] = lambda line: not line
) -> Iterator[Block]:
    """The lines of every sentence; the last may lack its blank line or its line end.

    Args:
        is_end: whether a line ends a sentence, and is none of it.
    """
    block: Block = []
    for number, line in lines:
        if not is_end(line):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block
