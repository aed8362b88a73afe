"""The target tasks: one entry each."""

from __future__ import annotations

from dataclasses import replace

from xstilts.tasks import translated
from xstilts.tasks.intermediate import (
    ARTICLES_APART,
    COPA,
    COPA_COLUMNS,
    FOR_TARGETS,
    MINI_LANGUAGES,
    MNLI,
    MNLI_LANGUAGES,
    NLI_LABELS,
    SQUAD_DEV,
    SQUAD_LANGUAGES,
    SQUAD_TRAIN,
    XTREME_LANGUAGES,
)
from xstilts.tasks.task import HeldOut, Slice, Source, Task
from xstilts.tasks.xtreme_r import PANX_SIZES, TATOEBA_CODES, UDPOS_SIZES, XTREME_R

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

ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")

XQUAD_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")

SQUAD_TRAIN_AND_DEV = {
    "train": SQUAD_TRAIN,
    "dev": replace(SQUAD_DEV, only=FOR_TARGETS),
}
SQUAD_APART = {
    "train": replace(SQUAD_TRAIN, without=ARTICLES_APART),
    "dev": replace(SQUAD_TRAIN, only=ARTICLES_APART),
}

# TyDiQA's public dev set is what XTREME scores. Questions on one paragraph stay together.
TYDIQA_HELD_OUT = HeldOut("context", percent=10)

# Rows as published.
MLQA_SIZES = {
    f"{language}/{split}": rows
    for language, sizes in {
        "ar": (5_335, 517),
        "de": (4_517, 512),
        "en": (11_590, 1_148),
        "es": (5_253, 500),
        "hi": (4_918, 507),
        "vi": (5_495, 511),
        "zh": (5_137, 504),
    }.items()
    for split, rows in zip(("test", "validation"), sizes, strict=True)
}
TATOEBA_SIZES = {
    "validation": 1_000,
    **{
        f"{language}/validation": rows
        for language, rows in {
            "jv": 205,
            "ka": 746,
            "kk": 575,
            "ml": 687,
            "sw": 390,
            "ta": 307,
            "te": 234,
            "th": 548,
        }.items()
    },
}

