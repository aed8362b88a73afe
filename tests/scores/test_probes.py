"""Formulas of probes, against loops over pairs, folds and tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from xstilts.scores.probes import (
    UNITS,
    Name,
    alignment,
    language_identity,
    mean_cosine,
    mean_over_languages,
    pseudo_perplexity,
    unit,
)
from xstilts.scores.transferability import PENALTY


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_anisotropy_is_the_mean_cosine_of_all_pairs_of_different_rows() -> None:
    vectors = np.random.default_rng(0).normal(0.5, 1, (7, 5))
    pairs = [cosine(vectors[i], vectors[j]) for i in range(7) for j in range(7) if i != j]
    assert mean_cosine(unit(vectors)) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert mean_cosine(unit(np.tile(vectors[0], (3, 1)))) == pytest.approx(1)
    with pytest.raises(ValueError, match="two rows"):
        mean_cosine(unit(vectors[:1]))


def test_alignment_is_what_translations_are_nearer_than_other_pairs() -> None:
    random = np.random.default_rng(1)
    sources = random.normal(0, 1, (6, 4))
    english = sources + random.normal(0, 1.5, (6, 4))
    table = np.array([[cosine(e, s) for s in sources] for e in english])
    others = table[~np.eye(6, dtype=bool)]
    margin, found = alignment(sources, english)
    assert margin == pytest.approx(np.diag(table).mean() - others.mean(), abs=1e-12)
    hits = [max(range(6), key=lambda j: table[i, j]) == i for i in range(6)]
    assert found == np.mean(hits) and 0 < found < 1
    # What all vectors have in common is in both terms.
    assert alignment(sources, sources)[1] == 1
    with pytest.raises(ValueError, match="others"):
        alignment(sources[:1], english[:1])


def test_a_language_is_told_on_items_that_are_held_out_in_all_languages() -> None:
    random = np.random.default_rng(2)
    names, items = ["en"] * 20 + ["sw"] * 20 + ["de"] * 20, np.tile(np.arange(20), 3)
    vectors = random.normal(0, 1, (60, 6)) + np.repeat(random.normal(0, 0.7, (3, 6)), 20, axis=0)
    found = language_identity(vectors, names, items)
    hits = dict.fromkeys(found, 0)
    told = 0
    # Folds of equal size, whichever items are in them: told again with the same groups.
    from sklearn.model_selection import GroupKFold

    for train, test in GroupKFold(5).split(vectors, groups=items):
        assert not {*items[train]} & {*items[test]}
        scale = StandardScaler().fit(vectors[train])
        probe = RidgeClassifier(PENALTY).fit(
            scale.transform(vectors[train]), np.array(names)[train]
        )
        for row, said in zip(test, probe.predict(scale.transform(vectors[test])), strict=True):
            hits[names[row]] += said == names[row]
            told += 1
    assert told == 60 and found == {name: 100 * count / 20 for name, count in hits.items()}
    assert [*found] == ["en", "sw", "de"] and 40 < np.mean([*found.values()]) < 100
    with pytest.raises(ValueError, match="two languages"):
        language_identity(vectors[:20], names[:20], items[:20])


def test_pseudo_perplexity_is_over_tokens_and_a_sample_stands_for_its_sentence() -> None:
    values, owners = [math.log(0.5), math.log(0.25), math.log(0.125)], [0, 0, 1]
    whole = pseudo_perplexity(values, owners, {0: 2, 1: 1, 2: 0})
    assert whole == pytest.approx(math.exp(-sum(values) / 3)) == pytest.approx(4)
    # Of the first sentence, of eight tokens, two were masked.
    mean = (values[0] + values[1]) / 2
    sampled = pseudo_perplexity(values, owners, {0: 8, 1: 1})
    assert sampled == pytest.approx(math.exp(-(8 * mean + values[2]) / 9))
    assert pseudo_perplexity([], [], {0: 0}) is None


def test_means_over_languages_have_no_holes_and_are_geometric_of_perplexities() -> None:
    assert mean_over_languages("alignment", [10.0, 30.0]) == 20
    assert mean_over_languages("pseudo_perplexity", [2.0, 8.0]) == pytest.approx(4)
    assert mean_over_languages("alignment", [10.0, None]) is None
    assert mean_over_languages("alignment", []) is None


@pytest.mark.parametrize("name", [Name("alignment", "sw"), Name("anisotropy", "en", 3)])
def test_names_are_read_as_they_are_written(name: Name) -> None:
    assert Name.of(str(name)) == name and name.probe in UNITS
    assert str(Name("alignment", "sw", 3)) == "alignment/sw/03"
