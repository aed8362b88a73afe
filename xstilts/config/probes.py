"""Of the sweep file: what is probed of every encoder, pretrained and after its intermediate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from xstilts.config.strict import Languages, Model

FERTILITY = "fertility"
"""The probe that reads what is scored; all others read parallel text."""

ENGLISH = "en"
"""The language on one side of all parallel text."""

LEAST_SENTENCES = 10
"""Two sentences a fold of the probe of languages."""


class ProbesSpec(Model):
    """Which probes are read, off the text of the task `parallel` in `languages` (those that targets
    are scored in, if not given; English is always there), on so many `sentences` of each.

    Nothing is selected by them, and no stage trains or scores otherwise for them.
    """

    read: tuple[
        Literal["fertility", "anisotropy", "alignment", "language_identity", "pseudo_perplexity"],
        ...,
    ]
    parallel: str | None = None
    languages: Languages | None = None
    sentences: Annotated[int, Field(ge=LEAST_SENTENCES)] = 200

    @field_validator("read")
    @classmethod
    def _a_probe(cls, read: tuple[str, ...]) -> tuple[str, ...]:
        # A least length would be told of a list with a wrong name, too.
        if not read:
            raise ValueError("names a probe or more; leave `probes` out for none")
        return read

    @property
    def of_text(self) -> tuple[str, ...]:
        """The probes that read parallel text."""
        return tuple(name for name in self.read if name != FERTILITY)
