"""What a valid sweep implies: its search spaces, its candidates, the languages of its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from statistics import fmean
from typing import Any

from xstilts.config.adapt import adaptations_of
from xstilts.config.own_tasks import find_task, find_trained
from xstilts.config.recipe import PHASES, Override, Recipe
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import WEIGHTED, IntermediateSpec, Sweep
from xstilts.config.search_spec import ParameterSpec
from xstilts.config.space import (
    Choice,
    Dimension,
    Parameter,
    Point,
    Simplex,
    Space,
    in_dependency_order,
)
from xstilts.tasks import Task
from xstilts.tasks.benchmarks import BENCHMARKS, Benchmark, all_languages
from xstilts.tasks.task import POOL

ROUNDING = 0.005
"""So far may rates be from a sum of 1 and be taken for shares that were rounded."""

NONE = "none"
"""The empty mixture: the baseline."""

FIRST_FRESH = 1000
"""The first of the seeds of confirmation, where a sweep file says only how many."""


def candidates(sweep: Sweep) -> tuple[str, ...]:
    """The values of `intermediate` that the search may draw."""
    spec = sweep.search.encoder.space.get("intermediate")
    return spec.choice if spec and spec.choice else (NONE, *sweep.intermediates)


def confirm_seeds(sweep: Sweep) -> tuple[int, ...]:
    """The seeds of confirmation: those that the file names, or so many that search does not use."""
    if sweep.confirm is None:
        return ()
    wanted = sweep.confirm.seeds
    if isinstance(wanted, tuple):
        return wanted
    return tuple(islice(fresh_seeds(sweep), wanted))


def fresh_seeds(sweep: Sweep) -> Iterator[int]:
    """The seeds that confirmation counts out, without end: those that search does not use."""
    return (seed for seed in count(FIRST_FRESH) if seed not in sweep.seeds)


def is_fixed(sweep: Sweep, target: str, intermediate: str) -> bool:
    """Whether nothing is trained on the way to a target, so that every seed gives the same: the
    baseline's encoder as it is, for a target without a head."""
    return intermediate == NONE and not find_task(sweep, find_task(sweep, target).head).is_trained


def most_confirmed(sweep: Sweep) -> int:
    """How many trials confirmation has at most: a configuration may lead several targets, and is
    one trial a seed then."""
    if sweep.confirm is None:
        return 0
    trained = len(candidates(sweep)) - 1
    leaders = min(sweep.confirm.top, trained) * len(sweep.targets)
    # Each target has its own baseline where there are several, as with several models.
    baselines = min(len(sweep.targets), num_configurations(sweep))
    return min(leaders + baselines, num_configurations(sweep)) * len(confirm_seeds(sweep))


def searched(sweep: Sweep) -> list[Any]:
    """What a search asks for, as JSON: candidates, targets, seeds, number of configurations."""
    names = [list(candidates(sweep)), list(sweep.targets), list(sweep.seeds)]
    return [*names, num_configurations(sweep)]


def encoder_space(sweep: Sweep) -> Space:
    """The outer search space, with what a file may leave out: `intermediate` and `model`.

    Raises:
        ValueError: the conditions form a circle; `check` reports it before.
    """
    declared = sweep.search.encoder.space
    parameters = []
    if "intermediate" not in declared:
        parameters.append(Parameter("intermediate", Choice(candidates(sweep))))
    if "model" not in declared:
        parameters.append(Parameter("model", Choice(tuple(sweep.models))))
    trained = tuple(value for value in candidates(sweep) if value != NONE)
    for name, spec in declared.items():
        if spec.simplex:
            parameters += [
                _parameter(
                    name,
                    spec,
                    Simplex(mixture.tasks, spec.simplex_step),
                    also={"intermediate": (intermediate,)},
                    label=f"rate/{intermediate}",
                )
                for intermediate, mixture in sweep.intermediates.items()
                if mixture.rates == "search" and intermediate in trained
            ]
        else:
            # The baseline has no intermediate stage, hence none of its parameters.
            also = {"intermediate": trained} if phase_of(name) == "intermediate" else {}
            parameters.append(_parameter(name, spec, spec.dimension(), also))
    return Space(in_dependency_order(parameters))


