"""The official metrics of XTREME, from predictions to numbers between 0 and 100.

Rules that differ between evaluators are stated at each function with their source. Nothing here
averages over languages; that is `aggregate.py`.
"""

from __future__ import annotations

import math
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence, Set
from functools import cache, partial
from statistics import fmean

import numpy as np


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


def chunk_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """F1, precision and recall of chunks over all sentences, 0-100 each; 0 where nothing is right.

    As in seqeval 0.0.12 sentences are laid end to end with an `O` between them, so where a
    sentence has more tags than its gold, the chunks after it no longer match.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold and {len(predicted)} predicted sentences")
    wanted, given = set(chunks(_joined(gold))), set(chunks(_joined(predicted)))
    return overlap_scores(wanted, given)


def overlap_scores(gold: Set[Hashable], predicted: Set[Hashable]) -> dict[str, float]:
    """F1, precision and recall of a set of items, 0-100 each; 0 where nothing is right."""
    correct = len(gold & predicted)
    if not correct:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = correct / len(predicted), correct / len(gold)
    f1 = 2 * precision * recall / (precision + recall)
    return {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}


def binary_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], positive: Hashable) -> float:
    """F1 of one class, 0-100: GLUE's second metric for QQP."""
    wanted = {i for i, label in enumerate(gold) if label == positive}
    given = {i for i, label in enumerate(predicted) if label == positive}
    return overlap_scores(wanted, given)["f1"]


def f1_macro(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """The plain mean of the F1 of every label that occurs, 0-100, by scikit-learn."""
    from sklearn.metrics import f1_score  # late: few tasks ask, and it takes a second

    return 100 * float(f1_score(gold, predicted, average="macro", zero_division=0.0))


def mcc(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Matthews' correlation coefficient, of any number of labels, by scikit-learn; times 100, so
    that it lies between -100 and 100, and 0 is a constant's."""
    from sklearn.metrics import matthews_corrcoef

    return 100 * float(matthews_corrcoef(gold, predicted))


def multilabel_scores(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Of tables that say which labels a row has, (rows, labels), 0 or 1: the plain mean of the F1
    of every label that occurs, F1 of all givings together, and the share of rows whose labels are
    all right; by scikit-learn, 0-100 each."""
    from sklearn.metrics import accuracy_score, f1_score  # late, as above

    occurring = (gold | predicted).any(0).nonzero()[0].tolist()
    by_average = {
        average: f1_score(gold, predicted, labels=occurring, average=average, zero_division=0.0)
        for average in ("macro", "micro")
        if occurring
    }
    return {
        "f1_macro": 100 * float(by_average.get("macro", 0.0)),
        "f1_micro": 100 * float(by_average.get("micro", 0.0)),
        "subset_accuracy": 100 * float(accuracy_score(gold, predicted)),
    }


RANKED = 20
"""So far down do XTREME-R's retrieval tasks read a ranking (Ruder et al. 2021)."""


def reciprocal_rank(gold: Hashable, ranking: Sequence[Hashable]) -> float:
    """100 / rank of the gold within the first 20, else 0: of a query of Mewsli-X, whose score is
    the mean. A candidate that stands there twice takes two ranks."""
    ranks = (rank for rank, found in enumerate(ranking[:RANKED], start=1) if found == gold)
    return 100 / next(ranks, math.inf)


def average_precision(gold: Collection[Hashable], ranking: Sequence[Hashable]) -> float:
    """Average precision within the first 20, 0-100: of a question of LAReQA, whose score is the
    mean over all questions (`mean_avg_prec_at_k` in XTREME-R's `utils_lareqa.py`).

    The sum over the ranks of hits of (hits so far / rank), divided by the hits that there could
    be, min(number of gold, 20). A candidate that stands there twice hits once.

    Raises:
        ValueError: there is no gold.
    """
    wanted = set(gold)
    if not wanted:
        raise ValueError("a question has no gold candidate")
    possible, hits, total = min(len(wanted), RANKED), 0, 0.0
    for rank, found in enumerate(ranking[:RANKED], start=1):
        if found in wanted:
            wanted.remove(found)
            hits += 1
            total += hits / rank
    return 100 * total / possible


Metric = Callable[[Sequence[Hashable], Sequence[Hashable]], float]

OF_LABELS: Mapping[str, Metric] = {"f1_macro": f1_macro, "mcc": mcc}
"""Metrics of labels that a task names, where it wants them."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_squad(text: str) -> str:
    """SQuAD v1.1's normalisation: lower case, no ASCII punctuation, no a/an/the, single spaces.

    XTREME applies it to every language of XQuAD and TyDiQA.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


_MLQA_ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    # The official pattern has a second form that can never match; this one also cuts words.
    "ar": "ال",
}
_CHINESE = re.compile("[\u4e00-\u9fa5]")


def normalize_mlqa(text: str, language: str) -> str:
    """MLQA's normalisation (Lewis et al. 2020, arXiv 1910.07475, and its evaluation script).

    Lower case, no punctuation of any script, the language's articles removed (Hindi and Chinese
    have none), single spaces; Chinese characters are tokens of their own.
    """
    text = text.lower().translate(_all_punctuation())
    if language in _MLQA_ARTICLES:
        text = re.sub(_MLQA_ARTICLES[language], " ", text)
    if language == "zh":
        text = _CHINESE.sub(r" \g<0> ", text)
    return " ".join(text.split())


@cache
def _all_punctuation() -> dict[int, None]:
    """Characters of Unicode's punctuation classes, and ASCII's symbols among `string`'s."""
    classes = (i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))
    return dict.fromkeys([*classes, *map(ord, string.punctuation)])


Normalize = Callable[[str], str]


def normalizer(name: str, language: str) -> Normalize:
    """How answers are compared: `squad`, the same in every language, or `mlqa`."""
    return partial(normalize_mlqa, language=language) if name == "mlqa" else normalize_squad


def answer_scores(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[str | None],
    normalize: Normalize = normalize_squad,
) -> dict[str, float]:
    """Exact match and F1 over bags of words, 0-100, means over the questions; `answer_values`."""
    values = answer_values(gold, predicted, normalize)
    return {name: fmean(value[name] for value in values) for name in values[0]}


def answer_values(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[str | None],
    normalize: Normalize = normalize_squad,
) -> list[dict[str, float]]:
    """Exact match and F1 over bags of words of every question, 0-100.

    Each question counts its best gold answer. None stands for a question without a prediction: it
    counts as 0, as in SQuAD's script.

    Raises:
        ValueError: the lengths differ, there is nothing to score, or a predicted question has no
            gold answer.
    """
    if len(gold) != len(predicted) or not gold:
        raise ValueError(f"{len(gold)} questions and {len(predicted)} predictions")
    values = []
    for answers, answer in zip(gold, predicted, strict=True):
        if answer is None:
            values.append({"exact_match": 0.0, "f1": 0.0})
            continue
        normalized, wanted = normalize(answer), [normalize(text) for text in answers]
        if not wanted:
            raise ValueError("a question has no gold answer")
        f1 = max(_token_f1(normalized.split(), text.split()) for text in wanted)
        values.append({"exact_match": 100.0 * (normalized in wanted), "f1": 100 * f1})
    return values


def abstaining_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[tuple[str, float]]
) -> dict[str, float]:
    """SQuAD v2.0's scores, 0-100, means over the questions; see `abstaining_values`.

    Also the scores of the questions with (`has_answer`) and without (`no_answer`) an answer, and
    the threshold.
    """
    scores, threshold = abstaining_values(gold, predicted)
    has = [score for score, texts in zip(scores, gold, strict=True) if texts]
    no = [score for score, texts in zip(scores, gold, strict=True) if not texts]
    return {
        **{name: fmean(score[name] for score in scores) for name in scores[0]},
        **{f"has_answer/{name}": fmean(s[name] for s in has) for name in scores[0] if has},
        **({"no_answer/accuracy": fmean(score["f1"] for score in no)} if no else {}),
        "threshold": threshold,
    }


