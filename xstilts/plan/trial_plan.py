"""What a trial does, stage by stage, as `xstilts.plan.plan` lays it out.

Targets that are fine-tuned on the same rows are a set with one training stage for each point of the
inner search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.config.space import Point
from xstilts.files import derive_seed
from xstilts.plan.stage import Pretrained, Signal, Train
from xstilts.records import CONFIRM, RUNG, SEARCH


@dataclass(frozen=True, slots=True)
class Cell:
    """One encoder x one target set x one set of target parameters: a training stage, the last of
    its chain where there is one."""

    point: Point
    stage: Train


@dataclass(frozen=True, slots=True)
class TargetSet:
    """Targets that share a training stage, with the cells of the inner search.

    Retrieval targets have no cells: they are evaluated on the encoder itself.
    """

    name: str
    targets: tuple[str, ...]
    cells: tuple[Cell, ...]

    def label(self, number: int, link: Train | None = None) -> str:
        """What a trial calls the training of its cell of that number, from 0, or that of a link
        before it."""
        label = f"{self.name} {number + 1}/{len(self.cells)}"
        return f"{label}, {link.label}" if link else label


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """Everything that one trial does. `rates` holds the share of every intermediate task, in the
    unit of the intermediate.

    `confirms` is None in search. A trial that confirms what search chose scores the targets that
    it names, each trained at one point of the inner search. `subset` are the only targets of a
    race's trial; None where it has all of the sweep's, or confirms. `rung` is the share of every
    budget that it trains; below 1 it is a trial of its own (`xstilts.plan.rungs`). `signals` and
    `probes` are of the encoder, whatever targets there are.
    """

    trial_id: str
    config_id: str
    point: Point
    seed: int
    model: str
    intermediate: str
    rates: Mapping[str, float]
    pretrained: Pretrained
    encoder: Pretrained | Train
    target_sets: tuple[TargetSet, ...]
    confirms: Mapping[str, Point] | None = None
    subset: tuple[str, ...] | None = None
    rung: float = 1.0
    signals: tuple[Signal, ...] = ()
    probes: tuple[Signal, ...] = ()

    @property
    def phase(self) -> str:
        """`search`, the baseline's trials too, `confirm`, or `rung` of what trains less."""
        if self.is_short:
            return RUNG
        return SEARCH if self.confirms is None else CONFIRM

    @property
    def is_short(self) -> bool:
        """Whether it is of a lower rung: it trains less than the whole."""
        return self.rung < 1

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that the trial scores."""
        return tuple(target for group in self.target_sets for target in group.targets)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Those of them that are evaluated: none of a run at a lower rung, which has dev alone."""
        return () if self.is_short else self.targets

    @property
    def training_stages(self) -> tuple[Train, ...]:
        """All training stages: the intermediate, if there is one, then every cell's, the links of
        its chain before it. One that cells share stands once."""
        cells = [cell.stage for group in self.target_sets for cell in group.cells]
        chained = (stage for last in cells for stage in (*last.links_before, last))
        encoder = (self.encoder,) if isinstance(self.encoder, Train) else ()
        return (*encoder, *dict.fromkeys(chained))

    @property
    def target_stages(self) -> tuple[Train, ...]:
        """Those of them that are targets'."""
        return self.training_stages[isinstance(self.encoder, Train) :]


def retried(stage: Train, attempt: int) -> Train:
    """The stage with the seed of a further attempt; attempt 0 is the stage itself.

    A degenerate run says more about its draw than about its configuration.
    """
    return replace(stage, seed=derive_seed(stage.seed, "retry", str(attempt))) if attempt else stage


def target_sets(sweep: Sweep) -> dict[str, tuple[str, ...]]:
    """The targets by the task whose training data they are fine-tuned on."""
    groups: dict[str, tuple[str, ...]] = {}
    for target in sweep.targets:
        head = find_task(sweep, target).head
        groups[head] = (*groups.get(head, ()), target)
    return groups
