"""Read a signal off an encoder: forward passes alone, nothing is trained.

Retrieval is the accuracy with which an English sentence of parallel text finds its translation,
the mean over languages. Its hidden state is the one that retrieval targets pool, fixed by depth:
the best of all states would be flattered by the choice, and another one in every encoder; all of
them are told beside it. A probe is the H-score of the last state, which a target's head reads, on
English dev rows; the accuracy of a linear probe is told of every state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xstilts import kinds
from xstilts.data.encoding import TokenCache
from xstilts.kinds.kind import IGNORED
from xstilts.plan.stage import RETRIEVAL, Signal
from xstilts.scores.signals import VALUE
from xstilts.scores.transferability import FOLDS, h_score, linear_probe
from xstilts.training.predict import Predictor

MOST_VECTORS = 4000
"""Words of tagged rows are many, and their order is that of the rows."""


def read_signal(
    stage: Signal, predictor: Predictor, token_cache: TokenCache, before_pass: Callable[[], None]
) -> dict[str, float]:
    """The values of a signal; empty where its rows have no two classes to tell apart.

    Args:
        before_pass: called before each pass of the encoder; may raise.

    Raises:
        DataError: its rows cannot be read.
    """
    read = _retrieval if stage.signal == RETRIEVAL else _probe
    return read(stage, predictor, token_cache, before_pass)


def _retrieval(
    stage: Signal, predictor: Predictor, token_cache: TokenCache, before_pass: Callable[[], None]
) -> dict[str, float]:
    task = stage.rows.entry
    kind = kinds.get(task.kind)
    assert isinstance(kind, kinds.Layered) and stage.layer is not None
    found: list[dict[str, float]] = []
    for language, _ in stage.rows.rows:
        before_pass()
        encoded = token_cache.encoded(stage.rows, language)
        outputs = predictor.layer_outputs(encoded.features, task)
        found.append(kind.profile(outputs, stage.layer, encoded, task))
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return {VALUE: means[f"by_layer/{stage.layer:02d}"], **means}


def _probe(
    stage: Signal, predictor: Predictor, token_cache: TokenCache, before_pass: Callable[[], None]
) -> dict[str, float]:
    task = stage.rows.entry
    kind = kinds.get(task.kind)
    assert isinstance(kind, kinds.Probed)
    ((language, _),) = stage.rows.rows
    before_pass()
    features = token_cache.encoded(stage.rows, language).features
    classes = kind.classes(features)
    vectors = np.concatenate(predictor.vectors(features, task))
    kept = np.flatnonzero(classes != IGNORED)[:MOST_VECTORS]
    vectors, classes = vectors[kept], classes[kept]
    if len(np.unique(classes)) < 2 or len(classes) < FOLDS:
        return {}
    by_layer = {
        f"linear/{layer:02d}": linear_probe(vectors[:, layer], classes)
        for layer in range(vectors.shape[1])
    }
    return {VALUE: h_score(vectors[:, -1], classes), **by_layer}
