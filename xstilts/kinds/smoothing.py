"""Cross-entropy whose labels may be smoothed (Szegedy et al. 2016, arXiv 1512.00567)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from xstilts.kinds.kind import IGNORED


def cross_entropy(scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy over the rows that have a label.

    With `smoothing` s the gradient is that of (1 - s) times it plus s times the cross-entropy with
    all classes evenly, as torch has it; classes whose score is minus infinity are none. The value
    stays that of the labels as they are, so that losses of runs can be compared, and with the
    entropy of the labels.

    Args:
        scores: (rows, classes).
        labels: (rows,), `IGNORED` where there is none.
    """
    plain = functional.cross_entropy(scores, labels, ignore_index=IGNORED)
    if not smoothing:
        return plain
    is_class = ~scores.isneginf()
    logs = functional.log_softmax(scores, -1).masked_fill(~is_class, 0.0)
    even = -(logs.sum(-1) / is_class.sum(-1))[labels != IGNORED].mean()
    smoothed = (1 - smoothing) * plain + smoothing * even
    return plain.detach() + (smoothed - smoothed.detach())
