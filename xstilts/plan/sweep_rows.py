"""Rows as a sweep's stages read them: which data set, languages and cut, and how many there are."""

from __future__ import annotations

from dataclasses import replace

from xstilts.config.derive import pivots_of, train_languages
from xstilts.config.own_tasks import find_task, is_declared, plugins_of
from xstilts.config.schema import IntermediateSpec, Sweep, TranslatedSpec
from xstilts.files import sha256_of
from xstilts.plan.inventory import Inventory
from xstilts.plan.stage import Items, Rows
from xstilts.tasks import Task
from xstilts.tasks.plugins import bringers_of
from xstilts.tasks.task import NORMALISERS, POOL


class SweepRows:
    """Makes the rows of one sweep from what its inventory knows. Equal rows are one object, for the
    plans of thousands of trials hold them."""

    def __init__(self, sweep: Sweep, inventory: Inventory):
        self._sweep, self._inventory = sweep, inventory
        self._made: dict[Rows, Rows] = {}

    def pivots(self, head: Task, max_length: int) -> Rows | None:
        """The dev rows of the pivot languages that select a target's stage."""
        languages = pivots_of(self._sweep, head)
        return self.of(head, "validation", languages, max_length) if languages else None

    def pool(self, task: Task, max_length: int) -> Rows | None:
        """The candidates that what is scored of a target is ranked among, whatever languages it is
        scored in; None where it has no pool."""
        if POOL not in task.splits:
            return None
        return self.of(task, POOL, task.languages_of(POOL), max_length)

    def part(self, spec: IntermediateSpec, task: Task, max_length: int) -> Rows:
        """The training rows of a task in an intermediate."""
        languages = train_languages(spec, task)
        if task.kind_spec.is_self_supervised:  # a variant is of the other tasks
            return self.of(task, "train", languages, max_length)
        rows = self.of(task, "train", languages, max_length, spec.examples)
        normaliser = (spec.normalise, NORMALISERS[spec.normalise]) if spec.normalise else None
        rows = replace(rows, translated=spec.translated, where=spec.where, normaliser=normaliser)
        rows = self._of_items(rows, spec, task) if spec.items else rows
        return self._made.setdefault(rows, rows)

    def _of_items(self, rows: Rows, spec: IntermediateSpec, task: Task) -> Rows:
        """Training rows in several languages with as many items of each."""
        languages = tuple(language for language, _ in rows.rows)
        is_disjoint = spec.items == "disjoint"
        count = self._inventory.items_of(task, languages)
        if is_disjoint:
            count //= len(languages)
        if spec.examples is not None:
            count = min(count, spec.examples)
        counts = tuple((language, count) for language in languages)
        if not is_disjoint and not task.kind_spec.joined_by:
            return replace(rows, rows=counts)  # by their place, as any cap takes them
        return replace(rows, rows=counts, items=Items(languages, is_disjoint))

    def of(
        self,
        task: Task,
        use: str,
        languages: tuple[str, ...],
        max_length: int,
        limit: int | None = None,
    ) -> Rows:
        """Rows of a use of a task in these languages, at most `limit` of each."""
        declared = find_task(self._sweep, task.name)
        sizes = ((x, self._inventory.rows_of(task, use, x)) for x in languages)
        counts = tuple((x, size if limit is None else min(size, limit)) for x, size in sizes)
        translated, said = use in task.in_translation, self._sweep.train.get(task.name)
        word = said.normalise if isinstance(said, TranslatedSpec) and use == "train" else None
        rows = Rows(
            task=task.name,
            use=use,
            source=self._identity(task, use),
            rows=counts,
            task_version=task.version,
            encoding_version=task.kind_spec.version,
            labels=tuple(self._inventory.labels[task.name]) if task.open_labels else task.labels,
            max_length=max_length,
            limit=limit,
            translated=translated,
            normaliser=(word, NORMALISERS[word]) if word and translated else None,
            apart=self._sweep.selection.articles == "held_out" and use in task.apart,
            declared=declared if is_declared(self._sweep, task.name) else None,
            plugins=bringers_of(declared, plugins_of(self._sweep)),
        )
        return self._made.setdefault(rows, rows)

    def _identity(self, task: Task, use: str) -> str:
        """Identity of the data that a use's rows are cut from, and of the cut."""
        identities = [self._inventory.data[source.hub_id] for source in task.sources_of(use)]
        cuts = [[one.split, one.filter] for one in task.slices_of(use)]
        if len(identities) == 1 and not cuts[0][1]:
            return identities[0]
        return sha256_of([identities, cuts])
