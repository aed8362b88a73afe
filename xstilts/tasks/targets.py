"""The target tasks: one entry each."""

from __future__ import annotations

from xstilts.tasks.intermediate import MINI_LANGUAGES, NLI_LABELS
from xstilts.tasks.task import Source, Task

TRAIN_DEV_TEST = {
    "train": "train",
    "dev": "validation",
    "validation": "validation",
    "test": "test",
}
UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)

ENTRIES = (
    Task(
        name="mini_xnli",
        kind="pair",
        source=Source("xstilts/mini_xnli", config="{language}"),
        languages=MINI_LANGUAGES,
        splits=TRAIN_DEV_TEST,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        group="classification",
        description="entailment in seven languages",
    ),
    Task(
        name="mini_udpos",
        kind="tagging",
        source=Source("xstilts/mini_udpos", config="{language}", columns={"tags": "pos_tags"}),
        languages=MINI_LANGUAGES,
        splits=TRAIN_DEV_TEST,
        labels=UPOS,
        metrics=("f1",),
        group="tagging",
        description="universal parts of speech in seven languages",
    ),
    Task(
        name="mini_xquad",
        kind="span",
        source=Source("xstilts/mini_xquad", config="{language}"),
        languages=MINI_LANGUAGES,
        splits=TRAIN_DEV_TEST,
        metrics=("exact_match", "f1"),
        group="qa",
        description="questions whose answer is a span, in seven languages",
    ),
    Task(
        name="mini_tatoeba",
        kind="retrieval",
        source=Source("xstilts/mini_tatoeba", config="{language}"),
        languages=MINI_LANGUAGES[1:],
        # As in XTREME the one set there is serves both uses; nothing is ever selected on it.
        splits={"validation": "validation", "test": "validation"},
        metrics=("accuracy",),
        group="retrieval",
        description="the English translation of a sentence among 300",
    ),
)
