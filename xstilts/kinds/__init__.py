"""Kinds: the behaviour of each sort of task. `get(task.kind)` is the only way to one.

What a kind is without torch (columns, metrics, files) is told by `xstilts.tasks.kinds`.
"""

from __future__ import annotations

import pkgutil

from xstilts.kinds.choice import Choice
from xstilts.kinds.classification import Classification
from xstilts.kinds.dual_encoder import DualEncoder
from xstilts.kinds.kind import Calibrated, Itemised, Joint, Kind, Layered, Probed, Ranking
from xstilts.kinds.mining import Mining
from xstilts.kinds.mlm import Mlm
from xstilts.kinds.multilabel import MultiLabel
from xstilts.kinds.retrieval import Retrieval
from xstilts.kinds.span import Span
from xstilts.kinds.tagging import Tagging
from xstilts.tasks.plugins import behaviour_of

_KINDS: dict[str, Kind] = {
    "sentence": Classification("text"),
    "pair": Classification("premise", "hypothesis"),
    "multilabel": MultiLabel(),
    "choice": Choice(),
    "tagging": Tagging(),
    "span": Span(),
    "retrieval": Retrieval(),
    "mining": Mining(),
    "dual_encoder": DualEncoder(),
    "mlm": Mlm(),
}


def get(name: str) -> Kind:
    """The kind of that name; of a plugin's the class is imported now."""
    if name not in _KINDS:
        _KINDS[name] = pkgutil.resolve_name(behaviour_of(name))()
    return _KINDS[name]


__all__ = [
    "Calibrated",
    "Itemised",
    "Joint",
    "Kind",
    "Layered",
    "Probed",
    "Ranking",
    "get",
]
