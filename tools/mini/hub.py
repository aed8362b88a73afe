"""Rows of the miniature benchmark under the column names of the real data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tools.mini.grammar import answer_span, write
from tools.mini.inference import LABELS
from tools.mini.languages import Language
from tools.mini.reading import Choice, Line, Pair, Passage
from xstilts.data.hub_layout import (
    ANSWERS,
    INT32,
    STRING,
    STRINGS,
    Features,
    class_label,
    class_labels,
)

Rows = list[dict[str, Any]]
Put = Callable[[str, str, str, Features, Rows], None]
"""Takes the rows of a split of a configuration of a data set."""

UPOS_TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip

PAIR_FEATURES: Features = {
    "premise": STRING,
    "hypothesis": STRING,
    "label": class_label(LABELS),
}
CHOICE_FEATURES: Features = {
    "ind": INT32,
    **dict.fromkeys(("ctx_a", "ctx_b", "ctx"), STRING),
    "endings": STRINGS,
    "label": STRING,
}
PASSAGE_FEATURES: Features = {
    **dict.fromkeys(("id", "title", "context", "question"), STRING),
    "answers": ANSWERS,
}
TAGGED_FEATURES: Features = {"tokens": STRINGS, "pos_tags": class_labels(UPOS_TAGS)}
TRANSLATION_FEATURES: Features = dict.fromkeys(
    ("source_sentence", "target_sentence", "source_lang", "target_lang"), STRING
)
TEXT_FEATURES: Features = dict.fromkeys(("id", "url", "title", "text"), STRING)


def pair_rows(pairs: Sequence[Pair], language: Language) -> Rows:
    """Rows with the columns of `facebook/xnli`."""
    return [
        {
            "premise": pair.premise.write(language),
            "hypothesis": pair.hypothesis.write(language),
            "label": pair.label,
        }
        for pair in pairs
    ]


def choice_rows(choices: Sequence[Choice], english: Language) -> Rows:
    """Rows with the columns of HellaSwag; the endings lack the subject, which `ctx_b` gives."""
    rows: Rows = []
    for ind, choice in enumerate(choices):
        ctx_a = " ".join(line.write(english) for line in choice.context)
        subject = [word for word in choice.endings[0].say(english) if word.slot == "subject"]
        endings = []
        for line in choice.endings:
            words = line.say(english)
            num_subject_words = 1 + max(i for i, word in enumerate(words) if word.slot == "subject")
            endings.append(write(words[num_subject_words:]))
        article = "the " if subject[0].upos == "NOUN" else ""
        ctx_b = f"And {article}{write(subject)}"
        rows.append(
            {
                "ind": ind,
                "ctx_a": ctx_a,
                "ctx_b": ctx_b,
                "ctx": f"{ctx_a} {ctx_b}",
                "endings": endings,
                "label": str(choice.label),
            }
        )
    return rows


def passage_rows(passages: Sequence[Passage], language: Language, split: str) -> Rows:
    """Rows with the columns of SQuAD."""
    rows: Rows = []
    for i, passage in enumerate(passages):
        sentences = [line.say(language) for line in passage.lines]
        texts = [write(sentence) for sentence in sentences]
        asked = passage.question.clauses[0].asks
        start, answer = answer_span(sentences[passage.position], asked)
        start += sum(len(text) + 1 for text in texts[: passage.position])
        rows.append(
            {
                "id": f"{split}-{i:05d}",
                "title": f"passage {i}",
                "context": " ".join(texts),
                "question": passage.question.write(language),
                "answers": {"text": [answer], "answer_start": [start]},
            }
        )
    return rows


def tagged_rows(lines: Sequence[Line], language: Language) -> Rows:
    """Rows of tokens with their universal parts of speech."""
    return [
        {
            "tokens": [word.text for word in words],
            "pos_tags": [UPOS_TAGS.index(word.upos) for word in words],
        }
        for words in (line.say(language) for line in lines)
    ]


def translation_rows(lines: Sequence[Line], language: Language, english: Language) -> Rows:
    """Rows with the columns of Tatoeba: the other language is the source, English the target."""
    return [
        {
            "source_sentence": line.write(language),
            "target_sentence": line.write(english),
            "source_lang": language.code,
            "target_lang": english.code,
        }
        for line in lines
    ]


def text_rows(documents: Sequence[Sequence[Line]], language: Language) -> Rows:
    """Rows with the columns of Wikipedia dumps."""
    return [
        {
            "id": str(i),
            "url": f"mini://{language.code}/{i}",
            "title": f"document {i}",
            "text": " ".join(line.write(language) for line in document),
        }
        for i, document in enumerate(documents)
    ]


README = (
    "Part of the miniature benchmark of xstilts: generated from a seed by `tools.mini.world`,\n"
    "in English and six constructed languages. It measures nothing about natural languages."
)
