"""Whether the models of a sweep can take its arms: asked of their files, before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from xstilts.config.adapt import Adapt
from xstilts.config.adapt_checks import arms_of
from xstilts.config.families import RUNNING
from xstilts.config.recipe import PHASES
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.files import read_json
from xstilts.plan.inventory import ModelFacts
from xstilts.run.adapters import adapter_problems

SHARED_LAYERS = ("albert",)
"""Model types whose layers are the same weights, so that no layer has a rate, or stays, alone."""


def check_arms(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """What models cannot take of what the sweep says or may draw, a line for each rule."""
    found: dict[tuple[str, str], Problem] = {}
    for phase in PHASES:
        for where, adapt in arms_of(sweep, phase):
            for name, facts in models.items():
                for problem in _unfit(where, adapt, name, facts):
                    found.setdefault((where, problem.rule), problem)
    yield from found.values()


def _unfit(where: str, adapt: Adapt, model: str, facts: ModelFacts) -> Iterator[Problem]:
    frozen = adapt.frozen or 0
    if frozen > facts.num_layers:
        rule = f"models.{model} has {facts.num_layers} layers"
        yield Problem(where, rule, f"frozen: {{layers: {frozen}}}", "freeze fewer")
    if frozen or adapt.layer_decay < 1:
        kind = read_json(Path(facts.path) / "config.json").get("model_type")
        if kind in SHARED_LAYERS:
            rule = f"the layers of models.{model} ({kind}) are the same weights"
            others = ", ".join(name for name in RUNNING if name not in SHARED_LAYERS)
            repair = f"frozen layers and layer_decay are for {others}"
            yield Problem(where, rule, str(adapt), repair)
    if adapt.lora is not None:
        yield from adapter_problems(where, adapt.lora, model, Path(facts.path))
