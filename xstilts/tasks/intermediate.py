"""The intermediate tasks: one entry each."""

from __future__ import annotations

from dataclasses import replace

from xstilts.tasks.task import HeldOut, Slice, Source, Task

NLI_LABELS = ("entailment", "neutral", "contradiction")
MINI_LANGUAGES = ("en", "qaa", "qab", "qac", "qad", "qae", "qaf")
TRAIN_AND_DEV = {"train": "train", "dev": "validation"}

XTREME_LANGUAGES = (
    *("af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi"),
    *("hu", "id", "it", "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru"),
    *("sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh"),
)

MNLI_LANGUAGES = (
    *("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
)
SQUAD_LANGUAGES = ("ar", "de", "el", "es", "hi", "ru", "th", "tr", "vi", "zh")
"""The languages that their training sets were translated to."""

MNLI = Source(
    "nyu-mll/glue",
    config="mnli",
    sizes={"train": 392_702, "validation_matched": 9_815},
    copies="mnli",
)
SQUAD = Source(
    "rajpurkar/squad",
    config="plain_text",
    sizes={"train": 87_599, "validation": 10_570},
    copies="squad",
)
SQUAD_2 = Source(
    "rajpurkar/squad_v2",
    config="squad_v2",
    sizes={"train": 130_319, "validation": 11_873},
    copies="squad",
)
SQUAD_TRANSLATED = Source(
    "xstilts/squad_translated",
    config="{language}",
    copies="squad",
    instead="the Hub has SQuAD's translations behind a loading script alone; import XTREME's "
    "squad.translate.train.en-LANGUAGE.json with `xstilts data import`",
)
XQUAD_ENGLISH = Source("google/xquad", config="xquad.en")
TRANSLATED_PARAGRAPHS = (XQUAD_ENGLISH, "validation", "context")
SQUAD_DEV = Slice("validation", SQUAD, unlike=TRANSLATED_PARAGRAPHS)
"""SQuAD's dev set without the paragraphs that XQuAD translates, which select for nobody."""

SQUAD_TRAIN = Slice("train", SQUAD, unlike=TRANSLATED_PARAGRAPHS)
"""SQuAD's training set has none of them, but copies that others have cut anew may."""

FOR_TARGETS = HeldOut("title", percent=50, otherwise="context")
"""The half of SQuAD's dev articles that selects for the targets trained on SQuAD; the other half
selects for the intermediates, whatever copy of SQuAD they read."""

ARTICLES_APART = HeldOut("title", percent=5, otherwise="context")
"""Articles of SQuAD's training set that select for the targets of a sweep that wants whole
articles held out, since XQuAD has paragraphs of every article of the dev set."""


def squad_splits(source: Source) -> dict[str, Slice]:
    """Training and dev rows of a copy of SQuAD as an intermediate."""
    return {
        "train": replace(SQUAD_TRAIN, source=source),
        "dev": replace(SQUAD_DEV, source=source, without=FOR_TARGETS),
    }


def squad_apart(source: Source) -> dict[str, Slice]:
    """The same with whole articles held out."""
    return {
        "train": replace(SQUAD_TRAIN, source=source, without=ARTICLES_APART),
        "dev": replace(SQUAD_DEV, source=source),
    }


COPA_COLUMNS: dict[str, str | tuple[str, ...]] = {
    "prompt": "{premise} What was the {question}?",
    "choices": ("choice1", "choice2"),
}
"""XTREME-R's segments; the words of the question are English in every language."""

COPA = Source(
    "aps/super_glue",
    config="copa",
    columns=COPA_COLUMNS,
    sizes={"train": 400, "validation": 100},
    copies="copa",
)

ANLI_SIZES = {"train_r1": 16_946, "train_r2": 45_460, "train_r3": 100_459}
ANLI_SIZES |= {"dev_r1": 1_000, "dev_r2": 1_000, "dev_r3": 1_200}
ANLI = Source("facebook/anli", config="plain_text", sizes=ANLI_SIZES)
SNLI = Source("stanfordnlp/snli", config="plain_text")
ROUNDS = ("r1", "r2", "r3")

ENTRIES = (
    Task(
        name="anli_plus",
        kind="pair",
        source=ANLI,
        languages=("en",),
        splits={
            "train": (
                *(Slice(f"train_{name}") for name in ROUNDS),
                # Pairs whose annotators did not agree have no label.
                Slice("train", SNLI, labelled="label"),
                Slice("train", MNLI),
            ),
            "dev": tuple(Slice(f"dev_{name}") for name in ROUNDS),
        },
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment: ANLI's three rounds, SNLI and MNLI joined",
        version=2,  # checks sample all rounds of the dev set
    ),
    Task(
        name="mnli",
        kind="pair",
        source=MNLI,
        languages=("en",),
        splits={"train": "train", "dev": "validation_matched"},
        labels=NLI_LABELS,
        metrics=("accuracy",),
        translations=Source("facebook/xnli", config="{language}", copies="mnli"),
        translated_languages=MNLI_LANGUAGES,
        description="entailment between sentences of ten genres",
    ),
    Task(
        name="mnli_genres",
        kind="pair",
        source=Source("nyu-mll/multi_nli", copies="mnli"),
        languages=("en",),
        splits={"train": "train", "dev": "validation_matched"},
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="MNLI from the copy that keeps the genre, for `filter: {genre: telephone}`",
    ),
    Task(
        name="qqp",
        kind="pair",
        source=Source(
            "nyu-mll/glue",
            config="qqp",
            columns={"premise": "question1", "hypothesis": "question2"},
            sizes={"train": 363_846, "validation": 40_430},
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        description="whether two questions on Quora ask the same",
    ),
    Task(
        name="hellaswag",
        kind="choice",
        # ActivityNet's endings go on with ctx_b, WikiHow's ctx_b is empty.
        source=Source(
            "Rowan/hellaswag",
            columns={"prompt": "{ctx_a}", "choices": "{ctx_b} {endings}"},
            sizes={"train": 39_905, "validation": 10_042},
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        metrics=("accuracy",),
        description="which of four endings goes on",
    ),
    Task(
        name="squad_v1",
        kind="span",
        source=SQUAD,
        languages=("en",),
        splits=squad_splits(SQUAD),
        apart=squad_apart(SQUAD),
        metrics=("exact_match", "f1"),
        translations=SQUAD_TRANSLATED,
        translated_languages=SQUAD_LANGUAGES,
        description="questions whose answer is a span of a Wikipedia paragraph",
    ),
    Task(
        name="squad_v2",
        kind="span",
        source=SQUAD_2,
        languages=("en",),
        splits=squad_splits(SQUAD_2),
        apart=squad_apart(SQUAD_2),
        metrics=("exact_match", "f1"),
        can_abstain=True,
        description="SQuAD v1.1 and questions without an answer",
    ),
    Task(
        name="ccg",
        kind="tagging",
        source=Source(
            "xstilts/ccg",
            instead="CCGbank (LDC2005T13) is licensed and on no Hub; put your export's train and "
            "dev files into a folder ccg and import it with `xstilts data import`",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        open_labels=True,
        metrics=("accuracy",),
        description="supertags of CCGbank, from an export of your own",
    ),
    Task(
        name="cosmosqa",
        kind="choice",
        source=Source(
            "allenai/cosmos_qa",
            columns={
                "prompt": "{context} {question}",
                "choices": ("answer0", "answer1", "answer2", "answer3"),
            },
            sizes={"train": 25_262, "validation": 2_985},
            instead="the Hub has a loading script, which is no longer supported; import the "
            "original train.csv and valid.csv with `xstilts data import`",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        metrics=("accuracy",),
        description="which of four answers a narrative suggests",
    ),
    Task(
        name="commonsenseqa",
        kind="choice",
        source=Source(
            "tau/commonsense_qa",
            columns={"prompt": "question", "choices": "choices.text", "label": "answerKey"},
            sizes={"train": 9_741, "validation": 1_221},
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=("A", "B", "C", "D", "E"),
        metrics=("accuracy",),
        description="which of five concepts answers a question",
    ),
    Task(
        name="siqa",
        kind="choice",
        source=Source(
            "lighteval/siqa",
            columns={
                "prompt": "{context} {question}",
                "choices": ("answerA", "answerB", "answerC"),
            },
            sizes={"train": 33_410, "validation": 1_954},
            copies="siqa",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        # Of the Hub's copy and the first release; of release 1.4 the import makes these.
        labels=("1", "2", "3"),
        metrics=("accuracy",),
        description="which of three answers a social situation suggests; XCOPA's first stage",
    ),
    Task(
        name="copa",
        kind="choice",
        source=COPA,
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=("choice1", "choice2"),
        metrics=("accuracy",),
        description="which of two sentences is the cause or the effect; XCOPA's second stage",
    ),
    Task(
        name="mlm",
        kind="mlm",
        source=Source("wikimedia/wikipedia", config="20231101.{language}"),
        languages=XTREME_LANGUAGES,
        splits={"train": "train"},
        metrics=(),
        description="masked-language modelling on Wikipedia",
    ),
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
