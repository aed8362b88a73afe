"""Where the sentences of running text begin and end: rules for English, as SQuAD's paragraphs are.

A sentence ends at a full stop, question or exclamation mark, with what closes behind it, before
blanks and a word that may begin one; not after an abbreviation, and after initials only before a
word that begins most sentences.
"""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    (
        *("adm", "al", "approx", "asst", "ave", "bros", "c", "ca", "capt", "cf", "ch", "col"),
        *("comdr", "corp", "dept", "dr", "e.g", "ed", "eds", "est", "etc", "ex", "fig", "figs"),
        *("fr", "ft", "gen", "gov", "hon", "i.e", "inc", "jr", "lt", "ltd", "maj", "messrs", "mr"),
        *("mrs", "ms", "mt", "no", "nos", "op", "p", "pp", "prof", "rep", "rev", "sen", "sgt"),
        *("sr", "st", "v", "viz", "vol", "vols", "vs"),
    )
)
"""Words that end in a full stop within a sentence."""

STARTERS = frozenset(
    (
        *("A", "After", "All", "Although", "An", "And", "As", "At", "Before", "But", "By"),
        *("Despite", "During", "Each", "For", "From", "He", "Her", "His", "However", "If", "In"),
        *("It", "Its", "Many", "Most", "On", "One", "Only", "Other", "Since", "She", "Some"),
        *("That", "The", "Their", "There", "These", "They", "This", "Those", "To", "Today"),
        *("Under", "Unlike", "Until", "We", "What", "When", "Where", "While", "With"),
    )
)
"""Words before which even an initial, or letters with stops, may end a sentence."""

LONGEST = 20
"""Letters before a full stop that are looked at."""

_END = re.compile(r"[.?!]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]*[^\W_a-z])")
_WORD = re.compile(r"[^\s(\[\"'“‘]*\Z")
_NEXT = re.compile(r"\s+[\"'“‘(\[]*(\w+)(?!\w|\.)")
_INITIALS = re.compile(r"[A-Z]|[A-Za-z](\.[A-Za-z])+")


def sentence_breaks(text: str) -> list[tuple[int, int]]:
    """Start and end of every sentence, in characters; blanks between belong to none."""
    ends = [match.end() for match in _END.finditer(text) if not _goes_on(text, match)]
    breaks, start = [], 0
    for end in (*ends, len(text)):
        whole = text[start:end]
        if stripped := whole.strip():
            first = start + len(whole) - len(whole.lstrip())
            breaks.append((first, first + len(stripped)))
        start = end
    return breaks


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Whether what looks like an end is the full stop of an abbreviation."""
    if match.group() != ".":
        return False
    found = _WORD.search(text, max(0, match.start() - LONGEST), match.start())
    word = found.group() if found else ""
    if word.lower() in ABBREVIATIONS:
        return True
    following = _NEXT.match(text, match.end())
    is_start = following is not None and following.group(1) in STARTERS
    return _INITIALS.fullmatch(word) is not None and not is_start
