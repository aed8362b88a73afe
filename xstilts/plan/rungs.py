"""Lower rungs of a race: a trial's stages, each with a share of its budget.

A run at a lower rung trains the intermediate and the targets on that share of the examples that
they have in the whole, by the same recipe: stages of their own, which nothing else reads. The last
rung is the trial itself, stage by stage. Nothing of a lower rung is evaluated, for dev scores alone
say who runs next: a target without training has nothing there beside the intermediate.
"""

from __future__ import annotations

from dataclasses import replace

from xstilts.plan.stage import Pretrained, Train
from xstilts.plan.trial_plan import TrialPlan


def at_rung(plan: TrialPlan, rung: float) -> TrialPlan:
    """The plan of the trial that trains a share in (0, 1] of every budget; at 1 the plan itself."""
    if rung == 1:
        return plan
    encoder = plan.encoder
    if isinstance(encoder, Train):
        encoder = _cut(encoder, encoder.parent, rung)
    groups = tuple(
        replace(
            group,
            cells=tuple(
                replace(cell, stage=_cut(cell.stage, encoder, rung)) for cell in group.cells
            ),
        )
        for group in plan.target_sets
        if group.cells
    )
    trained = {target for group in groups for target in group.targets}
    subset = None if plan.subset is None else tuple(x for x in plan.subset if x in trained)
    return replace(
        plan,
        trial_id=f"{plan.trial_id}-r{rung}",
        encoder=encoder,
        target_sets=groups,
        subset=subset,
        rung=rung,
        signals=(),  # they are of the whole encoder
        probes=(),
    )


def _cut(stage: Train, parent: Pretrained | Train, share: float) -> Train:
    """A stage, and the links of its chain before it, with a share of the examples of each of its
    parts, none of which it loses."""
    links = stage.links_before
    parts = tuple(
        replace(part, examples=max(1, round(share * part.examples))) for part in stage.parts
    )
    before = _cut(links[-1], parent, share) if links else parent
    return replace(stage, parent=before, parts=parts)