def phase_of(name: str) -> str:
    """The phase of a parameter of the outer space, empty where it has none: of
    `intermediate.epochs`, as of `adapt.intermediate` and what that arm says."""
    first, *rest = name.split(".")
    if first == "adapt":
        return rest[0] if rest else ""
    return first if rest and first in PHASES else ""


def split_space(space: Space) -> tuple[list[Point], Space | None]:
    """A sweep's outer space in two: the points of intermediates that leave nothing to search but
    the model, as the baseline does, and what there is to search, None if nothing.

    A sampler that finds the baseline good would propose its one configuration again and again, for
    nothing that is tried teaches it otherwise.
    """
    roots = tuple(p for p in space.parameters if p.name in ("intermediate", "model"))
    names = space.values_of("intermediate")
    opened = {
        name
        for name in names
        for parameter in space.parameters
        if parameter not in roots and name in parameter.when.get("intermediate", names)
    }
    closed = [point for point in Space(roots).grid() if point["intermediate"] not in opened]
    return closed, space.where("intermediate", opened) if opened else None


def num_configurations(sweep: Sweep) -> int:
    """How many configurations a sweep tries: as many as asked for, or all that its space has."""
    space, wanted = encoder_space(sweep), sweep.search.encoder.trials
    return sum(1 for _ in islice(space.grid(), wanted)) if space.is_finite else wanted


def num_racing(sweep: Sweep) -> int:
    """The configurations that race: all but the baseline, of which there is one a model."""
    configs = num_configurations(sweep)
    return configs - min(len(sweep.models), configs)


def target_space(sweep: Sweep) -> Space:
    """The inner search space."""
    declared = sweep.search.target.space
    return Space(
        tuple(_parameter(name, spec, spec.dimension(), {}) for name, spec in declared.items())
    )


def task_of(sweep: Sweep, name: str) -> Task:
    """A task with the splits that the sweep trains and selects on."""
    task = find_task(sweep, name)
    return task.held_apart() if sweep.selection.articles == "held_out" else task


def links_of(sweep: Sweep, head: str) -> tuple[Task, ...]:
    """The tasks whose rows targets of a training stage are fine-tuned on, a stage each, one after
    the other: the links of a chain, else the one task."""
    task = task_of(sweep, head)
    return tuple(task_of(sweep, link) for link in task.chain) or (task,)


def benchmark_of(sweep: Sweep) -> Benchmark | None:
    """The benchmark whose average a sweep asks for; None for `custom`, the mean of what it has."""
    said = sweep.benchmark
    if not said.is_declared:
        return BENCHMARKS.get(said.name)
    targets = tuple(said.targets or ())
    wanted = said.languages
    if wanted != "all" and not isinstance(wanted, dict):
        named = {name: task_of(sweep, name).languages for name in targets}
        wanted = {name: tuple(x for x in has if x in wanted) for name, has in named.items()}
    languages = {} if wanted == "all" else wanted
    return Benchmark(said.name, targets, languages, said.split)


def benchmark_holes(sweep: Sweep) -> list[str]:
    """A line that says why no average of a sweep will be that of its benchmark; none if it will."""
    benchmark = benchmark_of(sweep)
    tasks = [task_of(sweep, name) for name in sweep.targets]
    scored = {task.name: languages_of(sweep, task) for task in tasks}
    reason = benchmark.lacks(tasks, scored, sweep.evaluation.split) if benchmark else ""
    repair = "the average will be custom/avg; name what is missing, or write benchmark: custom"
    return [f"benchmark: {reason}; {repair}"] if reason else []


def recipe_of(sweep: Sweep) -> Recipe:
    """The recipe that a sweep names, under what its file says instead."""
    said, checkpoint = sweep.recipe, sweep.selection.checkpoint
    kept = {} if checkpoint is None else {"keep": checkpoint}
    override = Override(
        everywhere={
            "intermediate": {**said.everywhere, **said.intermediate},
            "target": {**said.everywhere, **said.target, **kept},
        },
        tasks={"intermediate": said.tasks, "target": said.targets},
        adapt=adaptations_of(said.adapt),
    )
    return replace(RECIPES[said.name], override=override)


