"""The links of the chains that a trial trains: each once, whichever cells go on from it.

Cells whose chains begin alike share their first links. A link that collapsed is tried with other
seeds as any stage is, and what goes on from it goes on from the last attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xstilts.plan.stage import Train, stage_name
from xstilts.plan.trial_plan import retried
from xstilts.records import Outcome
from xstilts.run.workshop import Computed

Naming = Callable[[Train], str]
"""What a trial calls the training of a link."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it was trained, which may be a further attempt."""

    stage: Train
    outcome: Outcome
    name: str

    @property
    def recipe(self) -> dict[str, Any]:
        """What it was trained by."""
        (part,) = self.stage.parts
        return self.stage.recipe_of(part).values


class Links:
    """Trains the links before a trial's cells, by `train`; what that says in `retries` of a link is
    said of it under all of its names."""

    def __init__(
        self, train: Callable[[Train, str], tuple[Train, Computed]], retries: dict[str, int]
    ):
        self._train, self._retries = train, retries
        self._known: dict[Train, Link] = {}

    def under(self, stage: Train, naming: Naming) -> Train:
        """The stage on the links that it goes on from, as they were trained."""
        links = stage.links_before
        if not links:
            return stage
        planned, name = links[-1], naming(links[-1])
        if planned not in self._known:
            tried, found = self._train(self.under(planned, naming), name)
            self._known[planned] = Link(tried, found.manifest.trained, name)
        link = self._known[planned]
        if attempts := self._retries.get(link.name):
            self._retries[name] = attempts
        return replace(stage, parent=link.stage)

    def before(self, stage: Train) -> list[Link]:
        """The links that a trained stage goes on from, the first of them first."""
        by_stage = {link.stage: link for link in self._known.values()}
        return [by_stage[link] for link in stage.links_before]

    @property
    def names(self) -> list[str]:
        """The stages' names."""
        return [stage_name(link.stage) for link in self._known.values()]


def as_retried(stage: Train, naming: Naming, retries: dict[str, int]) -> Train:
    """A stage on the attempts at its links that a trial's record tells of."""
    links: Sequence[Train] = stage.links_before
    if not links:
        return stage
    before = as_retried(links[-1], naming, retries)
    return replace(stage, parent=retried(before, retries.get(naming(links[-1]), 0)))
