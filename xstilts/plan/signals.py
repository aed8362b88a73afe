"""What is read off the encoders of a sweep by forward passes alone: signals of a race, and probes.

Signals read parallel text and the English dev sets of the race's targets, probes parallel text and
what targets are scored on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from xstilts.config.derive import (
    links_of,
    parallel_texts,
    parallel_use,
    selected_targets,
)
from xstilts.config.probes import FERTILITY
from xstilts.config.schema import Sweep
from xstilts.plan.inventory import Inventory
from xstilts.plan.stage import (
    PROBE,
    RETRIEVAL,
    Pretrained,
    Rows,
    Signal,
    Train,
    retrieval_layer,
)
from xstilts.tasks import Task

PROBED_ROWS = 1000
"""Rows of a dev set that a probe reads at most: their vectors are held in every layer."""

ONE_STATE = (RETRIEVAL, "anisotropy", "alignment", "language_identity")
"""What is told first of one hidden state: the one that retrieval pools, fixed by depth."""

RowsOf = Callable[[Task, str, tuple[str, ...], int, int | None], Rows]


class Readings:
    """Makes the stages that read something off the encoders of one sweep.

    Args:
        rows: makes rows of a task, a use, languages, a length and a limit.
        max_length: the length of a task's sequences as a target, of a model.
        precision, device: those of the computation.
    """

    def __init__(
        self,
        sweep: Sweep,
        inventory: Inventory,
        rows: RowsOf,
        max_length: Callable[[str, str], int],
        precision: str,
        device: str,
    ):
        self._sweep, self._inventory = sweep, inventory
        self._rows, self._max_length = rows, max_length
        self._how = (precision, device)

    def signals(self, encoder: Pretrained | Train, model: str, seed: int) -> tuple[Signal, ...]:
        """The signals of an encoder; those of the first seed stand for a configuration."""
        if seed != self._sweep.seeds[0]:
            return ()
        named = self._signal_rows(model)
        return tuple(self._stage(encoder, model, name, rows) for name, rows in named)

    def probes(
        self, encoder: Pretrained | Train, pretrained: Pretrained, scored: Iterable[Rows]
    ) -> tuple[Signal, ...]:
        """The probes of an encoder. Fertility is of the tokenizer, hence of the pretrained model
        whatever was trained since; it reads the rows that targets are scored on."""
        spec, model = self._sweep.probes, pretrained.model
        if spec is None:
            return ()
        found = []
        if FERTILITY in spec.read:
            found += [self._stage(pretrained, model, FERTILITY, rows) for rows in scored]
        for rows in self._probed_rows(model):
            found += [self._stage(encoder, model, name, rows) for name in spec.of_text]
        return tuple(found)

    def rows(self, model: str) -> Iterator[Rows]:
        """All rows that are read with a model, and that nothing else need read."""
        yield from (rows for _, rows in self._signal_rows(model))
        yield from self._probed_rows(model)

    def _stage(self, encoder: Pretrained | Train, model: str, name: str, rows: Rows) -> Signal:
        layer = None
        if name in ONE_STATE:
            layer = retrieval_layer(self._inventory.models[model].num_layers)
        return Signal(encoder, name, rows, layer, *self._how)

    def _signal_rows(self, model: str) -> Iterator[tuple[str, Rows]]:
        """The signals that a sweep asks for, each with its rows: one of retrieval, a probe for each
        set of targets with an English dev set that has classes. Targets that share one share it,
        and chains with the same last link."""
        sweep = self._sweep
        if RETRIEVAL in sweep.search.signals:
            yield RETRIEVAL, self._parallel_rows(model, "search.parallel", None)
        if PROBE in sweep.search.signals:
            heads = [task.head for task in reversed(selected_targets(sweep))]
            probed = {links_of(sweep, head)[-1].name: head for head in heads}
            for head in reversed(probed.values()):
                task = links_of(sweep, head)[-1]
                if task.kind_spec.is_probed:
                    length, languages = self._max_length(model, head), (task.train_language,)
                    yield PROBE, self._rows(task, "dev", languages, length, PROBED_ROWS)

    def _probed_rows(self, model: str) -> Iterator[Rows]:
        """The parallel text of the probes, where one of them reads it."""
        spec = self._sweep.probes
        if spec is not None and spec.of_text:
            yield self._parallel_rows(model, "probes.parallel", spec.sentences)

    def _parallel_rows(self, model: str, where: str, limit: int | None) -> Rows:
        task, languages = parallel_texts(self._sweep)[where]
        length = self._max_length(model, task.name)
        return self._rows(task, parallel_use(task), languages, length, limit)
