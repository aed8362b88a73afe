"""Predictions as files, in XTREME's submission layout: `predictions/<target>/<split>-<language>`.

Labels and positions: one a line (`.tsv`). Tags: one a line, a blank line between sentences.
Mined pairs: two ids a line, a tab between. Answers: a JSON object from question id to text.
Rankings: one from query id to the ids of candidates, best first. Several labels: a JSON list of
lists, a row a line. Two tasks of XTREME-R are submitted otherwise (`submitted`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from xstilts.scores.official import LAREQA, file_name, read_lines, read_sentences
from xstilts.tasks import Task


def write_predictions(
    folder: Path,
    task: Task,
    split: str,
    language: str,
    predictions: Sequence[Any],
    examples: pa.Table,
) -> None:
    """Write the predictions of one language below `folder`."""
    ids = examples["id"].to_pylist()
    form = task.kind_spec.prediction
    if form in ("answer", "ranking"):
        text = json.dumps(dict(zip(ids, predictions, strict=True)), ensure_ascii=False, indent=0)
    elif form == "labels":
        text = label_lists(predictions)
    elif form == "tags":
        text = "\n".join("".join(f"{tag}\n" for tag in sentence) for sentence in predictions)
    elif form == "pair":
        text = "".join(f"{source}\t{target}\n" for source, target in predictions)
    else:
        text = "".join(f"{prediction}\n" for prediction in predictions)
    name = f"{split}-{language}.{task.kind_spec.file_ending}"
    path = folder / "predictions" / task.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def submitted(task: Task, texts: Mapping[str, str], whole: str) -> dict[str, str]:
    """Files of predictions or gold, by language, as files of a submission, by name.

    XCOPA's labels become objects, one a line; LAReQA's rankings, JSON objects from question id to
    candidate ids, one object of all languages, in the file `whole`. All others stay as they are.
    """
    if task.name == LAREQA and texts:
        rankings = {k: ids for text in texts.values() for k, ids in json.loads(text).items()}
        return {whole: json.dumps(rankings, ensure_ascii=False, indent=0)}
    files = {file_name(task, language): text for language, text in texts.items()}
    return {
        name: "".join(f'{{"label": {label}}}\n' for label in text.split())
        if name.endswith(".jsonl")
        else text
        for name, text in files.items()
    }


def label_lists(rows: Sequence[Sequence[str]]) -> str:
    """The labels of every row as JSON, a row a line."""
    lines = (json.dumps(list(labels), ensure_ascii=False) for labels in rows)
    return "[" + ",\n".join(lines) + "]\n"


def read_predictions(path: Path, task: Task) -> list[tuple[int | str, Any]]:
    """The predictions of one language, each with what it is of: a question's id, of mined pairs the
    source's, else the number of the row."""
    form = task.kind_spec.prediction
    if form in ("answer", "ranking"):
        return list(json.loads(path.read_text(encoding="utf-8")).items())
    if form == "labels":
        return list(enumerate(json.loads(path.read_text(encoding="utf-8"))))
    if form == "tags":
        return list(enumerate(read_sentences(path)))
    lines = read_lines(path)
    if form == "pair":
        return [(source, target) for source, _, target in (line.partition("\t") for line in lines)]
    return list(enumerate(lines))
