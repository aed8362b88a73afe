"""The official metrics of XTREME, from predictions to numbers between 0 and 100.

Rules that differ between evaluators are stated at each function with their source. Nothing here
averages over languages; that is `aggregate.py`.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Share of equal pairs, 0-100.

    Raises:
        ValueError: the lengths differ, or there is nothing to score.
    """
    if len(gold) != len(predicted) or not gold:
        raise ValueError(f"{len(gold)} gold and {len(predicted)} predicted items")
    return 100 * sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)


def chunks(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """The chunks of one sentence as (type, first, last).

    The rule of seqeval 0.0.12, which XTREME's numbers come from: the first letter is the prefix
    and what follows the last hyphen the type, *also for tags that have no prefix*. A run of equal
    part-of-speech tags is thus one chunk, except that SCONJ and SYM, whose `S` reads as "single",
    are a chunk each.
    """
    begin, before, kind = 0, "O", ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, label = tag[0], tag.rpartition("-")[2]
        if _ends(before, prefix, kind != label):
            yield kind, begin, i - 1
        if _starts(before, prefix, kind != label):
            begin = i
        before, kind = prefix, label


def _ends(before: str, prefix: str, is_other_type: bool) -> bool:
    """Whether a chunk ends between two tags, given by their prefixes."""
    closed = before in "ES" or (before in "BI" and prefix in "BSO")
    return closed or (before not in "O." and is_other_type)


def _starts(before: str, prefix: str, is_other_type: bool) -> bool:
    """Whether a chunk starts at the second of two tags, given by their prefixes."""
    opened = prefix in "BS" or (before in "ESO" and prefix in "EI")
    return opened or (prefix not in "O." and is_other_type)


def chunk_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """F1 of chunks over all sentences, 0-100; 0 where there is no true positive.

    Raises:
        ValueError: the numbers of sentences or of a sentence's tags differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold and {len(predicted)} predicted sentences")
    true = given = found = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(f"{len(gold_tags)} gold and {len(predicted_tags)} predicted tags")
        gold_chunks, predicted_chunks = set(chunks(gold_tags)), set(chunks(predicted_tags))
        true += len(gold_chunks & predicted_chunks)
        given += len(gold_chunks)
        found += len(predicted_chunks)
    return 200 * true / (given + found) if true else 0.0


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """SQuAD v1.1's normalisation: lower case, no ASCII punctuation, no a/an/the, single spaces.

    XTREME applies it to every language of XQuAD and TyDiQA.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: Sequence[str]) -> float:
    """100 if the answer equals one of the gold answers after normalisation, else 0."""
    normalized = normalize_answer(answer)
    return 100.0 * any(normalized == normalize_answer(text) for text in gold)


def token_f1(answer: str, gold: Sequence[str]) -> float:
    """SQuAD v1.1's F1 over bags of words, the best of the gold answers, 0-100."""
    return max((_token_f1(answer, text) for text in gold), default=0.0)


def _token_f1(answer: str, gold: str) -> float:
    predicted, wanted = normalize_answer(answer).split(), normalize_answer(gold).split()
    common = sum((Counter(predicted) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(wanted)
    return 100 * 2 * precision * recall / (precision + recall)
