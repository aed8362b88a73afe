"""The target tasks that rank a pool of candidates, XTREME-R's: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xstilts.tasks.intermediate import SQUAD
from xstilts.tasks.targets import SQUAD_APART, SQUAD_TRAIN_AND_DEV
from xstilts.tasks.task import POOL, Slice, Source, Task

# SQuAD's questions, whose candidates are the sentences that their answers begin in.
QUESTIONS = replace(
    SQUAD,
    columns={"query": "question", "candidate": "context", "keys": "answers"},
    form="answer_sentences",
)

# Sentences of XQuAD-R, and mentions of Mewsli-X, by language.
LAREQA_POOL = {
    "ar": 1_222,
    "de": 1_276,
    "el": 1_234,
    "en": 1_180,
    "es": 1_215,
    "hi": 1_244,
    "ru": 1_219,
    "th": 852,
    "tr": 1_167,
    "vi": 1_209,
    "zh": 1_196,
}
MENTIONS = {
    "ar": (318, 1_501),
    "de": (326, 1_551),
    "en": (316, 1_490),
    "es": (311, 1_552),
    "fa": (72, 458),
    "ja": (310, 1_519),
    "pl": (304, 1_562),
    "ro": (145, 672),
    "ta": (312, 1_567),
    "tr": (262, 1_215),
    "uk": (315, 1_537),
}
PAIRS = Source(
    "xtreme/mewslix",
    config="wikipedia_pairs",
    sizes={"train": 167_719, "validation": 14_051},
)


def _questions(splits: Mapping[str, Slice]) -> dict[str, Slice]:
    return {use: replace(rows, source=QUESTIONS) for use, rows in splits.items()}


ENTRIES = (
    Task(
        name="lareqa",
        kind="dual_encoder",
        source=Source(
            "xtreme/lareqa",
            config="{language}",
            sizes={"test": 1_190, **{f"{x}/{POOL}": count for x, count in LAREQA_POOL.items()}},
            instead="the Hub's copies of XQuAD-R have no sentence_breaks, of which the candidates "
            "are made; import the folder xquad-r of google-research-datasets/lareqa with "
            "`xstilts data import`",
        ),
        languages=tuple(LAREQA_POOL),
        splits={
            **_questions(SQUAD_TRAIN_AND_DEV),
            # The one set there is serves both uses; nothing is ever selected on it.
            "validation": "test",
            "test": "test",
            POOL: POOL,
        },
        apart=_questions(SQUAD_APART),
        dev_note="the same articles as its test set, other paragraphs",
        metrics=("map_20",),
        query_tokens=96,
        group="retrieval",
        description="the sentences in 11 languages that answer a question; trained on SQuAD v1.1",
    ),
    Task(
        name="mewslix",
        kind="dual_encoder",
        source=Source(
            "xtreme/mewslix",
            config="{language}",
            sizes={
                f"{language}/{split}": count
                for language, counts in MENTIONS.items()
                for split, count in zip(("validation", "test"), counts, strict=True)
            },
            instead="the Hub's copy cannot be read by language; import the files of the release "
            "mewsli-x_20220518_6, their text filled in, with `xstilts data import`",
        ),
        languages=tuple(MENTIONS),
        splits={
            "train": Slice("train", PAIRS),
            "dev": Slice("validation", PAIRS),
            "validation": "validation",
            "test": "test",
            POOL: Slice(POOL, replace(PAIRS, config="entities", sizes={POOL: 1_003_893})),
        },
        metrics=("map_20",),
        group="retrieval",
        description="the entity of a mention in 11 languages, among a million described in 50",
    ),
)
