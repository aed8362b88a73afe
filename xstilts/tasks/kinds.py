"""What a kind of task is, told without its behaviour: columns, labels, metrics, files.

`xstilts.kinds` has the behaviour, which needs torch; this is for all that only asks. A new kind is
an entry here and a class there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

IN_TRANSFORMERS = ("sentence", "pair", "multilabel", "tagging", "span")
"""Kinds whose heads have a form in transformers."""


@dataclass(frozen=True, slots=True)
class KindSpec:
    """One kind, as planners, readers and reports need to know it.

    Attributes:
        version: of the encoding, and part of every fingerprint: raise it when the kind turns rows
            into other inputs.
        columns: what the kind reads of a row.
        texts: those of them whose text is in the language of the rows (Tatoeba's targets are
            English). A sequence holds all of them.
        together: the column whose equal values stay together where a dev set is cut from the
            training rows; empty where none is.
        label: the column of the labels, empty where there is none.
        metrics: the metrics that a task may name; `score` are those of a task that names none.
        prediction: what a prediction is: a label (or position) for every row, several labels for
            every row, tags for every sentence, the text of an answer, a pair of ids, the ids of
            the nearest candidates.
        is_trained: whether it has a head that is trained; a target of another kind is evaluated on
            the encoder itself.
        is_self_supervised: whether its rows are running text of many languages that labels itself.
            It is never a target, has no variants, and a draw reads one of a row's windows.
        is_pools: whether its rows are two pools and the pairs between them, not one by one.
        is_cut: whether sequences lose what is over the limit; the others are split into pieces.
        is_translatable: whether labels hold for rows whose text is changed, as translated rows are
            brought to natural text. An answer's place in a text does not survive.
        declares_labels: whether a task names its labels, unless its training rows do.
        pools_a_layer: whether it has vectors of sentences from a hidden state that the depth of
            the model decides.
        sequences: sequences of a row; of multiple choice most tasks give four.
        is_probed: whether its features have class labels that a probe tells apart.
        is_smoothed: whether its loss is a cross-entropy over labels or places, which label
            smoothing changes.
        recipe_fields: fields of a recipe that not all kinds read: without a part that does they
            change nothing.
        joined_by: the column whose equal values are one item in all languages, an id or a text;
            empty where rows join by their number, if those of all languages are translations of
            each other, or not at all.
        group: XTREME's group that its targets count in, empty where it has none.
    """

    version: int
    columns: tuple[str, ...]
    texts: tuple[str, ...]
    together: str = ""
    label: str = ""
    metrics: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    prediction: Literal["label", "labels", "tags", "answer", "pair", "ranking"] = "label"
    is_trained: bool = True
    is_self_supervised: bool = False
    is_pools: bool = False
    is_cut: bool = False
    is_translatable: bool = False
    declares_labels: bool = False
    pools_a_layer: bool = False
    sequences: int = 1
    is_probed: bool = False
    is_smoothed: bool = False
    recipe_fields: frozenset[str] = frozenset()
    joined_by: str = ""
    group: str = ""

    @property
    def file_ending(self) -> str:
        """The ending of files of predictions, in XTREME's submission layout."""
        return "json" if self.prediction in ("answer", "labels", "ranking") else "tsv"


_CLASSIFICATION = KindSpec(
    version=1,
    columns=("text", "label"),
    texts=("text",),
    together="text",
    label="label",
    metrics=("accuracy", "f1", "f1_macro", "mcc"),
    score=("accuracy",),
    is_cut=True,
    is_translatable=True,
    declares_labels=True,
    is_probed=True,
    is_smoothed=True,
    recipe_fields=frozenset({"pooler"}),
    group="classification",
)

KINDS: Mapping[str, KindSpec] = {
    "sentence": _CLASSIFICATION,
    "pair": replace(
        _CLASSIFICATION,
        columns=("premise", "hypothesis", "label"),
        texts=("premise", "hypothesis"),
        together="premise",
    ),
    "multilabel": replace(
        _CLASSIFICATION,
        metrics=("f1_macro", "f1_micro", "subset_accuracy"),
        score=("f1_macro",),
        prediction="labels",
        is_probed=False,
        is_smoothed=False,
    ),
    "choice": KindSpec(
        version=1,
        columns=("prompt", "choices", "label"),
        texts=("prompt",),
        together="prompt",
        label="label",
        metrics=("accuracy",),
        score=("accuracy",),
        is_cut=True,
        sequences=4,
        is_probed=True,
        is_smoothed=True,
        recipe_fields=frozenset({"pooler"}),
        group="classification",
    ),
    "tagging": KindSpec(
        version=2,
        columns=("tokens", "tags"),
        texts=("tokens",),
        together="tokens",
        label="tags",
        metrics=("f1", "accuracy"),
        score=("f1",),
        prediction="tags",
        declares_labels=True,
        is_probed=True,
        is_smoothed=True,
        joined_by="sent_id",
        group="tagging",
    ),
    "span": KindSpec(
        version=2,
        columns=("id", "context", "question", "answers"),
        texts=("question", "context"),
        together="context",
        metrics=("exact_match", "f1"),
        score=("exact_match", "f1"),
        prediction="answer",
        is_smoothed=True,
        recipe_fields=frozenset({"span_dropout"}),
        joined_by="id",
        group="qa",
    ),
    "retrieval": KindSpec(
        version=2,
        columns=("source_sentence", "target_sentence"),
        texts=("source_sentence",),
        metrics=("accuracy",),
        score=("accuracy",),
        is_trained=False,
        is_cut=True,
        pools_a_layer=True,
        sequences=2,
        joined_by="target_sentence",
        group="retrieval",
    ),
    "mining": KindSpec(
        version=1,
        columns=("id", "sentence", "en.id", "en.sentence", "gold.source_id", "gold.target_id"),
        texts=("sentence",),
        metrics=("f1",),
        score=("f1",),
        prediction="pair",
        is_trained=False,
        is_pools=True,
        is_cut=True,
        pools_a_layer=True,
        group="retrieval",
    ),
    "dual_encoder": KindSpec(
        version=1,
        columns=("id", "query", "candidate", "keys"),
        texts=("query", "candidate"),
        together="candidate",
        metrics=("map_20",),
        score=("map_20",),
        prediction="ranking",
        is_cut=True,
        sequences=2,
        recipe_fields=frozenset({"pooling", "negatives", "false_negatives"}),
        joined_by="item",
        group="retrieval",
    ),
    "mlm": KindSpec(
        version=2,
        columns=("text",),
        texts=("text",),
        is_self_supervised=True,
    ),
}
"""Every kind by its name, as `xstilts.kinds.get` knows it."""


BROUGHT: dict[str, KindSpec] = {}
"""Kinds of plugins that were loaded (`xstilts.tasks.plugins`)."""


def kind_spec(name: str) -> KindSpec:
    """The description of the kind of that name."""
    return KINDS[name] if name in KINDS else BROUGHT[name]