def abstaining_values(
    gold: Sequence[Sequence[str]], predicted: Sequence[tuple[str, float]]
) -> tuple[list[dict[str, float]], float]:
    """SQuAD v2.0's scores of every question, 0-100, and the threshold above which the model
    abstains: the one with the best F1 on the set that is scored, as in the data set's script.

    `gold` is empty for a question without an answer. Each prediction is an answer and how much
    better no answer looked (the score of none minus that of the answer).

    Raises:
        ValueError: the lengths differ, or there is nothing to score.
    """
    if len(gold) != len(predicted) or not gold:
        raise ValueError(f"{len(gold)} questions and {len(predicted)} predictions")
    zero = {"exact_match": 0.0, "f1": 0.0}
    answered = [
        answer_scores([texts], [text]) if texts else zero
        for texts, (text, _) in zip(gold, predicted, strict=True)
    ]
    order = sorted(range(len(gold)), key=lambda i: predicted[i][1])
    # Nobody answers at first; then one after the other, the surest first.
    total = best = float(sum(100 for texts in gold if not texts))
    num_answered, threshold = 0, predicted[order[0]][1] - 1
    for count, i in enumerate(order, start=1):
        total += answered[i]["f1"] - (0 if gold[i] else 100)
        is_last_of_equals = count == len(order) or predicted[order[count]][1] > predicted[i][1]
        if total > best and is_last_of_equals:
            best, num_answered, threshold = total, count, predicted[i][1]
    answering = set(order[:num_answered])
    right = {"exact_match": 100.0, "f1": 100.0}
    scores = [
        answered[i] if i in answering else (zero if texts else right)
        for i, texts in enumerate(gold)
    ]
    return scores, threshold


def _token_f1(predicted: list[str], wanted: list[str]) -> float:
    common = sum((Counter(predicted) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _joined(sentences: Sequence[Sequence[str]]) -> list[str]:
    return [tag for sentence in sentences for tag in (*sentence, "O")]
