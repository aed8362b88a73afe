"""Clauses without a language, and how each language says them.

A `Clause` holds meanings only; `realize` gives its words in one language, with their parts of
speech and the slot each word fills: translations, tags and answer spans all come from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tools.mini import lexicon
from tools.mini.languages import Language

# Slots that a question can ask for.
SLOTS = ("subject", "object", "number", "place", "time")


class Clause(NamedTuple):
    """One statement, or one question if `asks` names a slot. Values are lexemes."""

    subject: str
    verb: str = "be"
    object: str = ""
    adjective: str = ""
    number: str = ""
    state: str = ""
    adverb: str = ""
    relation: str = "in"
    place: str = ""
    time: str = ""
    negated: bool = False
    passive: bool = False
    fronts_time: bool = False
    asks: str = ""

    def with_(self, **changes: Any) -> Clause:
        """A copy with other values."""
        return self._replace(**changes)


class Word(NamedTuple):
    """A token of a sentence: `slot` is the slot whose answer it belongs to, or empty."""

    text: str
    upos: str
    slot: str = ""


Sentence = tuple[Word, ...]
# Chooses the language of a content word: makes code-switched text.
Lexis = Callable[[], Language]


def realize(clause: Clause, language: Language, lexis: Lexis | None = None) -> Sentence:
    """The words of a clause, without end mark. `lexis` draws the language of each content word."""
    speaker = _Speaker(language, lexis)
    if language.code == "en":
        return tuple(_english(clause, speaker))
    return tuple(_constructed(clause, speaker))


def sentence(
    clauses: Sequence[Clause],
    language: Language,
    connector: str = "",
    opening: str = "",
    lexis: Lexis | None = None,
) -> Sentence:
    """One or two clauses as a sentence: capitalised, with end mark."""
    speaker = _Speaker(language, lexis)
    words: list[Word] = []
    if opening:
        words += [*speaker.say(opening), Word(",", "PUNCT")]
    for i, clause in enumerate(clauses):
        if i:
            words += speaker.say(connector)
        words += realize(clause, language, lexis)
    first = words[0]
    words[0] = Word(first.text[:1].upper() + first.text[1:], first.upos, first.slot)
    words.append(Word("?" if clauses[-1].asks else ".", "PUNCT"))
    return tuple(words)


def write(words: Sequence[Word]) -> str:
    """The text of a sentence: blanks between words, none before punctuation."""
    parts: list[str] = []
    for word in words:
        if parts and word.upos != "PUNCT":
            parts.append(" ")
        parts.append(word.text)
    return "".join(parts)


def answer_span(words: Sequence[Word], slot: str) -> tuple[int, str]:
    """Character offset and text of the words of a slot in `write(words)`; they are contiguous."""
    inside = [i for i, word in enumerate(words) if word.slot == slot]
    start, end = inside[0], inside[-1] + 1
    assert inside == list(range(start, end)), "the words of a slot stand together"
    text = write(words[start:end])
    return len(write(words[:end])) - len(text), text


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Says single words and phrases of one language, content words perhaps in another."""

    language: Language
    lexis: Lexis | None

    def say(self, lexeme: str, *features: str, slot: str = "") -> list[Word]:
        language = self.language
        if self.lexis and lexeme not in lexicon.FUNCTION_WORDS:
            language = self.lexis()
        return [Word(language.inflect(lexeme, features), lexicon.UPOS[lexeme], slot)]

    def person(self, lexeme: str, *features: str, slot: str = "") -> list[Word]:
        has_article = self.language.profile.has_article and lexicon.UPOS[lexeme] == "NOUN"
        return [*(self.say("the") if has_article else ()), *self.say(lexeme, *features, slot=slot)]

    def thing(self, clause: Clause, *features: str, questioned: bool = False) -> list[Word]:
        """The object phrase: article, number, adjective and noun; "how many" if questioned."""
        if clause.object in lexicon.PERSONS:
            return self.person(clause.object, *features, slot="object")
        profile = self.language.profile
        words: list[Word] = []
        if questioned:
            words += [*self.say("how"), *self.say("many")]
        else:
            words += self.say("the") if profile.has_article else ()
            words += self.say(clause.number, slot="number") if clause.number else ()
        plural = ("plural",) if clause.number or questioned else ()
        noun = self.say(clause.object, *plural, *features, slot="object")
        adjective = self.say(clause.adjective, slot="object") if clause.adjective else []
        words += [*adjective, *noun] if profile.adjective_first else [*noun, *adjective]
        return words

    def where(self, clause: Clause) -> list[Word]:
        """The place phrase, empty without a place."""
        if not clause.place:
            return []
        place = self.say(clause.place, clause.relation, slot="place")
        if clause.relation in self.language.suffixes:
            return place
        article = self.say("the") if self.language.profile.has_article else []
        return [*self.say(clause.relation), *article, *place]

    def when(self, clause: Clause) -> list[Word]:
        """The time phrase, empty without a time."""
        if not clause.time:
            return []
        time = self.say(clause.time, "on", slot="time")
        if "on" in self.language.suffixes:
            return time
        english_month = self.language.code == "en" and clause.time in lexicon.MONTHS
        marker = self.say("in" if english_month else "on")
        return [*marker, *time]


