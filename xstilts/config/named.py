"""The sections of a sweep file that are a name, or a mapping with a name: recipe and benchmark.

Both are entries of the package, `xstilts.config.recipes` and `xstilts.tasks.benchmarks`. A file
says values of a recipe otherwise, and may declare a benchmark of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from xstilts.config.strict import Languages, Model, PlainName


class BenchmarkSpec(Model):
    """A benchmark by its name: one that the package brings, or one that is declared here, with all
    targets that its average needs, their languages and the split that is scored.

    A name alone is as good as a mapping of it, and is what a mapping of nothing else becomes.
    """

    # What a validator has looked at is no JSON any more, and strictly no list is a tuple then. Of
    # what is declared here nothing else would be converted.
    model_config = ConfigDict(strict=False)

    name: PlainName
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    languages: Literal["all"] | Languages | dict[str, Languages] = "all"
    split: Literal["test", "validation"] = "test"

    @property
    def is_declared(self) -> bool:
        """Whether more is said than a name."""
        return bool(self.model_fields_set - {"name"})

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_serializer(mode="wrap")
    def _as_written(self, whole: SerializerFunctionWrapHandler) -> str | dict[str, Any]:
        written: dict[str, Any] = whole(self)
        return written if self.is_declared else self.name


class RecipeSpec(Model):
    """A recipe by its name and what is said instead of its values, by the names of their fields:
    everywhere (whatever key is none of these), in a phase (`intermediate`, `target`), and in the
    stages of single tasks (`tasks` of intermediates, `targets`). `adapt` has the arm of each phase,
    by its values or by the name that it has under `arms`.

    A name alone is as good as a mapping of it, and is what a mapping of nothing else becomes.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    intermediate: dict[str, Any] = {}
    target: dict[str, Any] = {}
    tasks: dict[str, dict[str, Any]] = {}
    targets: dict[str, dict[str, Any]] = {}
    adapt: dict[str, Any] = {}

    @property
    def everywhere(self) -> dict[str, Any]:
        """The values of both phases."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def overrides(self) -> dict[str, Any]:
        """All that is said instead of the recipe's values, as a file writes it."""
        sections = ("intermediate", "target", "tasks", "targets", "adapt")
        return self.everywhere | {name: said for name in sections if (said := getattr(self, name))}

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        return {"name": self.name, **self.overrides} if self.overrides else self.name
