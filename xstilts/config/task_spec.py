"""The keys `tasks` and `pools` of a sweep file, as pydantic models; see `own_tasks.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from xstilts.config.strict import Model, PlainName
from xstilts.tasks import suggest
from xstilts.tasks.kinds import KINDS

Files = Annotated[str, Field(min_length=1)] | tuple[str, ...]
"""A file, a pattern such as `data/de-*.jsonl`, or several of them."""


class FilesSpec(Model):
    """The files of a task of one's own, by use; `test` and `validation` also by language."""

    train: Files | dict[PlainName, Files] | None = None
    dev: Files | None = None
    test: Files | dict[PlainName, Files] | None = None
    validation: Files | dict[PlainName, Files] | None = None


class SplitsSpec(Model):
    """The splits of a data set of the Hub that a task of one's own uses."""

    train: str | None = None
    dev: str | None = None
    test: str | None = None
    validation: str | None = None


class TaskSpec(Model):
    """A task of one's own: from files beside the sweep file, or from a data set of the Hub.

    `columns` maps what the kind reads to the columns of the files. `labels` are the values in the
    column of the labels, in their order; a mapping renames them. The first of the `metrics`
    selects and is the score, or with `score: mean` their mean. Without `dev`, a tenth of train is.
    Of a data set of the Hub `splits` says which of its splits are what, `languages` in which it is
    scored, and `config` the configuration, with `{language}` where each has its own. `separator`
    divides a text in the column of the labels into several, in files whose cells hold no lists.
    `train` names other tasks that it is fine-tuned on, one after the other, instead of rows of its
    own. `allow_overlap` lets rows of train stand in test too. Of a data set of the Hub
    `translations` names languages in whose configuration the training rows stand, translated.
    `parallel`: what is scored is the same in all languages, row by row, in translation.
    """

    kind: str
    files: FilesSpec | None = None
    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    revision: Annotated[str, Field(min_length=1)] = "main"
    config: Annotated[str, Field(min_length=1)] = "default"
    splits: SplitsSpec = SplitsSpec()
    languages: Annotated[tuple[PlainName, ...], Field(min_length=1)] | None = None
    columns: dict[str, str | tuple[str, ...]] = {}
    labels: tuple[str, ...] | dict[str, str] = ()
    separator: Annotated[str, Field(min_length=1)] | None = None
    metrics: tuple[str, ...] = ()
    score: Literal["first", "mean"] = "first"
    train_language: PlainName = "en"
    train: tuple[str, ...] | None = None
    allow_overlap: bool = False
    translations: Annotated[tuple[PlainName, ...], Field(min_length=1)] | None = None
    parallel: bool = False

    @field_validator("kind")
    @classmethod
    def _a_kind(cls, kind: str) -> str:
        known = [name for name, spec in KINDS.items() if not spec.is_pools]
        if kind not in known:
            raise ValueError(f'unknown kind; got "{kind}"; {suggest(kind, known)}')
        return kind

    @model_validator(mode="after")
    def _one_place(self) -> TaskSpec:
        if (self.files is None) == (self.hub is None):
            raise ValueError("a task has either `files` or a `hub` id")
        for name in ("config", "languages", "revision", "splits", "translations"):
            default = type(self).model_fields[name].default
            if self.files is not None and getattr(self, name) != default:
                raise ValueError(f"`{name}` is of a data set of the Hub, not of files")
        if self.separator is not None and (self.files is None or self.kind != "multilabel"):
            raise ValueError("`separator` is of files of a task of kind multilabel")
        return self


class PoolSpec(Model):
    """Candidates of a sweep's own, among which the queries of the target `of` are ranked.

    It is a target of that name, which reads the other's training stage; its scores are no figures
    of the other.
    """

    of: str
    files: Files
