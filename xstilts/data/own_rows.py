"""One row of one's own: from a file's columns to what a kind reads, or what is wrong with it.

Each kind has a reader of records here, the one place where the columns of an entry are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xstilts.config.task_spec import TaskSpec
from xstilts.data.forms import key_of
from xstilts.data.hub_layout import STRING, STRINGS, Features, Row
from xstilts.data.importers.ranked import FEATURES as PAIR
from xstilts.data.importers.span import FEATURES

LONG_LABEL = 40
"""From so many characters on a label is rather a text."""


class WrongRow(Exception):
    """A row is wrong: the rule, what was given, the repair."""

    def __init__(self, rule: str, got: object = "", repair: str = ""):
        super().__init__(rule)
        self.rule, self.repair = rule, repair
        self.got = repr(got)[:80] if got != "" else ""


def features_of(kind: str) -> Features:
    """The columns of a data set of a kind, as `datasets` describes them."""
    return _FEATURES[kind]


def row_of(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    """A record of a file as a row of its kind; `number` makes up an id where there is none.

    Raises:
        WrongRow: the record is not what the task declares.
    """
    return _ROWS[spec.kind](spec, record, number)


def column_of(spec: TaskSpec, name: str) -> str | tuple[str, ...]:
    """The column, or columns, of the files that hold what the kind reads under a name."""
    return spec.columns.get(name, name)


def _value(spec: TaskSpec, record: Mapping[str, Any], name: str) -> Any:
    column = column_of(spec, name)
    names = (column,) if isinstance(column, str) else column
    for one in names:
        if one not in record:
            there = ", ".join(map(str, record))
            repair = f"it has {there}; write columns: {{{name}: ONE OF THEM}}"
            raise WrongRow(f"has no column {one!r}", repair=repair)
    values = [record[one] for one in names]
    return values[0] if isinstance(column, str) else values


def _text(spec: TaskSpec, record: Mapping[str, Any], name: str) -> str:
    value = _value(spec, record, name)
    if not isinstance(value, str):
        raise WrongRow(f"{column_of(spec, name)!r} must be a text", value)
    return value


def _texts(spec: TaskSpec, record: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts; one text is words with blanks between."""
    value = _value(spec, record, name)
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or not value:
        raise WrongRow(f"{column_of(spec, name)!r} must be a list of texts", value)
    return value


def _label(spec: TaskSpec, value: Any) -> str:
    """A label under its own name."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    known = spec.labels
    if not known or text in known:
        return known[text] if isinstance(known, dict) else text
    if not text:
        raise WrongRow("a row must have a label")
    repair = "add it to `labels`, or take the row out"
    if len(text) >= LONG_LABEL:
        column = column_of(spec, "label")
        repair = f"{column!r} holds texts: write columns: {{label: THE COLUMN OF THE LABELS}}"
    raise WrongRow(f"the label must be one of {', '.join(known)}", text, repair)


def _classified(*texts: str) -> Callable[[TaskSpec, Mapping[str, Any], int], Row]:
    def read(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
        row = {name: _text(spec, record, name) for name in texts}
        return {**row, "label": _label(spec, _value(spec, record, "label"))}

    return read


def _multilabel(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    value = _value(spec, record, "label")
    if isinstance(value, str) and spec.separator:
        value = [part.strip() for part in value.split(spec.separator)] if value.strip() else []
    if not isinstance(value, list):
        repair = 'write separator: "|", or what else divides the labels of a text'
        raise WrongRow(f"{column_of(spec, 'label')!r} must be a list of labels", value, repair)
    if len(set(map(str, value))) < len(value):
        raise WrongRow("a label of a row stands once", value)
    labels = [_label(spec, one) for one in value]
    return {"text": _text(spec, record, "text"), "label": list(dict.fromkeys(labels))}


def _choice(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    choices = _value(spec, record, "choices")
    if not isinstance(choices, list) or len(choices) < 2:
        raise WrongRow(
            f"{column_of(spec, 'choices')!r} must be a list of two texts at least", choices
        )
    if not all(isinstance(one, str) for one in choices):
        raise WrongRow("choices must be texts", choices)
    label = _label(spec, _value(spec, record, "label"))
    if not spec.labels and label not in map(str, range(len(choices))):
        rule = f"the label must be the position of a choice, 0 to {len(choices) - 1}"
        raise WrongRow(rule, label, "or write labels: [...], which name the choices in their order")
    return {"prompt": _text(spec, record, "prompt"), "choices": choices, "label": label}


def _tagged(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    tokens, tags = (_texts(spec, record, name) for name in ("tokens", "tags"))
    if len(tokens) != len(tags):
        raise WrongRow("a row must have a tag for every word", f"{len(tokens)} and {len(tags)}")
    return {"tokens": tokens, "tags": [_label(spec, tag) for tag in tags]}


def _question(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    context, question = (_text(spec, record, name) for name in ("context", "question"))
    answers = _value(spec, record, "answers")
    parts = answers if isinstance(answers, dict) else {}
    texts, starts = parts.get("text"), parts.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        rule = "answers must be {text: [...], answer_start: [...]}, as SQuAD has them"
        raise WrongRow(rule, answers)
    if not texts:
        raise WrongRow("a question must have an answer", question)
    for text, start in zip(texts, starts, strict=True):
        held = isinstance(text, str) and isinstance(start, int) and text and start >= 0
        if not held or context[start : start + len(text)] != text:
            raise WrongRow("the context must hold the answer at its offset", (start, text))
    known = column_of(spec, "id") in record
    name = str(_value(spec, record, "id")) if known else str(number)
    answers = {"text": texts, "answer_start": starts}
    title = record.get("title")
    title = title if isinstance(title, str) else ""
    return {
        "id": name,
        "title": title,
        "context": context,
        "question": question,
        "answers": answers,
    }


def _pair(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
    query, candidate = (_text(spec, record, name) for name in ("query", "candidate"))
    for name, text in (("query", query), ("candidate", candidate)):
        if not text.strip():
            raise WrongRow(f"{column_of(spec, name)!r} must have words", text)
    name = str(_value(spec, record, "id")) if "id" in spec.columns else str(number)
    has_key = column_of(spec, "keys") in record
    key = _text(spec, record, "keys") if has_key else key_of(candidate)
    return {"id": name, "query": query, "candidate": candidate, "keys": [key]}


def _plain(*texts: str) -> Callable[[TaskSpec, Mapping[str, Any], int], Row]:
    def read(spec: TaskSpec, record: Mapping[str, Any], number: int) -> Row:
        return {name: _text(spec, record, name) for name in texts}

    return read


_ROWS: Mapping[str, Callable[[TaskSpec, Mapping[str, Any], int], Row]] = {
    "sentence": _classified("text"),
    "pair": _classified("premise", "hypothesis"),
    "multilabel": _multilabel,
    "choice": _choice,
    "tagging": _tagged,
    "span": _question,
    "retrieval": _plain("source_sentence", "target_sentence"),
    "dual_encoder": _pair,
    "mlm": _plain("text"),
}

_FEATURES: Mapping[str, Features] = {
    "sentence": {"text": STRING, "label": STRING},
    "pair": {"premise": STRING, "hypothesis": STRING, "label": STRING},
    "multilabel": {"text": STRING, "label": STRINGS},
    "choice": {"prompt": STRING, "choices": STRINGS, "label": STRING},
    "tagging": {"tokens": STRINGS, "tags": STRINGS},
    "span": FEATURES,
    "retrieval": {"source_sentence": STRING, "target_sentence": STRING},
    "dual_encoder": PAIR,
    "mlm": {"text": STRING},
}
