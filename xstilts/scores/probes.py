"""What probes say of an encoder's vectors and probabilities: plain formulas, in numpy.

What goes in are vectors of sentences or log-probabilities of tokens; what comes out is a number.
Cosines are told times 100. Names of values are `PROBE/LANGUAGE`, and `PROBE/LANGUAGE/LAYER` of one
hidden state, 00 being the embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from xstilts.scores.transferability import FOLDS, predicted_by

FERTILITY, ANISOTROPY, ALIGNMENT, RETRIEVAL = "fertility", "anisotropy", "alignment", "retrieval"
IDENTITY, PERPLEXITY = "language_identity", "pseudo_perplexity"

UNITS = {
    FERTILITY: "tokens a word",
    ANISOTROPY: "mean cosine of different sentences, x 100",
    ALIGNMENT: "mean cosine of translations less that of other pairs, x 100",
    RETRIEVAL: "% of English sentences whose nearest is their translation",
    IDENTITY: "% of held-out sentences whose language a linear probe tells",
    PERPLEXITY: "masked pseudo-perplexity, with the pretrained LM head",
}
"""The numbers that probes give, in the order in which they are shown, and what they count."""


class Name(NamedTuple):
    """The name of a probe's value, in its parts; `layer` is None of the one that is told first."""

    probe: str
    language: str
    layer: int | None = None

    @classmethod
    def of(cls, key: str) -> Name:
        """The parts of a name as records have it."""
        probe, language, *layer = key.split("/")
        return cls(probe, language, int(layer[0]) if layer else None)

    def __str__(self) -> str:
        layer = () if self.layer is None else (f"{self.layer:02d}",)
        return "/".join((self.probe, self.language, *layer))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows brought to length 1, in float64; a row of zeros stays."""
    wide = np.asarray(vectors, dtype=float)
    found: np.ndarray = wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(min=1e-12)
    return found


def mean_cosine(rows: np.ndarray) -> float:
    """The mean cosine of all pairs of different rows, -1 to 1: what random pairs have on average
    (anisotropy: Ethayarajh 2019, who draws words).

    Args:
        rows: (rows, dimensions), of length 1; two or more.

    Raises:
        ValueError: fewer than two rows.
    """
    count = len(rows)
    if count < 2:
        raise ValueError("a pair has two rows")
    total = float(np.square(rows.sum(0)).sum())
    return (total - count) / (count * (count - 1))


def alignment(sources: np.ndarray, english: np.ndarray) -> tuple[float, float]:
    """How near translations are: their mean cosine less that of all other pairs of the two sides
    (-1 to 1), and the share of English sentences whose nearest source is their translation
    (retrieval: as XTREME's Tatoeba, Hu et al. 2020).

    Args:
        sources, english: (pairs, dimensions), translations in one row; two pairs or more.

    Raises:
        ValueError: fewer than two pairs.
    """
    count = len(sources)
    if count < 2:
        raise ValueError("a pair is compared with others")
    cosines = unit(english) @ unit(sources).T
    own = float(np.trace(cosines))
    others = (float(cosines.sum()) - own) / (count * (count - 1))
    found = float(np.mean(cosines.argmax(1) == np.arange(count)))
    return own / count - others, found


def language_identity(
    vectors: np.ndarray, languages: Sequence[str], items: np.ndarray
) -> dict[str, float]:
    """How many sentences of each language, in percent, a linear probe tells to be of it (Libovický
    et al. 2020 measure so what encoders know of languages), over five folds: an item is held out
    in all its languages.

    Args:
        vectors: (sentences, dimensions).
        languages, items: (sentences,): the language of each, and the item that it is of.

    Raises:
        ValueError: fewer than two languages, or fewer than five items.
    """
    from sklearn.model_selection import GroupKFold

    names = np.asarray(languages)
    if len(set(languages)) < 2 or len(np.unique(items)) < FOLDS:
        raise ValueError(f"a probe tells two languages or more apart, on {FOLDS} items or more")
    folds = list(GroupKFold(FOLDS).split(vectors, groups=items))
    hits = predicted_by(vectors, names, folds) == names
    return {name: 100 * float(hits[names == name].mean()) for name in dict.fromkeys(languages)}


def pseudo_perplexity(
    log_probabilities: Sequence[float], owners: Sequence[int], lengths: Mapping[int, int]
) -> float | None:
    """exp of the mean negative log-probability of a token that is masked while all others are read
    (Salazar et al. 2020), over all tokens of all sentences; None where there is none.

    Args:
        log_probabilities: natural, of the tokens that were masked.
        owners: the sentence of each.
        lengths: how many tokens each sentence has: where some were masked alone, their mean stands
            for all of the sentence.
    """
    sums: dict[int, list[float]] = {}
    for value, owner in zip(log_probabilities, owners, strict=True):
        sums.setdefault(owner, []).append(value)
    tokens = sum(lengths[owner] for owner in sums)
    if not tokens:
        return None
    total = math.fsum(lengths[own] * math.fsum(x) / len(x) for own, x in sums.items())
    return math.exp(-total / tokens)


def mean_over_languages(probe: str, values: Iterable[float | None]) -> float | None:
    """The mean of a probe's numbers, of perplexities the geometric one, for their logarithms are
    what was averaged; None over a hole, or nothing."""
    found = list(values)
    if not found or any(value is None for value in found):
        return None
    known = np.array(found, dtype=float)
    return float(np.exp(np.log(known).mean()) if probe == PERPLEXITY else known.mean())