# The features of words are the same for all languages; each language marks those it can.
def _agent_case(clause: Clause) -> tuple[str, ...]:
    return ("by",) if clause.passive else ()


def _patient_case(clause: Clause) -> tuple[str, ...]:
    return () if clause.passive else ("accusative",)


def _verb_features(clause: Clause) -> tuple[str, ...]:
    negation = ("not",) if clause.negated else ()
    return ("past", *negation, "passive") if clause.passive else ("past", *negation)


def _complement(clause: Clause, say: _Speaker) -> list[Word]:
    return say.say(clause.state) if clause.state else []


def _adverb(clause: Clause, say: _Speaker) -> list[Word]:
    return say.say(clause.adverb) if clause.adverb else []


def _english(clause: Clause, say: _Speaker) -> list[Word]:
    negation = say.say("not") if clause.negated else []
    subject = say.person(clause.subject, *_agent_case(clause), slot="subject")
    if clause.asks == "subject":
        subject = say.say("who")
    thing: list[Word] = []
    if clause.object and clause.asks != "object":
        thing = say.thing(clause, *_patient_case(clause), questioned=clause.asks == "number")
    place = [] if clause.asks == "place" else say.where(clause)
    time = [] if clause.asks == "time" else say.when(clause)
    tail = [*_adverb(clause, say), *place, *time]
    if clause.fronts_time and not clause.asks:
        tail = tail[: len(tail) - len(time)]
    asked = _question_word(clause, say)
    inverts = clause.asks not in ("", "subject")

    if clause.verb == "be" or clause.passive:
        plural = clause.passive and clause.number
        auxiliary = [Word("were" if plural else "was", "AUX")]
        if clause.passive:
            verb = say.say(clause.verb, *_verb_features(clause))
            agent = [*say.say("by"), *subject]
            words = [*thing, *auxiliary, *negation, *verb, *agent, *tail]
        elif inverts:
            words = [*asked, *auxiliary, *subject, *negation, *_complement(clause, say), *tail]
        else:
            words = [*subject, *auxiliary, *negation, *_complement(clause, say), *tail]
    elif inverts:
        lead = thing if clause.asks == "number" else asked
        thing = [] if clause.asks == "number" else thing
        verb = say.say(clause.verb, "bare", *_verb_features(clause))
        words = [*lead, *say.say("did"), *subject, *negation, *verb, *thing, *tail]
    elif clause.negated:
        verb = say.say(clause.verb, "bare", *_verb_features(clause))
        words = [*subject, *say.say("did"), *negation, *verb, *thing, *tail]
    else:
        words = [*subject, *say.say(clause.verb, *_verb_features(clause)), *thing, *tail]
    return [*time, *words] if clause.fronts_time and not clause.asks else words


def _question_word(clause: Clause, say: _Speaker) -> list[Word]:
    words = {"object": "what", "place": "where", "time": "when", "subject": "who"}
    return say.say(words[clause.asks]) if clause.asks in words else []


def _constructed(clause: Clause, say: _Speaker) -> list[Word]:
    profile = say.language.profile
    suffixes = say.language.suffixes
    agent = say.person(clause.subject, *_agent_case(clause), slot="subject")
    patient: list[Word] = []
    if clause.object:
        patient = say.thing(clause, *_patient_case(clause), questioned=clause.asks == "number")
    phrases = {
        "subject": agent,
        "object": patient,
        "place": say.where(clause),
        "time": say.when(clause),
    }
    lead: list[Word] = []
    if clause.asks in phrases:
        asked = _question_word(clause, say)
        phrases[clause.asks] = [] if profile.fronts_question_word else asked
        lead = asked if profile.fronts_question_word else []
    elif clause.asks == "number" and profile.fronts_question_word:
        lead, phrases["object"] = patient, []
    elif clause.fronts_time:
        lead, phrases["time"] = phrases["time"], []
    if clause.passive and "by" not in suffixes:
        phrases["subject"] = [*say.say("by"), *phrases["subject"]]

    verb = _predicate(clause, say)
    adverb = _adverb(clause, say)
    first, second = phrases["subject"], phrases["object"]
    if clause.passive:
        first, second = second, first
    if profile.order == "SOV":
        # Adjuncts stand before the object, the verb at the end.
        return [*lead, *first, *phrases["time"], *phrases["place"], *second, *adverb, *verb]
    tail = [*adverb, *phrases["place"], *phrases["time"]]
    if profile.order == "VSO":
        return [*lead, *verb, *first, *second, *tail]
    return [*lead, *first, *verb, *second, *tail]


def _predicate(clause: Clause, say: _Speaker) -> list[Word]:
    complement = _complement(clause, say)
    verb = say.say(clause.verb, *_verb_features(clause))
    said = {"not": clause.negated, "passive": clause.passive}
    particles: list[Word] = []
    for name in (name for name, is_said in said.items() if is_said):
        particles += () if name in say.language.suffixes else say.say(name)
    if say.language.suffixes and say.language.profile.order == "SOV":
        return [*complement, *particles, *verb]
    return [*particles, *verb, *complement]