def normalised_rates(sweep: Sweep) -> list[str]:
    """A line for every mixture whose given rates do not sum to 1, with what they count as."""
    lines = []
    for name, spec in sweep.intermediates.items():
        total = sum(spec.rates.values()) if isinstance(spec.rates, dict) else 1.0
        if isinstance(spec.rates, dict) and abs(total - 1) > ROUNDING:
            shares = ", ".join(f"{task} {rate / total:.3g}" for task, rate in spec.rates.items())
            lines.append(f"intermediates.{name}.rates: sum to {total:g} and count as {shares}")
    return lines


def part_task(sweep: Sweep, spec: IntermediateSpec, name: str) -> Task:
    """A task of an intermediate, with the training rows that it reads there."""
    task = find_trained(sweep, name)
    if sweep.selection.articles == "held_out":
        task = task.held_apart()
    return task if task.kind_spec.is_self_supervised else task.variant(spec.translated, spec.where)


def train_languages(spec: IntermediateSpec, task: Task) -> tuple[str, ...]:
    """The languages of a task's training rows in an intermediate."""
    if task.kind_spec.is_self_supervised:
        chosen = spec.mlm.languages if spec.mlm else "all"
        return task.languages if chosen == "all" else tuple(chosen)
    return spec.languages or task.languages_of("train")


def overlaps(sweep: Sweep, intermediate: str, target: str) -> bool:
    """Whether an intermediate trains on rows that a target is fine-tuned on, such as MNLI's before
    XNLI, or the target's own; in whatever copy, and in translation; of a chain any link's."""
    spec = sweep.intermediates.get(intermediate)
    if spec is None:
        return False
    links = links_of(sweep, find_task(sweep, target).head)
    own = frozenset[tuple[str, str]]().union(*(link.origins_of("train") for link in links))
    return any(part_task(sweep, spec, name).origins_of("train") & own for name in spec.tasks)


def shared_rows(sweep: Sweep, intermediate: str) -> list[list[str]]:
    """Tasks of a mixture that hold the same training rows, such as MNLI and ANLI+."""
    spec = sweep.intermediates[intermediate]
    holders: dict[tuple[str, str], list[str]] = {}
    for name in spec.tasks:
        for origin in sorted(part_task(sweep, spec, name).origins_of("train")):
            holders.setdefault(origin, []).append(name)
    return [list(names) for names in dict.fromkeys(map(tuple, holders.values())) if names[1:]]


def pivots_of(sweep: Sweep, head: Task) -> tuple[str, ...]:
    """The languages whose dev labels select a training stage beside its own; none of a chain, whose
    links are other tasks."""
    is_selected = head.is_trained and "dev" in head.splits and not head.chain
    return (sweep.selection.pivot or ()) if is_selected else ()


def reads(sweep: Sweep) -> list[tuple[Task, str, str]]:
    """All that a sweep reads: tasks with a use and a language."""
    found: list[tuple[Task, str, str]] = []
    for spec in sweep.intermediates.values():
        for name in spec.tasks:
            task = part_task(sweep, spec, name)
            found += [(task, "train", language) for language in train_languages(spec, task)]
            if "dev" in task.splits:
                found.append((task, "dev", task.train_language))
    split = sweep.evaluation.split
    for target in (task_of(sweep, name) for name in sweep.targets):
        head, links = task_of(sweep, target.head), links_of(sweep, target.head)
        found += [
            (link, use, link.train_language)
            for link in links
            for use in ("train", "dev")
            if use in link.splits
        ]
        found += [(head, "validation", language) for language in pivots_of(sweep, head)]
        if links[-1] in retrained(sweep):
            found.append((links[-1].whole(), "train", links[-1].train_language))
        scored = dict.fromkeys((split, target.fitted_on or split))
        found += [(target, use, x) for use in scored for x in languages_of(sweep, target)]
        if POOL in target.splits:
            found += [(target, POOL, x) for x in target.languages_of(POOL)]
    for task, languages in parallel_texts(sweep).values():
        found += [(task, parallel_use(task), x) for x in languages]
    # Tasks hold mappings, so they cannot be keys themselves.
    distinct = {
        (task.name, str(task.splits.get(use)), use, x): (task, use, x) for task, use, x in found
    }
    return list(distinct.values())


