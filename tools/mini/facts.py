"""Who may be said to have to do with what, in which split: facts are divided before writing.

A fact is a pair of a person and a value (a thing, a place, a time, a state, another person, ...).
Each pair belongs to exactly one split, and everything a split says, true or false, uses its pairs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tools.mini import lexicon
from tools.mini.grammar import Clause

# Shares of all facts; each person has at least two values of every slot in every split.
SHARES: dict[str, float] = {
    "pretraining": 0.40,
    "intermediate_train": 0.16,
    "intermediate_validation": 0.08,
    "train": 0.18,
    "validation": 0.08,
    "test": 0.10,
}
SPLITS = tuple(SHARES)


@dataclass(frozen=True, slots=True)
class Domain:
    """What a world speaks of. Each split takes at least one of them, so six are the fewest."""

    things: tuple[str, ...] = tuple(lexicon.KIND_OF)
    places: tuple[str, ...] = lexicon.PLACES

    def __post_init__(self) -> None:
        for values, known in ((self.things, lexicon.KIND_OF), (self.places, lexicon.PLACES)):
            if len(values) < len(SPLITS) or not set(values) <= set(known):
                raise ValueError(f"a domain has at least {len(SPLITS)} of {', '.join(known)}")

    def values(self) -> dict[str, tuple[str, ...]]:
        """What a person may have to do with, by slot."""
        return {
            "thing": self.things,
            "place": self.places,
            "time": lexicon.TIMES,
            # Opposites and synonyms stay together: a group is named by its first word.
            "state": tuple(group[0][0] for group in lexicon.STATES),
            "activity": tuple(group[0][0] for group in lexicon.ACTIVITIES),
        }


_OPPOSITE_DEED = lexicon.opposites(lexicon.DEEDS)
_KINDS_OF_CLAUSE = ("deed", "dealing", "activity", "state", "place")


def side_of(groups: Sequence[lexicon.Group], name: str, rng: random.Random) -> tuple[str, ...]:
    """One of the two sides of the group that is named by its first word."""
    group = next(group for group in groups if group[0][0] == name)
    return group[rng.randrange(2)]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one split: the values of each person by slot."""

    split: str
    values: dict[str, dict[str, tuple[str, ...]]] = field(repr=False)

    def pairs(self) -> set[tuple[str, str]]:
        """All facts; a pair of two persons is in the order of the alphabet."""
        found: set[tuple[str, str]] = set()
        for person, slots in self.values.items():
            for slot, values in slots.items():
                for value in values:
                    is_person = slot == "person" and value < person
                    found.add((value, person) if is_person else (person, value))
        return found

    def draw(self, rng: random.Random, person: str, slot: str, other_than: str = "") -> str:
        """A value of the person's slot."""
        values = [value for value in self.values[person][slot] if value != other_than]
        return rng.choice(values)

    def clause(self, rng: random.Random, kind: str, person: str = "") -> Clause:
        """A bare clause of a kind: what is asserted of whom, no place, time or quality yet."""
        while not person or (kind == "dealing" and not self.values[person]["person"]):
            person = rng.choice(lexicon.PERSONS)
        if kind == "deed":
            verb = rng.choice(tuple(_OPPOSITE_DEED))
            return Clause(person, verb, object=self.draw(rng, person, "thing"))
        if kind == "dealing":
            verb = rng.choice(rng.choice(lexicon.DEALINGS))
            return Clause(person, verb, object=self.draw(rng, person, "person"))
        if kind == "activity":
            name = self.draw(rng, person, "activity")
            return Clause(person, rng.choice(side_of(lexicon.ACTIVITIES, name, rng)))
        if kind == "state":
            name = self.draw(rng, person, "state")
            return Clause(person, state=rng.choice(side_of(lexicon.STATES, name, rng)))
        return Clause(person, place=self.draw(rng, person, "place"))

    def fill(self, rng: random.Random, clause: Clause, *slots: str) -> Clause:
        """The clause with the named slots drawn, as far as it can have them."""
        is_deed = clause.object in lexicon.KIND_OF
        for slot in slots:
            if slot == "place" and not clause.place:
                place = self.draw(rng, clause.subject, "place")
                relation = "near" if rng.random() < 0.25 else "in"
                clause = clause.with_(place=place, relation=relation)
            elif slot == "time":
                clause = clause.with_(time=self.draw(rng, clause.subject, "time"))
            elif slot == "adverb" and clause.verb != "be":
                adverbs = lexicon.flatten(lexicon.ADVERBS)
                clause = clause.with_(adverb=rng.choice(adverbs))
            elif slot == "number" and is_deed:
                clause = clause.with_(number=rng.choice(lexicon.NUMBERS))
            elif slot == "adjective" and is_deed:
                clause = clause.with_(adjective=draw_quality(rng))
        return clause

    def event(self, rng: random.Random, num_extras: int, kinds: Sequence[str] = ()) -> Clause:
        """A clause of any kind with some optional slots."""
        kind = rng.choice(kinds or _KINDS_OF_CLAUSE)
        extras = ["place", "time", "adverb"]
        if kind == "deed":
            extras += ["adjective", "adjective", "number"]
        return self.fill(rng, self.clause(rng, kind), *rng.sample(extras, num_extras))


def draw_quality(rng: random.Random) -> str:
    """A colour or another quality of a thing."""
    if rng.random() < 0.4:
        return rng.choice(lexicon.COLOURS)
    return rng.choice(lexicon.flatten(lexicon.QUALITIES))


def split_facts(seed: int, domain: Domain) -> dict[str, Facts]:
    """Divide all facts of the world over the splits."""
    values: dict[str, dict[str, dict[str, tuple[str, ...]]]]
    values = {split: {person: {} for person in lexicon.PERSONS} for split in SPLITS}
    for person in lexicon.PERSONS:
        for slot, pool in domain.values().items():
            rng = random.Random(f"{seed}/facts/{person}/{slot}")
            for split, share in _divide(rng, pool).items():
                values[split][person][slot] = share
    partners: dict[str, dict[str, list[str]]]
    partners = {split: {person: [] for person in lexicon.PERSONS} for split in SPLITS}
    rng = random.Random(f"{seed}/facts/persons")
    for one, other in combinations(lexicon.PERSONS, 2):
        split = rng.choices(SPLITS, tuple(SHARES.values()))[0]
        partners[split][one].append(other)
        partners[split][other].append(one)
    for split in SPLITS:
        for person in lexicon.PERSONS:
            values[split][person]["person"] = tuple(partners[split][person])
    return {split: Facts(split, values[split]) for split in SPLITS}


def _divide(rng: random.Random, pool: Sequence[str]) -> dict[str, tuple[str, ...]]:
    shuffled = rng.sample(list(pool), len(pool))
    least = 2 if len(pool) >= 2 * len(SPLITS) else 1
    sizes = {split: max(least, int(share * len(pool))) for split, share in SHARES.items()}
    sizes["pretraining"] = len(pool) - sum(sizes[split] for split in SPLITS[1:])
    shares: dict[str, tuple[str, ...]] = {}
    start = 0
    for split, size in sizes.items():
        shares[split] = tuple(shuffled[start : start + size])
        start += size
    return shares
