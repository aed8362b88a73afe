"""The recipe of every stage as `plan` shows it: what is equal everywhere once, the rest by stage.

These are the values that stages are trained by: the recipe's under what the sweep file says, no
sequence longer than the model reads. What a trial draws from the search space is called searched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from xstilts.config.adapt import flat, is_of_an_arm
from xstilts.config.derive import NONE, phase_of
from xstilts.config.recipe import FIELDS, PHASES, SHOWN
from xstilts.config.recipe_checks import override_sections
from xstilts.config.recipes import ALL_ROWS
from xstilts.config.schema import Sweep
from xstilts.plan.plan import Planner
from xstilts.plan.stage import READ_BY_SOME, Train
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.columns import Blocks

SEARCHED, UNREAD = "searched", "unread"
LABEL_WIDTH = 22
WIDTH = 80


def trained_stages(example: Mapping[str, TrialPlan]) -> list[tuple[str, Train]]:
    """The stages of every candidate's plan with their names: each intermediate's, then a cell of
    each target set, the links of its chain before it."""
    stages = [
        (name, plan.encoder) for name, plan in example.items() if isinstance(plan.encoder, Train)
    ]
    for group in example[NONE].target_sets:
        for cell in group.cells[:1]:
            chain = (*cell.stage.links_before, cell.stage)
            stages += [(f"target {group.name}", stage) for stage in chain]
    return stages


def final_stages(planner: Planner, example: Mapping[str, TrialPlan]) -> list[tuple[str, Train]]:
    """The stages that follow selection, with their names, as long as they can be: of a target set
    whose chosen stage is that of its last check."""
    stages = []
    for group in example[NONE].target_sets:
        for cell in group.cells[:1]:
            final = planner.final(cell.stage, cell.stage.parts[0].num_steps)
            stages += [(f"final {group.name}", final)] if final else []
    return stages


def stage_recipes(
    sweep: Sweep, planner: Planner, example: Mapping[str, TrialPlan]
) -> dict[str, Any]:
    """The recipe of a sweep as a JSON-able dict.

    `stages` has one entry for each part of each stage: `values` by field, as the first values of
    the search space have them, and the names of those that are `searched`, and of those that are
    `unread` by the part's kind. Of a target without training it has the one value that its
    evaluation reads.
    """
    stages = []
    for name, stage in trained_stages(example):
        for part in stage.parts:
            unread = READ_BY_SOME - part.train.entry.kind_spec.recipe_fields
            values = stage.recipe_of(part).values | {"epochs": float(f"{part.epochs:.4g}")}
            entry = {"stage": name, "task": part.train.task, "values": values}
            searched = sorted(_searched(sweep, example, name, stage))
            stages.append(entry | {SEARCHED: searched, UNREAD: sorted(unread)})
    baseline = example[NONE]
    for group in baseline.target_sets:
        for target in group.targets if not group.cells else ():
            length = planner.evaluation(baseline, target, None).rows.max_length
            entry = {"stage": f"target {target}", "task": target, "values": {"max_length": length}}
            stages.append(entry | {SEARCHED: [], UNREAD: []})
    said = {
        f"{where}.{name}".removeprefix("recipe."): value
        for where, values in override_sections(sweep)
        for name, value in values.items()
    }
    for phase, own in sweep.recipe.adapt.items():
        values = {"": own} if isinstance(own, str) else flat(own) if phase in PHASES else {}
        said |= {f"adapt.{phase}.{name}".removesuffix("."): value for name, value in values.items()}
    return {"name": sweep.recipe.name, "overrides": said, "stages": stages}


def _searched(
    sweep: Sweep, example: Mapping[str, TrialPlan], name: str, stage: Train
) -> Iterator[str]:
    """The fields of a stage's recipe that the search decides."""
    point = example.get(name, example[NONE]).point
    fields = [field for field in FIELDS if f"{stage.phase}.{field}" in point]
    drawn = [one for one in point if one.startswith("adapt.") and phase_of(one) == stage.phase]
    inner = sweep.search.target.space if stage.phase == "target" else {}
    if drawn or any(map(is_of_an_arm, inner)):
        fields.append("adapt")
    if stage.phase == "target":
        # What a file says of a link wins over what is drawn for its chain.
        own = stage.label if stage.label != name.removeprefix("target ") else ""
        searched = {name for name in inner if not is_of_an_arm(name)}
        yield from {*fields, *searched} - {*sweep.recipe.targets.get(own, ())}
        return
    spec = sweep.intermediates[name]
    if spec.budget is not None:  # it says how long the stage is
        fields = [field for field in fields if field != "epochs"]
    yield from {*fields, *(("epochs",) if spec.rates == "search" else ())}


def recipe_table(recipe: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `stage_recipes` gives, for a terminal: stages with equal values share a row."""
    said = ", ".join(f"{name} {in_words(name, v)}" for name, v in recipe["overrides"].items())
    yield _wrapped(f"recipe {recipe['name']}{f', but {said}' if said else ''}")
    rows = [_shown(entry) for entry in recipe["stages"]]
    distinct = {name: {row[name] for row in rows if name in row} for name in SHOWN}
    common = {name: min(values) for name, values in distinct.items() if len(values) == 1}
    if common:
        values = ", ".join(f"{name} {value}" for name, value in common.items())
        yield _wrapped(f"every stage: {values}")
    header = [name for name, values in distinct.items() if len(values) > 1]
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry, row in zip(recipe["stages"], rows, strict=True):
        alike.setdefault(tuple(row.get(name, "-") for name in header), []).append(entry)
    lines = [
        (_labels(entries, recipe["stages"]), *values)
        for values, entries in alike.items()
        if set(values) != {"-"}
    ]
    if header:
        yield Blocks("", ("stage", *(name.replace("_", "\n") for name in header)), lines, gap=2)


def in_words(name: str, value: Any) -> str:
    """A value of a recipe as tables show it."""
    if name.endswith("dev_examples") and value == ALL_ROWS:
        return "all"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(entry: Mapping[str, Any]) -> dict[str, str]:
    values = {
        name: in_words(name, value)
        for name, value in entry["values"].items()
        if name not in entry[UNREAD]
    }
    return values | dict.fromkeys(entry[SEARCHED], SEARCHED)


def _labels(entries: Sequence[Mapping[str, Any]], among: Sequence[Mapping[str, Any]]) -> str:
    """The names of stages in lines; of one whose other tasks have other values, the tasks too."""
    labels: dict[str, None] = {}
    for entry in entries:
        name = entry["stage"]
        is_whole = all(other in entries for other in among if other["stage"] == name)
        labels[name if is_whole else f"{name}/{entry['task']}"] = None
    # `textwrap` breaks at no such blank, so names stay whole.
    text = ", ".join(label.replace(" ", "\xa0") for label in labels)
    lines = textwrap.wrap(text, LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\xa0", " ")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
