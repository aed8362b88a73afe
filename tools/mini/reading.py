"""Short texts of the world: passages with a question, sentences to tag, and pretraining text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tools.mini import inference, lexicon
from tools.mini.facts import Facts
from tools.mini.grammar import Clause, Lexis, Sentence, sentence, write
from tools.mini.languages import Language

_CONNECTORS = ("and", "but", "because", "while", "if")
_ASKABLE = ("subject", "object", "place", "time", "number")


class Line(NamedTuple):
    """One sentence of a text, in no language yet."""

    clauses: tuple[Clause, ...]
    connector: str = ""
    opening: str = ""

    def say(self, language: Language, lexis: Lexis | None = None) -> Sentence:
        """The words of the sentence in a language."""
        return sentence(self.clauses, language, self.connector, self.opening, lexis)

    def write(self, language: Language, lexis: Lexis | None = None) -> str:
        """The text of the sentence in a language."""
        return write(self.say(language, lexis))


@dataclass(frozen=True, slots=True)
class Pair:
    """A premise, a hypothesis and the index of their label."""

    premise: Line
    hypothesis: Line
    label: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Context sentences, four candidates for the next one, and the index of the right one."""

    context: tuple[Line, ...]
    endings: tuple[Line, ...]
    label: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, the clause that is asked about by its place in the text, and the question."""

    lines: tuple[Line, ...]
    position: int
    question: Line


def draw_passage(
    rng: random.Random, facts: Facts, num_lines: int, fronting_rate: float
) -> Passage | None:
    """A passage about different persons with a question that one of its sentences answers."""
    clauses: list[Clause] = []
    while len(clauses) < num_lines:
        clause = facts.event(rng, rng.choice((1, 2)), ("deed", "deed", "dealing", "activity"))
        if all(clause.subject != other.subject for other in clauses):
            clauses.append(clause)
    position = rng.randrange(num_lines)
    question = draw_question(rng, clauses[position])
    if question is None:
        return None
    lines = tuple(
        Line((clause.with_(fronts_time=bool(clause.time) and rng.random() < fronting_rate),))
        for clause in clauses
    )
    return Passage(lines, position, Line((question,)))


def draw_question(rng: random.Random, clause: Clause) -> Clause | None:
    """A question that the clause answers, with at least one more value of it; else None."""
    values = [slot for slot in _ASKABLE if getattr(clause, slot)]
    if clause.object in lexicon.PERSONS:
        values.remove("object")  # "who" asks for the subject only
    slots = [slot for slot in values if slot != "number" or rng.random() < 0.7]
    asked = rng.choice(slots)
    question = clause.with_(asks=asked, adverb="", fronts_time=False)
    if asked in ("object", "number"):
        question = question.with_(adjective="")
    if asked == "object":
        question = question.with_(number="")
    optional = [slot for slot in ("place", "time", "adjective") if slot != asked]
    if asked != "object" and clause.object and rng.random() < 0.5:
        question = question.with_(**{rng.choice(optional): ""})
    needed = ("object", "place", "time") if asked != "object" else ("place", "time")
    is_tied = any(slot != asked and getattr(question, slot) for slot in needed)
    return question if is_tied else None


def draw_line(rng: random.Random, facts: Facts) -> Line:
    """A varied sentence: one clause or two, sometimes with a pronoun or an interjection."""
    first = facts.event(rng, rng.choice((1, 2, 2)))
    first = _vary_form(rng, first)
    opening = rng.choice(("yes", "oh")) if rng.random() < 0.1 else ""
    if rng.random() < 0.55:
        return Line((first,), opening=opening)
    connector = rng.choice(_CONNECTORS)
    if rng.random() < 0.5:
        second = _vary_form(rng, facts.event(rng, rng.choice((0, 1))))
    else:
        second = facts.event(rng, rng.choice((0, 1)), ("activity", "state"))
        second = second.with_(subject=pronoun(first.subject))
    return Line((first, second), connector, opening)


def pronoun(person: str) -> str:
    """The pronoun that stands for a person."""
    if person in lexicon.WOMEN:
        return "she"
    return "he" if person in lexicon.MEN else "they"


def _vary_form(rng: random.Random, clause: Clause) -> Clause:
    if clause.object and rng.random() < 0.2:
        clause = clause.with_(passive=True)
    elif rng.random() < 0.12:
        clause = clause.with_(negated=True)
    return clause.with_(fronts_time=bool(clause.time) and rng.random() < 0.2)


# What a document of the pretraining text does, with weights. No labels, only ordinary prose: it
# tells, says things again in other words, denies the opposite, asks and answers, explains words.
_DOCUMENTS: dict[str, float] = {
    "tell": 2.5,
    "restate": 3.0,
    "contrast": 3.5,
    "ask": 3.0,
    "explain": 0.5,
}
_RESTATED = inference.Style(
    {"quality": 4, "verb": 2, "state": 2, "object": 1, "place": 0.5, "time": 0.5, "partner": 0.5},
    passive_rate=0.2,
    fronting_rate=0.2,
    claim_extra_rate=0.3,
    premise_extras=(1, 1, 2),
)
# Only what has a real opposite: nothing foretells which place somebody has not been to.
_CONTRASTED = inference.Style(
    {"quality": 4, "verb": 2, "state": 2},
    passive_rate=0.2,
    fronting_rate=0.2,
    claim_extra_rate=0.3,
    premise_extras=(1, 1, 2),
)


def draw_document(rng: random.Random, facts: Facts) -> tuple[Line, ...]:
    """A document of the pretraining text: one to four sentences."""
    purpose = rng.choices(tuple(_DOCUMENTS), tuple(_DOCUMENTS.values()))[0]
    if purpose == "tell":
        return tuple(draw_line(rng, facts) for _ in range(rng.choice((1, 2))))
    if purpose == "restate":
        premise, claim = inference.draw_pair(rng, facts, "entailment", _RESTATED)
        lines = [Line((premise,)), Line((claim,), opening="yes" if rng.random() < 0.3 else "")]
        if rng.random() < 0.5:
            lines.insert(rng.choice((0, 1)), draw_line(rng, facts))
        return tuple(lines)
    if purpose == "contrast":
        premise, claim = inference.draw_pair(rng, facts, "contradiction", _CONTRASTED)
        claim = claim.with_(negated=not premise.negated)
        return _shuffled_pair(rng, Line((premise.with_(negated=False),)), Line((claim,)))
    if purpose == "ask":
        passage = None
        while passage is None:
            passage = draw_passage(rng, facts, rng.choice((1, 2)), fronting_rate=0.2)
        return (*passage.lines, passage.question, _answer(passage))
    thing = rng.choice(tuple(lexicon.KIND_OF))
    return (Line((Clause(thing, state=lexicon.KIND_OF[thing]),)),)


def _answer(passage: Passage) -> Line:
    clause = passage.lines[passage.position].clauses[0]
    (question,) = passage.question.clauses
    asked = question.asks
    value = {asked: getattr(clause, asked), "adjective": clause.adjective}
    return Line((question.with_(asks="", relation=clause.relation, **value),))


def _shuffled_pair(rng: random.Random, one: Line, other: Line) -> tuple[Line, ...]:
    return (one, other) if rng.random() < 0.5 else (other, one)


def sentences_of(lines: Sequence[Line], language: Language) -> list[str]:
    """The sentences of a text in a language."""
    return [line.write(language) for line in lines]
