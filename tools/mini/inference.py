"""Sentence pairs of the world: entailment, contradiction, neutral, and what happens next.

The hypothesis is drawn first and without its label; only the premise is made to fit the label, so
that nothing in a hypothesis tells which label it has.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tools.mini import lexicon
from tools.mini.facts import Facts
from tools.mini.grammar import Clause

LABELS = ("entailment", "neutral", "contradiction")

_OPPOSITES = {
    **lexicon.opposites(lexicon.DEEDS),
    **lexicon.opposites(lexicon.ACTIVITIES),
    **lexicon.opposites(lexicon.STATES),
    **lexicon.opposites(lexicon.QUALITIES),
}
_SYNONYMS = {
    **lexicon.synonyms(lexicon.DEEDS),
    **lexicon.synonyms(tuple((words,) for words in lexicon.DEALINGS)),
    **lexicon.synonyms(lexicon.ACTIVITIES),
    **lexicon.synonyms(lexicon.STATES),
    **lexicon.synonyms(lexicon.QUALITIES),
}


@dataclass(frozen=True, slots=True)
class Style:
    """What kinds of pairs a data set has: weights of the focus, and rates of variation."""

    focuses: dict[str, float]
    passive_rate: float
    fronting_rate: float
    negation_rate: float = 0.0
    claim_extra_rate: float = 0.1
    premise_extras: tuple[int, ...] = (0, 1)


# One kind of question, said in many forms: where the words stand must not matter, for in another
# language they stand elsewhere.
TARGET = Style({"quality": 1}, passive_rate=0.4, fronting_rate=0.4)
INTERMEDIATE = Style({"quality": 1}, passive_rate=0.4, fronting_rate=0.4, negation_rate=0.03)

# What is in question -> the kinds of clause it can be asked of.
_KINDS: dict[str, tuple[str, ...]] = {
    "place": ("deed", "deed", "dealing", "activity", "state"),
    "time": ("deed", "deed", "dealing", "activity", "state", "place"),
    "quality": ("deed",),
    "verb": ("deed", "activity"),
    "deed": ("deed",),
    "object": ("deed",),
    "partner": ("dealing",),
    "state": ("state",),
}


def draw_pair(rng: random.Random, facts: Facts, label: str, style: Style) -> tuple[Clause, Clause]:
    """A premise and a hypothesis that stand in the relation `label`."""
    focus = rng.choices(tuple(style.focuses), tuple(style.focuses.values()))[0]
    claim = _draw_claim(rng, facts, focus, style.claim_extra_rate)
    negated = rng.random() < style.negation_rate
    relation = label
    if negated and label != "neutral":
        relation = "contradiction" if label == "entailment" else "entailment"
    premise = _draw_premise(rng, facts, claim, focus, relation, style.premise_extras)
    claim = claim.with_(negated=negated)
    if claim.object and rng.random() < style.passive_rate:
        claim = claim.with_(passive=True)
    if premise.object and rng.random() < style.passive_rate:
        premise = premise.with_(passive=True)
    fronts_time = bool(premise.time) and rng.random() < style.fronting_rate
    return premise.with_(fronts_time=fronts_time), claim


def _draw_claim(rng: random.Random, facts: Facts, focus: str, extra_rate: float) -> Clause:
    claim = facts.clause(rng, rng.choice(_KINDS[focus]))
    slots = {"place": ["place"], "time": ["time"], "quality": ["adjective"]}.get(focus, [])
    if rng.random() < extra_rate:
        slots = [*slots, rng.choice([slot for slot in ("place", "time") if slot not in slots])]
    if rng.random() < 0.15:
        slots = [*slots, "number"]
    claim = facts.fill(rng, claim, *slots)
    # With a hypernym the claim needs another value that ties it to the facts of its split.
    is_tied = claim.object in lexicon.KIND_OF and (claim.place or claim.time)
    if is_tied and focus not in ("verb", "deed") and rng.random() < 0.3:
        claim = claim.with_(object=lexicon.KIND_OF[claim.object])
    return claim


def _draw_premise(
    rng: random.Random,
    facts: Facts,
    claim: Clause,
    focus: str,
    relation: str,
    extras: tuple[int, ...],
) -> Clause:
    """A clause that entails, contradicts or leaves open the claim, which is not negated."""
    premise = _vary(rng, facts, claim)
    if relation == "contradiction":
        premise = _contradict(rng, facts, premise, claim, focus)
    elif relation == "neutral":
        premise = _leave_open(rng, facts, premise, claim, focus)
    slots = ["place", "time", "adverb", *(["adjective"] if premise.object else [])]
    focus_slot = "adjective" if focus == "quality" else focus
    free = [slot for slot in slots if slot != focus_slot and not getattr(premise, slot)]
    dropped = relation == "neutral" and focus in ("place", "time")
    wanted = rng.choice(extras) + dropped
    return facts.fill(rng, premise, *rng.sample(free, min(wanted, len(free))))


def _vary(rng: random.Random, facts: Facts, claim: Clause) -> Clause:
    """A clause that entails the claim: synonyms, and a thing in place of its kind."""
    thing = claim.object
    if thing in lexicon.THINGS:
        known = facts.values[claim.subject]["thing"]
        # The claim was drawn from a thing of this kind, so there is one.
        thing = rng.choice([value for value in known if lexicon.KIND_OF[value] == thing])
    return claim.with_(
        verb=_synonym(rng, claim.verb),
        adjective=_synonym(rng, claim.adjective),
        state=_synonym(rng, claim.state),
        object=thing,
    )


def _contradict(
    rng: random.Random, facts: Facts, premise: Clause, claim: Clause, focus: str
) -> Clause:
    person = claim.subject
    if focus == "place":
        if rng.random() < 0.1:
            return premise.with_(relation="in" if claim.relation == "near" else "near")
        return premise.with_(place=facts.draw(rng, person, "place", other_than=claim.place))
    if focus == "time":
        return premise.with_(time=facts.draw(rng, person, "time", other_than=claim.time))
    if focus == "quality":
        return premise.with_(adjective=_other_quality(rng, claim.adjective))
    if focus in ("verb", "deed"):
        return premise.with_(verb=rng.choice(_OPPOSITES[claim.verb]))
    if focus == "state" and rng.random() < 0.7:
        return premise.with_(state=rng.choice(_OPPOSITES[claim.state]))
    if focus == "partner" and rng.random() < 0.6:
        return premise.with_(subject=claim.object, object=claim.subject, place="", time="")
    # What is denied must be the very thing: denying a hammer would leave other tools.
    return premise.with_(negated=True, object=claim.object)


def _leave_open(
    rng: random.Random, facts: Facts, premise: Clause, claim: Clause, focus: str
) -> Clause:
    person = claim.subject
    if focus == "place":
        return premise.with_(place="")
    if focus == "time":
        return premise.with_(time="")
    if focus == "quality":
        return premise.with_(adjective=_unrelated_quality(rng, claim.adjective))
    if focus in ("verb", "deed") and claim.object:
        known = (*_SYNONYMS[claim.verb], *_OPPOSITES[claim.verb])
        others = [verb for verb in lexicon.flatten(lexicon.DEEDS) if verb not in known]
        return premise.with_(verb=rng.choice(others))
    if focus == "verb":
        # Few activities of a person belong to a split: say how the person was instead.
        state = facts.clause(rng, "state", person)
        return premise.with_(verb="be", state=state.state)
    if focus == "object":
        kind = lexicon.KIND_OF.get(claim.object, claim.object)
        others = [
            thing for thing in facts.values[person]["thing"] if lexicon.KIND_OF[thing] != kind
        ]
        premise = premise.with_(object=rng.choice(others)) if others else premise.with_(object="")
        return premise.with_(negated=rng.random() < 0.3)
    if focus == "partner":
        verb = claim.verb
        while verb in _SYNONYMS[claim.verb]:
            verb = rng.choice(rng.choice(lexicon.DEALINGS))
        return premise.with_(verb=verb, negated=rng.random() < 0.15)
    related = (claim.state, *_SYNONYMS.get(claim.state, ()), *_OPPOSITES[claim.state])
    others = [state for state in lexicon.flatten(lexicon.STATES) if state not in related]
    return premise.with_(state=rng.choice(others))


def _synonym(rng: random.Random, word: str) -> str:
    return rng.choice(_SYNONYMS[word]) if word in _SYNONYMS else word


def _unrelated_quality(rng: random.Random, quality: str) -> str:
    """A quality that says nothing of another: big things may be old or new."""
    related = (quality, *_SYNONYMS.get(quality, ()), *_OPPOSITES.get(quality, ()))
    others = [word for word in lexicon.flatten(lexicon.QUALITIES) if word not in related]
    return rng.choice(others if quality in lexicon.COLOURS else [*others, *lexicon.COLOURS])


def _other_quality(rng: random.Random, quality: str) -> str:
    if quality in lexicon.COLOURS:
        return rng.choice([colour for colour in lexicon.COLOURS if colour != quality])
    return rng.choice(_OPPOSITES[quality])


# What usually follows on a deed, by the first word of its side.
_SEQUELS: dict[str, str] = {
    "buy": "keep", "sell": "forget", "find": "show", "lose": "remember", "hide": "forget",
    "show": "sell", "send": "remember", "receive": "accept", "break": "repair",
    "repair": "clean", "love": "buy", "hate": "discard", "push": "break", "pull": "push",
    "remember": "find", "forget": "lose", "accept": "love", "reject": "hate", "keep": "hide",
    "discard": "buy", "clean": "show", "stain": "clean",
}  # fmt: skip


def draw_continuation(
    rng: random.Random, facts: Facts
) -> tuple[list[Clause], list[Clause], int] | None:
    """Two context clauses, four clauses that might follow, and which one does.

    The right one is the usual sequel, done to the right thing. None if the drawn person has no
    second thing to choose from.
    """
    first = facts.fill(rng, facts.clause(rng, "deed"), rng.choice(("place", "time", "adjective")))
    second = facts.fill(rng, facts.clause(rng, "deed"), rng.choice(("place", "time")))
    person = first.subject
    things = [thing for thing in facts.values[person]["thing"] if thing != first.object]
    if second.subject == person or not things:
        return None
    verb = _SEQUELS[_SYNONYMS[first.verb][0]]
    tempting = [v for v in _SEQUELS if v not in (verb, _SYNONYMS[first.verb][0])]
    others = rng.sample(tempting, 2)
    right = Clause(person, verb, object=first.object)
    wrong = [
        Clause(person, verb, object=rng.choice(things)),
        Clause(person, others[0], object=first.object),
        Clause(person, others[1], object=rng.choice(things)),
    ]
    context = [first, second] if rng.random() < 0.5 else [second, first]
    endings = [right, *wrong]
    order = rng.sample(range(4), 4)
    return context, [endings[i] for i in order], order.index(0)
