"""How well vectors of an encoder tell classes apart, without any training of the encoder.

What goes in are vectors and their labels; what comes out is one number. The H-score has a closed
form and no choices of its own; the linear probe is the figure that people know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FOLDS = 5
PENALTY = 1.0


def h_score(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The H-score with shrinkage: 0 where vectors tell nothing of the classes, at most one less
    than their number.

    The trace of inv(cov(vectors)) cov(class means): how much of the vectors' variance lies between
    classes, whatever linear map they go through (Bao et al. 2019). The covariance of vectors is
    shrunk as Ledoit and Wolf (2004) estimate, that of class means by the same share (Ibrahim et
    al. 2021), for with fewer rows than dimensions the plain one has no inverse.

    Args:
        vectors: (rows, dimensions), finite.
        labels: (rows,), of two classes or more.

    Raises:
        ValueError: fewer than two classes.
    """
    from sklearn.covariance import ledoit_wolf  # late: it takes a second, and few ask

    _check(labels)
    centred = np.asarray(vectors, dtype=float) - np.mean(vectors, axis=0, dtype=float)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    classes, counts = np.unique(labels, return_counts=True)
    means = np.stack([centred[labels == one].mean(0) for one in classes])
    between = (means * (counts / counts.sum())[:, None]).T @ means
    # A state that is one number everywhere has no variance, and a pseudo-inverse.
    inverse = np.linalg.pinv(covariance, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ between))


def linear_probe(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy, 0-100, of a ridge classifier on standardised vectors, over five folds that are
    the same for all encoders (Alain and Bengio 2017; ridge in its place of logistic regression,
    for it has a closed form).

    Args:
        vectors: (rows, dimensions), finite.
        labels: (rows,), of two classes or more.

    Raises:
        ValueError: fewer than two classes, or fewer than five rows.
    """
    from sklearn.model_selection import KFold

    _check(labels)
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    return 100 * float(np.mean(predicted_by(vectors, labels, folds) == labels))


def predicted_by(vectors: np.ndarray, labels: np.ndarray, folds: Any) -> np.ndarray:
    """What the linear probe says of every row, trained on the other folds: (rows,). `folds` are
    what scikit-learn takes for `cv`."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), RidgeClassifier(PENALTY))
    told: np.ndarray = cross_val_predict(probe, np.asarray(vectors, dtype=float), labels, cv=folds)
    return told


def _check(labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError("a probe tells two classes or more apart")