def parallel_texts(sweep: Sweep) -> dict[str, tuple[Task, tuple[str, ...]]]:
    """The parallel text that is read, beside English in these languages, by where the file names
    it."""
    found: dict[str, tuple[Task, tuple[str, ...]]] = {}
    if sweep.search.parallel is not None:
        task = find_task(sweep, sweep.search.parallel)
        found["search.parallel"] = task, task.languages_of(parallel_use(task))
    if sweep.probes is not None and sweep.probes.parallel is not None:
        task = find_task(sweep, sweep.probes.parallel)
        found["probes.parallel"] = task, probed_languages(sweep)
    return found


def probed_languages(sweep: Sweep) -> tuple[str, ...]:
    """The languages, beside English, in which encoders are probed: of those that are asked for,
    else of all that targets are scored in, the ones that the parallel text has, in its order."""
    spec = sweep.probes
    if spec is None or spec.parallel is None:
        return ()
    wanted = {*(spec.languages or scored_languages(sweep))}
    task = find_task(sweep, spec.parallel)
    return tuple(x for x in task.languages_of(parallel_use(task)) if x in wanted)


def scored_languages(sweep: Sweep) -> set[str]:
    """The languages that any target is scored in."""
    return {x for name in sweep.targets for x in languages_of(sweep, task_of(sweep, name))}


def parallel_use(task: Task) -> str:
    """The use of a task's rows that a signal reads as parallel text; nothing is scored on it."""
    return "validation" if "validation" in task.splits else "test"


def retrained(sweep: Sweep) -> list[Task]:
    """The tasks that are trained once more after selection, with the rows that selected; of a chain
    the last link."""
    if not sweep.final.full_data:
        return []
    heads = dict.fromkeys(find_task(sweep, name).head for name in sweep.targets)
    tasks = {link.name: link for link in (links_of(sweep, name)[-1] for name in heads)}.values()
    return [task for task in tasks if task.cuts_dev_from_train]


def selected_targets(sweep: Sweep) -> tuple[Task, ...]:
    """The targets that have a dev set, in the order of the file."""
    tasks = (task_of(sweep, name) for name in sweep.targets)
    return tuple(task for task in tasks if "dev" in task.splits)


def chance_of(sweep: Sweep) -> float:
    """What drawing labels would score on the objective, 0-100: accuracy by the number of labels,
    next to nothing where positions or chunks must be right."""
    wanted = measured_by(sweep)
    tasks = [t for t in selected_targets(sweep) if wanted in ("dev/avg", f"dev/{t.name}")]
    by_label = (len(task.labels) if task.metrics == ("accuracy",) else 0 for task in tasks)
    chances = [100 / count if count else 0.0 for count in by_label]
    return fmean(chances) if chances else 0.0


def measured_by(sweep: Sweep) -> str:
    """The metric that a trial's record has as its objective: of dev/weighted, which only all trials
    together give, the plain mean."""
    metric = sweep.objective.metric
    return "dev/avg" if metric == WEIGHTED else metric


def languages_of(sweep: Sweep, target: Task) -> tuple[str, ...]:
    """The languages in which a sweep evaluates a target."""
    languages = target.languages_of(sweep.evaluation.split)
    if sweep.evaluation.translated:
        languages = tuple(language for language in languages if language in target.to_english)
    wanted = sweep.languages
    if isinstance(wanted, dict):  # targets that it does not name have all
        wanted = wanted.get(target.name, "all")
    if wanted == "all":
        wanted = all_languages(BENCHMARKS.get(sweep.benchmark.name), target)
    return tuple(language for language in languages if language in wanted)


def _parameter(
    name: str,
    spec: ParameterSpec,
    dimension: Dimension,
    also: Mapping[str, tuple[Any, ...]],
    label: str = "",
) -> Parameter:
    """A parameter under the file's conditions and those that follow from its name."""
    when: dict[str, tuple[Any, ...]] = dict(also)
    for parent, wanted in spec.when.items():
        allowed = tuple(wanted) if isinstance(wanted, list) else (wanted,)
        when[parent] = tuple(v for v in when.get(parent, allowed) if v in allowed)
    return Parameter(name, dimension, when, label or name)
