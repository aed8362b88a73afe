"""Plans: from a point of the search space to the stages of one trial.

A pure function of the sweep, the inventory, the point and the seed, so that the driver, the
worker and `xstilts plan` agree on every fingerprint without talking to each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xstilts.config.derive import (
    NONE,
    languages_of,
    links_of,
    part_task,
    retrained,
    task_of,
)
from xstilts.config.own_tasks import find_task
from xstilts.config.recipe import StageRecipe
from xstilts.config.schema import IntermediateSpec, MatchSpec, MlmSpec, Sweep
from xstilts.config.space import Point
from xstilts.files import sha256_of
from xstilts.plan.inventory import Inventory
from xstilts.plan.matching import steps_of, with_tokens_of
from xstilts.plan.mixture import allocate, num_examples, shares_of, shares_of_examples
from xstilts.plan.rungs import at_rung
from xstilts.plan.signals import Readings
from xstilts.plan.stage import Evaluate, Part, Pretrained, Rows, Train, retrieval_layer
from xstilts.plan.stage_recipe import StageRecipes
from xstilts.plan.sweep_rows import SweepRows
from xstilts.plan.trial_plan import Cell, TargetSet, TrialPlan, target_sets
from xstilts.tasks import Task


class Planner:
    """Plans the trials of one sweep.

    `target_points` gives the points of the inner search of each target set, the same for all
    seeds; sweeps that began before have one set a seed, under `SET|SEED`.
    """

    def __init__(
        self,
        sweep: Sweep,
        inventory: Inventory,
        target_points: Mapping[str, Sequence[Point]],
    ):
        self.sweep = sweep
        self.inventory = inventory
        self.target_points = target_points
        self._recipes = StageRecipes(sweep, inventory)
        self._rows = SweepRows(sweep, inventory)
        self.device = "gpu" if sweep.resources.gpus_per_trial > 0 else "cpu"
        self.precision = sweep.resources.training_precision
        self.scoring_precision = sweep.resources.scoring_precision
        self.world_size = sweep.resources.processes
        how = self.scoring_precision, self.device
        self._readings = Readings(sweep, inventory, self._rows.of, self._max_length, *how)

    def plan(
        self,
        point: Point,
        seed: int,
        confirms: Mapping[str, Point] | None = None,
        targets: Collection[str] | None = None,
        rung: float = 1.0,
    ) -> TrialPlan:
        """The plan of the trial at a point of the encoder space with a seed.

        Args:
            confirms: of a trial that confirms search's choice: its targets, each with the one point
                of the inner search at which it is trained.
            targets: of a race's trial: the only ones that it scores. Its stages are those that it
                has for them with all others beside.
            rung: the share of every budget that is trained; see `xstilts.plan.rungs`.
        """
        model, intermediate = point["model"], point["intermediate"]
        facts = self.inventory.models[model]
        pretrained = Pretrained(
            model, facts.path, facts.weights, facts.tokenizer, facts.family_version
        )
        encoder: Pretrained | Train = pretrained
        rates: dict[str, float] = {}
        if intermediate != NONE:
            encoder, rates = self._intermediate(pretrained, intermediate, point, seed)
        config_id = sha256_of(point)[:12]
        plan = TrialPlan(
            trial_id=f"{intermediate}-{config_id[:8]}-s{seed}",
            config_id=config_id,
            point=point,
            seed=seed,
            model=model,
            intermediate=intermediate,
            rates=rates,
            pretrained=pretrained,
            encoder=encoder,
            target_sets=tuple(self._target_sets(encoder, point, seed, confirms, targets)),
            confirms=confirms,
            signals=self._readings.signals(encoder, model, seed) if confirms is None else (),
            subset=(
                None
                if targets is None
                else tuple(name for name in self.sweep.targets if name in targets)
            ),
        )
        if confirms is None and self.sweep.probes is not None:
            scored = (self.evaluation(plan, name, None).rows for name in self.sweep.targets)
            plan = replace(plan, probes=self._readings.probes(encoder, pretrained, scored))
        return at_rung(plan, rung)

    def _target_sets(
        self,
        encoder: Pretrained | Train,
        point: Point,
        seed: int,
        confirms: Mapping[str, Point] | None,
        subset: Collection[str] | None,
    ) -> Iterator[TargetSet]:
        for name, targets in target_sets(self.sweep).items():
            if subset is not None:
                targets = tuple(target for target in targets if target in subset)
            points = self.target_points.get(f"{name}|{seed}") or self.target_points.get(name, ())
            if confirms is not None:
                targets = tuple(target for target in targets if target in confirms)
                # Those of a set share their training stage, hence its point.
                points = [confirms[target] for target in targets[:1]]
            if targets:
                yield TargetSet(name, targets, self._cells(encoder, name, point, seed, points))

    def with_encoder(self, plan: TrialPlan, encoder: Train) -> TrialPlan:
        """The plan with another intermediate stage; the cells go on from it."""
        groups = tuple(
            replace(
                group,
                cells=tuple(
                    replace(cell, stage=cell.stage.grown_from(encoder)) for cell in group.cells
                ),
            )
            for group in plan.target_sets
        )
        signals, probes = (
            tuple(
                replace(one, parent=encoder) if one.parent == plan.encoder else one for one in read
            )
            for read in (plan.signals, plan.probes)
        )
        return replace(plan, encoder=encoder, target_sets=groups, signals=signals, probes=probes)

    def _max_length(self, model: str, task: str) -> int:
        last = links_of(self.sweep, task)[-1].name
        return self._recipes.of_link(model, task, last, {}).max_length

    def evaluation(self, plan: TrialPlan, target: str, cell: Cell | None) -> Evaluate:
        """The evaluation of a target on the cell that was chosen for it, or on the encoder.

        Sequences are cut where training cut them.
        """
        task = find_task(self.sweep, target)
        parent = cell.stage if cell else plan.encoder
        split = self.sweep.evaluation.split
        languages = languages_of(self.sweep, task)
        own = {**_overrides(plan.point, "target"), **(cell.point if cell else {})}
        last = links_of(self.sweep, task.head)[-1].name
        max_length = self._recipes.of_link(plan.model, task.head, last, own).max_length
        layer = None
        if task.kind_spec.pools_a_layer:
            layer = retrieval_layer(self.inventory.models[plan.model].num_layers)
        rows = self._rows.of(task, split, languages, max_length, self.sweep.evaluation.examples)
        fitted = None
        if task.fitted_on and task.fitted_on != split:
            fitted = self._rows.of(task, task.fitted_on, languages, max_length)
        pool = self._rows.pool(task, max_length)
        precision = self.scoring_precision
        return Evaluate(parent, rows, split, layer, precision, fitted, self.device, pool)

    def final(self, chosen: Train, best_step: int) -> Train | None:
        """The stage that trains a chosen one again with the rows that selected it, for as many
        updates a row as it had at its chosen check; None where that is not asked for."""
        (part,) = chosen.parts
        task = next((t for t in retrained(self.sweep) if t.name == part.train.task), None)
        if task is None:
            return None
        whole = self._rows.of(task.whole(), "train", (task.train_language,), part.train.max_length)
        drawn = min(best_step * part.batch_size, part.examples)
        examples = max(1, round(drawn * whole.num_rows / part.train.num_rows))
        whole = replace(whole, whole=True)
        rows = replace(part, train=whole, dev=None, pivots=None, examples=examples)
        # The last of its checks, unless it averages some: no dev set is left to choose by.
        kept = chosen.recipe.keep
        recipe = replace(chosen.recipe, patience=0, keep="last" if kept == "best" else kept)
        return replace(chosen, phase="final", parts=(rows,), recipe=recipe)

    def rows_needed(self, model: str) -> list[Rows]:
        """All rows that trials of the sweep may read with a model, whatever is proposed."""
        needed: dict[Rows, None] = {}
        for spec in self.sweep.intermediates.values():
            for task in (part_task(self.sweep, spec, name) for name in spec.tasks):
                for length in self._recipes.lengths(model, "intermediate", task.name):
                    needed[self._rows.part(spec, task, length)] = None
                    if "dev" in task.splits:
                        needed[self._rows.of(task, "dev", (task.train_language,), length)] = None
        split, limit = self.sweep.evaluation.split, self.sweep.evaluation.examples
        for target in (find_task(self.sweep, name) for name in self.sweep.targets):
            head = task_of(self.sweep, target.head)
            for link in links_of(self.sweep, target.head):
                for length in self._recipes.lengths(model, "target", target.head, link.name):
                    for use in ("train", "dev"):
                        if use in link.splits:
                            needed[self._rows.of(link, use, (link.train_language,), length)] = None
                    if link in retrained(self.sweep):
                        whole = self._rows.of(link.whole(), "train", (link.train_language,), length)
                        needed[replace(whole, whole=True)] = None
            # Sequences are cut where the last link cut them.
            for length in self._recipes.lengths(model, "target", target.head, link.name):
                if (pivots := self._rows.pivots(head, length)) is not None:
                    needed[pivots] = None
                languages = languages_of(self.sweep, target)
                needed[self._rows.of(target, split, languages, length, limit)] = None
                if target.fitted_on and target.fitted_on != split:
                    needed[self._rows.of(target, target.fitted_on, languages, length)] = None
                if (pool := self._rows.pool(target, length)) is not None:
                    needed[pool] = None
        needed |= dict.fromkeys(self._readings.rows(model))
        return list(needed)

    def _intermediate(
        self, parent: Pretrained, name: str, point: Point, seed: int
    ) -> tuple[Train, dict[str, float]]:
        spec = self.sweep.intermediates[name]
        if spec.match is not None:
            return self._matched(parent, name, point, seed, spec.match)
        overrides = _overrides(point, "intermediate")
        overrides.pop("rates", None)
        model = parent.model
        recipes = {
            task: self._recipes.of(model, "intermediate", task, overrides) for task in spec.tasks
        }
        tasks = {name: part_task(self.sweep, spec, name) for name in spec.tasks}
        rows = {
            name: self._rows.part(spec, task, recipes[name].max_length)
            for name, task in tasks.items()
        }
        sizes = {name: part.num_rows for name, part in rows.items()}
        shares = shares_of(spec, sizes, point.get("intermediate.rates"))
        # One task keeps its own learning rate and epochs; a mixture takes the phase's.
        alone = spec.tasks[0] if len(spec.tasks) == 1 else ""
        common = self._recipes.of(model, "intermediate", alone, overrides)
        total = num_examples(spec, sizes, common.epochs)
        batch_sizes = {name: recipe.batch_size for name, recipe in recipes.items()}
        drawn = shares_of_examples(spec, shares, batch_sizes)
        counts = allocate(total, list(drawn.values()))
        parts = []
        for task, examples in zip(shares, counts, strict=True):
            if examples:
                alpha = _alpha(spec, tasks[task])
                part = self._part(tasks[task], recipes[task], rows[task], examples, alpha)
                parts.append(part)
        stage = Train(
            parent,
            "intermediate",
            name,
            tuple(parts),
            common,
            seed,
            self.precision,
            self.world_size,
            self.device,
        )
        return stage, shares

    def _matched(
        self, parent: Pretrained, name: str, point: Point, seed: int, match: MatchSpec
    ) -> tuple[Train, dict[str, float]]:
        """The steps, or the tokens, and the recipe of another intermediate, on its own task."""
        spec, (task_name,) = self.sweep.intermediates[name], self.sweep.intermediates[name].tasks
        other, _ = self._intermediate(parent, match.to, point, seed)
        task = part_task(self.sweep, spec, task_name)
        overrides = _overrides(point, "intermediate")
        overrides.pop("rates", None)
        length = self._recipes.of(parent.model, "intermediate", task_name, overrides).max_length
        examples, batch_size = steps_of(other)
        recipe = replace(other.recipe, batch_size=batch_size, max_length=length)
        rows = self._rows.part(spec, task, length)
        part = self._part(task, recipe, rows, examples, _alpha(spec, task))
        if match.by == "tokens":
            part = with_tokens_of(other, part, self.inventory, parent.model)
        stage = replace(other, label=name, parts=(part,), recipe=recipe)
        return stage, {task_name: 1.0}

    def rows_to_count(self, model: str) -> list[Rows]:
        """The training rows of which a plan needs to know how many tokens their examples have."""
        needed: dict[Rows, None] = {}
        for spec in self.sweep.intermediates.values():
            if spec.match is None or spec.match.by != "tokens":
                continue
            for one in (spec, self.sweep.intermediates[spec.match.to]):
                for task in (part_task(self.sweep, one, task) for task in one.tasks):
                    for length in self._recipes.lengths(model, "intermediate", task.name):
                        needed[self._rows.part(one, task, length)] = None
        return list(needed)

    def _cells(
        self,
        encoder: Pretrained | Train,
        name: str,
        point: Point,
        seed: int,
        points: Sequence[Point],
    ) -> tuple[Cell, ...]:
        task = task_of(self.sweep, name)
        if not task.is_trained:
            return ()
        assert points, f"{name}: no points of the inner search"
        return tuple(
            Cell(dict(own), self._chain(encoder, task, point, seed, own)) for own in points
        )

    def _chain(
        self,
        encoder: Pretrained | Train,
        target: Task,
        point: Point,
        seed: int,
        target_point: Point,
    ) -> Train:
        """A target's training stage at a point; of one that is trained in a chain its last link,
        whose parents are the links before it. All have the point's values."""
        overrides = {**_overrides(point, "target"), **target_point}
        parent = encoder
        for link in links_of(self.sweep, target.name):
            recipe = self._recipes.of_link(point["model"], target.name, link.name, overrides)
            rows = self.inventory.rows_of(link, "train", link.train_language)
            examples = max(1, round(recipe.epochs * rows))
            train = self._rows.of(link, "train", (link.train_language,), recipe.max_length)
            part = self._part(link, recipe, train, examples, 1.0)
            stage = Train(
                parent,
                "target",
                link.name,
                (replace(part, pivots=self._rows.pivots(target, recipe.max_length)),),
                recipe,
                seed,
                self.precision,
                self.world_size,
                self.device,
                carries_head=parent is not encoder,
            )
            parent = stage
        return stage

    def _part(
        self, task: Task, recipe: StageRecipe, train: Rows, examples: int, alpha: float
    ) -> Part:
        weights = [count**alpha for _, count in train.rows]
        dev = None
        if "dev" in task.splits:
            dev = self._rows.of(task, "dev", (task.train_language,), recipe.max_length)
        shares = tuple(weight / sum(weights) for weight in weights)
        return Part(train, dev, examples, recipe.batch_size, shares)


def _alpha(spec: IntermediateSpec, task: Task) -> float:
    """MLM smooths its languages; others give as many examples as they have rows."""
    return (spec.mlm or MlmSpec()).alpha if task.kind_spec.is_self_supervised else 1.0


def _overrides(point: Point, phase: str) -> dict[str, Any]:
    """The recipe fields that a point sets for a phase, and the values of its arm as `adapt.VALUE`,
    its name as `adapt`."""
    prefix, arm = f"{phase}.", f"adapt.{phase}"
    own = {key.removeprefix(prefix): v for key, v in point.items() if key.startswith(prefix)}
    return own | {
        f"adapt{key.removeprefix(arm)}": v
        for key, v in point.items()
        if key == arm or key.startswith(f"{arm}.")
    }