# XCOPA is COPA's dev and test set in other languages; none of the two has an English test set.
_XCOPA = Task(
    name="xcopa",
    kind="choice",
    source=Source(
        "cambridgeltl/xcopa",
        config="{language}",
        columns=COPA_COLUMNS,
        sizes={"validation": 100, "test": 500},
        copies="copa",
    ),
    languages=("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
    splits={
        "train": Slice("train", COPA),
        "dev": Slice("validation", COPA),
        "validation": "validation",
        "test": "test",
    },
    chain=("siqa", "copa"),
    metrics=("accuracy",),
    group="classification",
    is_parallel=True,
    translated=translated.XCOPA,
    to_english=("et", "ht", "id", "it", "sw", "ta", "th", "tr", "vi", "zh"),
    description="COPA in 11 languages, questions as released; trained on SIQA, then COPA",
)

# Languages of the Tatoeba data set under their ISO 639-3 codes.
TATOEBA = {
    "af": "afr",
    "ar": "ara",
    "bg": "bul",
    "bn": "ben",
    "de": "deu",
    "el": "ell",
    "es": "spa",
    "et": "est",
    "eu": "eus",
    "fa": "pes",
    "fi": "fin",
    "fr": "fra",
    "he": "heb",
    "hi": "hin",
    "hu": "hun",
    "id": "ind",
    "it": "ita",
    "ja": "jpn",
    "jv": "jav",
    "ka": "kat",
    "kk": "kaz",
    "ko": "kor",
    "ml": "mal",
    "mr": "mar",
    "nl": "nld",
    "pt": "por",
    "ru": "rus",
    "sw": "swh",
    "ta": "tam",
    "te": "tel",
    "th": "tha",
    "tl": "tgl",
    "tr": "tur",
    "ur": "urd",
    "vi": "vie",
    "zh": "cmn",
    **TATOEBA_CODES,
}

ENTRIES = (
    Task(
        name="xnli",
        kind="pair",
        source=Source(
            "facebook/xnli", config="{language}", sizes={"validation": 2_490, "test": 5_010}
        ),
        languages=(
            *("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur"),
            *("vi", "zh"),
        ),
        splits={**TRAIN_DEV_TEST, "train": Slice("train", MNLI)},
        labels=NLI_LABELS,
        metrics=("accuracy",),
        group="classification",
        is_parallel=True,
        translated=translated.XNLI,
        translated_languages=MNLI_LANGUAGES,
        description="entailment in 15 languages; trained on MNLI",
    ),
    Task(
        name="pawsx",
        kind="pair",
        source=Source(
            "google-research-datasets/paws-x",
            config="{language}",
            columns={"premise": "sentence1", "hypothesis": "sentence2"},
            sizes={"train": 49_401, "validation": 2_000, "test": 2_000},
        ),
        languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
        splits=TRAIN_DEV_TEST,
        labels=("0", "1"),
        metrics=("accuracy",),
        group="classification",
        is_parallel=True,
        # Its training sets in other languages are translations.
        translated={"train": Slice("train")},
        translated_languages=("de", "es", "fr", "ja", "ko", "zh"),
        description="whether sentences with the same words say the same, in 7 languages",
    ),
    Task(
        name="udpos",
        kind="tagging",
        source=Source(
            "xtreme/udpos",
            config="{language}",
            columns={"tags": "pos_tags"},
            # English: all treebanks of UD 2.5 joined; the languages of XTREME-R: of UD 2.7.
            sizes={"train": 21_253, "en/validation": 3_974, **UDPOS_SIZES},
            instead="the Hub's copy (google/xtreme) mixes in historical languages and splits fused "
            "words; import the folder udpos of XTREME's download with `xstilts data import`",
        ),
        languages=(
            *(
                language
                for language in XTREME_LANGUAGES
                if language not in ("bn", "jv", "ka", "ml", "ms", "my", "sw")
            ),
            *XTREME_R["udpos"],
        ),
        splits=TRAIN_DEV_TEST,
        lacks={"validation": ("kk", "th", "tl", "yo")},
        labels=UPOS,
        metrics=("f1",),
        group="tagging",
        description="universal parts of speech, words as XTREME cuts them, in its 33 languages "
        "and XTREME-R's 5",
    ),
    Task(
        name="panx",
        kind="tagging",
        source=Source(
            "google/xtreme",
            config="PAN-X.{language}",
            columns={"tags": "ner_tags"},
            sizes={"train": 20_000, "en/validation": 10_000, "en/test": 10_000, **PANX_SIZES},
        ),
        languages=(*XTREME_LANGUAGES, *XTREME_R["panx"]),
        splits=TRAIN_DEV_TEST,
        labels=ENTITIES,
        metrics=("f1",),
        group="tagging",
        description="persons, organisations and places in XTREME's 40 languages and XTREME-R's 8",
    ),
    Task(
        name="xquad",
        kind="span",
        source=Source("google/xquad", config="xquad.{language}", sizes={"validation": 1_190}),
        languages=(*XQUAD_LANGUAGES, *XTREME_R["xquad"]),
        # The one set there is serves both uses; nothing is ever selected on it.
        splits={**SQUAD_TRAIN_AND_DEV, "validation": "validation", "test": "validation"},
        apart=SQUAD_APART,
        dev_note="the same articles as its test set, other paragraphs",
        metrics=("exact_match", "f1"),
        group="qa",
        is_parallel=True,
        translated=translated.XQUAD,
        translated_languages=SQUAD_LANGUAGES,
        description="SQuAD's questions in XTREME's 11 languages and in Romanian; trained on SQuAD "
        "v1.1",
    ),
    Task(
        name="mlqa",
        kind="span",
        source=Source("google/xtreme", config="MLQA.{language}.{language}", sizes=MLQA_SIZES),
        languages=("ar", "de", "en", "es", "hi", "vi", "zh"),
        splits={**SQUAD_TRAIN_AND_DEV, "validation": "validation", "test": "test"},
        apart=SQUAD_APART,
        metrics=("exact_match", "f1"),
        group="qa",
        trained_as="xquad",
        normalization="mlqa",
        description="questions on parallel sentences of Wikipedia in 7 languages; SQuAD's stage",
    ),
    Task(
        name="tydiqa",
        kind="span",
        source=Source(
            "xtreme/tydiqa",
            config="{language}",
            instead="the Hub's copies cut the blanks that contexts begin with, and their offsets "
            "are wrong; import the folder tydiqa of XTREME's download with `xstilts data import`",
        ),
        languages=("ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"),
        splits={
            "train": Slice("train", without=TYDIQA_HELD_OUT),
            "dev": Slice("train", only=TYDIQA_HELD_OUT),
            # XTREME's test set is the public dev set, for both uses.
            "validation": "validation",
            "test": "validation",
        },
        metrics=("exact_match", "f1"),
        group="qa",
        description="questions asked without seeing the answer, in 9 languages",
    ),
    Task(
        name="bucc2018",
        kind="mining",
        source=Source(
            "xtreme/bucc2018",
            config="{language}",
            sides={"en": "{language}.en", "gold": "{language}.gold"},
            instead="the Hub's copies (bucc18) have the gold pairs without the pools; import the "
            "folder bucc2018 of XTREME's download with `xstilts data import`",
        ),
        languages=("de", "fr", "ru", "zh"),
        # XTREME develops on the sample data and tests on the training data of the shared task.
        splits={"validation": "validation", "test": "test"},
        fitted_on="validation",
        metrics=("f1",),
        version=2,
        group="retrieval",
        description="translations mined from two pools, in 4 languages",
    ),
    Task(
        name="tatoeba",
        kind="retrieval",
        source=Source(
            "google/xtreme",
            config="tatoeba.{language}",
            names=TATOEBA,
            sizes=TATOEBA_SIZES,
            # The Hub's sentences end in a line feed, which a template strips.
            columns={
                "source_sentence": "{source_sentence}",
                "target_sentence": "{target_sentence}",
            },
        ),
        languages=tuple(TATOEBA),
        splits={"validation": "validation", "test": "validation"},
        metrics=("accuracy",),
        group="retrieval",
        description="the English translation of a sentence among up to 1,000",
    ),
    _XCOPA,
    replace(
        _XCOPA,
        name="xcopa_fixed",
        source=replace(
            _XCOPA.source,
            hub_id="xstilts/xcopa_fixed",
            instead="import XCOPA's folder data together with the English COPA that it translates, "
            "whose questions are put in, with `xstilts data import`",
        ),
        trained_as="xcopa",
        chain=(),
        translated={},
        to_english=(),
        description="XCOPA with the questions of English COPA, in 11 languages; XCOPA's stages",
    ),
    Task(
        name="mini_xnli",
        kind="pair",
        source=Source("xstilts/mini_xnli", config="{language}"),
        languages=MINI_LANGUAGES,
        splits=TRAIN_DEV_TEST,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        group="classification",
        is_parallel=True,
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
        is_parallel=True,
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
        is_parallel=True,
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
        description="the English translation of a sentence among 200",
    ),
    Task(
        name="mini_parallel",
        kind="retrieval",
        source=Source("xstilts/mini_parallel", config="{language}"),
        languages=MINI_LANGUAGES[1:],
        splits={"validation": "validation"},
        metrics=("accuracy",),
        description="parallel text for signals, of which no target's test set has a sentence",
    ),
)
