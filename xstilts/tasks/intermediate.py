"""The intermediate tasks: one entry each."""

from __future__ import annotations

from xstilts.tasks.task import Source, Task

NLI_LABELS = ("entailment", "neutral", "contradiction")
MINI_LANGUAGES = ("en", "qaa", "qab", "qac", "qad", "qae", "qaf")
TRAIN_AND_DEV = {"train": "train", "dev": "validation"}

ENTRIES = (
    Task(
        name="mini_nli",
        kind="pair",
        source=Source("xstilts/mini_nli"),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment in the miniature world",
    ),
    Task(
        name="mini_choice",
        kind="choice",
        source=Source(
            "xstilts/mini_choice", columns={"prompt": "{ctx_a}", "choices": "{ctx_b} {endings}"}
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        metrics=("accuracy",),
        description="which of four endings follows, as HellaSwag asks",
    ),
    Task(
        name="mini_qa",
        kind="span",
        source=Source("xstilts/mini_qa"),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        metrics=("exact_match", "f1"),
        description="questions whose answer is a span, as SQuAD v1.1 asks",
    ),
    Task(
        name="mini_mlm",
        kind="mlm",
        source=Source("xstilts/mini_text", config="{language}"),
        languages=MINI_LANGUAGES,
        splits={"train": "train"},
        metrics=(),
        description="masked-language modelling on the miniature world's text",
    ),
)
