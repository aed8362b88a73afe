"""Worlds like the miniature benchmark's: another seed, other morphologies, another domain.

`world_of` writes a world's data sets and pretrains its own encoder, once; the shipped one is read
where it lies. Pretraining is the long part: 10,000 steps, as the shipped encoder had, take half an
hour on one idle core, and what a world is given is its caller's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tools.mini import lexicon
from tools.mini.facts import Domain
from tools.mini.languages import PROFILES, Profile
from tools.mini.pretrain import Recipe, pretrain
from tools.mini.world import World, write_benchmark

SHIPPED = "shipped"

STEPS = 10_000
"""Of a world's pretraining, as many as the shipped encoder had."""


def _turned(profile: Profile) -> Profile:
    """The profile with the other morphology."""
    return replace(profile, suffixed=1 - profile.suffixed)


def _morphology(seed: int) -> World:
    others = {code: _turned(profile) for code, profile in PROFILES.items() if code != "en"}
    return World(seed, {"en": PROFILES["en"], **others})


def _domain(seed: int) -> World:
    things, places = tuple(lexicon.KIND_OF), lexicon.PLACES
    return World(seed, domain=Domain(things[: 3 * len(things) // 4], places[len(places) // 4 :]))


WORLDS: dict[str, tuple[int, Callable[[int], World]]] = {
    "morphology": (1, _morphology),
    "domain": (2, _domain),
}
"""By name, a seed and what makes its world; beside them there is the shipped one."""


@dataclass(frozen=True, slots=True)
class Built:
    """Where a world is, as a sweep file names it."""

    model: str
    data: str


def world_of(name: str, folder: Path, steps: int) -> Built:
    """A world, built below the folder where it is not there yet; its encoder is pretrained for
    so many steps."""
    if name == SHIPPED:
        return Built("builtin:mini", "builtin:mini")
    seed, new_world = WORLDS[name]
    data, encoder = folder / name / "data", folder / name / f"encoder-{steps}"
    if not data.exists():
        write_benchmark(data, new_world(seed))
    if not (encoder / "config.json").exists():
        pretrain(encoder, seed, recipe=Recipe(steps=steps), new_world=new_world)
    return Built(str(encoder), str(data))
