"""Rows of target tasks in translation: what they are trained on, and scored on, instead.

Training sets were translated from English by machine; the dev set that selects is in the language
that is trained in. Test sets were translated to English by machine.
"""

from __future__ import annotations

from dataclasses import replace

from xstilts.tasks.intermediate import ARTICLES_APART, COPA_COLUMNS, SQUAD_TRAIN, SQUAD_TRANSLATED
from xstilts.tasks.task import Slice, Source

MNLI_TRANSLATED = Source("facebook/xnli", config="{language}", copies="mnli")
"""MNLI's training rows in the languages of XNLI, English among them in the same form."""

XNLI = {"train": Slice("train", MNLI_TRANSLATED)}

_SQUAD = replace(SQUAD_TRAIN, source=SQUAD_TRANSLATED)

XQUAD = {
    "train": replace(_SQUAD, without=ARTICLES_APART),
    "dev": replace(_SQUAD, only=ARTICLES_APART),
}
"""SQuAD's dev set was not translated: articles of the training set select."""

XCOPA_TO_ENGLISH = Source(
    "cambridgeltl/xcopa",
    config="translation-{language}",
    columns=COPA_COLUMNS,
    sizes={"validation": 100, "test": 500},
    copies="copa",
)
XCOPA = {split: Slice(split, XCOPA_TO_ENGLISH) for split in ("validation", "test")}
