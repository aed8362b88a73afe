"""Rows of the miniature benchmark under the column names of the real data sets, and their files.

One folder per data set: a README with the `configs` that `datasets.load_dataset` reads, and parquet
files that carry their features. Equal rows give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from xstilts.mini.grammar import answer_span, write
from xstilts.mini.inference import LABELS
from xstilts.mini.languages import Language
from xstilts.mini.reading import Line, Passage

if TYPE_CHECKING:
    from xstilts.mini.world import Choice, Pair

Rows = list[dict[str, Any]]
Configs = dict[str, dict[str, Rows]]  # config -> split -> rows
Features = dict[str, Any]  # column -> feature, as `datasets` writes it into parquet files

UPOS_TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip

_STRING = {"dtype": "string", "_type": "Value"}
_STRINGS = {"feature": _STRING, "_type": "List"}
PAIR_FEATURES: Features = {
    "premise": _STRING,
    "hypothesis": _STRING,
    "label": {"names": list(LABELS), "_type": "ClassLabel"},
}
CHOICE_FEATURES: Features = {
    "ind": {"dtype": "int32", "_type": "Value"},
    "ctx_a": _STRING,
    "ctx_b": _STRING,
    "ctx": _STRING,
    "endings": _STRINGS,
    "label": _STRING,
}
PASSAGE_FEATURES: Features = {
    "id": _STRING,
    "title": _STRING,
    "context": _STRING,
    "question": _STRING,
    "answers": {
        "text": _STRINGS,
        "answer_start": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
    },
}
TAGGED_FEATURES: Features = {
    "tokens": _STRINGS,
    "pos_tags": {
        "feature": {"names": list(UPOS_TAGS), "_type": "ClassLabel"},
        "_type": "List",
    },
}
TRANSLATION_FEATURES: Features = dict.fromkeys(
    ("source_sentence", "target_sentence", "source_lang", "target_lang"), _STRING
)
TEXT_FEATURES: Features = dict.fromkeys(("id", "url", "title", "text"), _STRING)


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


def write_dataset(folder: Path, configs: Configs, features: Features) -> None:
    """Write a data set as the Hub would hold it: README and one parquet file per split."""
    header = ["---", "configs:"]
    for config, splits in configs.items():
        header += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            name = f"{config}/{split}-00000-of-00001.parquet"
            header += [f"  - split: {split}", f"    path: {name}"]
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema=_schema(features))
            pq.write_table(table, path, compression="snappy", version="2.6")
    header += ["---", "", f"# {folder.name}", "", _README, ""]
    (folder / "README.md").write_text("\n".join(header), encoding="utf-8", newline="\n")


_README = (
    "Part of the miniature benchmark of xstilts: generated from a seed by `xstilts.mini.world`,\n"
    "in English and six constructed languages. It measures nothing about natural languages."
)


def _schema(features: Features) -> pa.Schema:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    fields = [pa.field(name, _arrow_type(feature)) for name, feature in features.items()]
    return pa.schema(fields, metadata=metadata)


def _arrow_type(feature: dict[str, Any]) -> pa.DataType:
    kind = feature.get("_type")
    if kind == "Value":
        return {"string": pa.string(), "int32": pa.int32()}[feature["dtype"]]
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "List":
        return pa.list_(_arrow_type(feature["feature"]))
    return pa.struct([(name, _arrow_type(part)) for name, part in feature.items()])
