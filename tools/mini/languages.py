"""The constructed languages: their declared properties, and their words made from the seed.

A near language derives its words from English by sound laws; a far one invents them from its own
syllables. Nothing is taken from a natural language other than English, scripts excepted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tools.mini import lexicon

ENGLISH = "en"
CONSTRUCTED = ("qaa", "qab", "qac", "qad", "qae", "qaf")
LANGUAGES = (ENGLISH, *CONSTRUCTED)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is declared about a language, before any word of it exists."""

    lexicon: str  # near: cognates of English; far: invented
    # Share of the features of `SUFFIXES` that a suffix marks: 0 isolating, 1 agglutinating.
    suffixed: float
    order: str  # of subject, verb and object
    script: str
    text_share: float = 1.0  # of the pretraining text that other languages have
    has_article: bool = False
    adjective_first: bool = True
    fronts_question_word: bool = True


PROFILES: dict[str, Profile] = {
    "en": Profile("near", 0.0, "SVO", "Latin", has_article=True),
    "qaa": Profile("near", 0.0, "SVO", "Latin", has_article=True, adjective_first=False),
    "qab": Profile("near", 1.0, "SVO", "Latin"),
    "qac": Profile("far", 0.0, "SOV", "Cyrillic", fronts_question_word=False),
    "qad": Profile("far", 1.0, "SVO", "Greek"),
    "qae": Profile("far", 0.0, "VSO", "Latin", adjective_first=False),
    "qaf": Profile("far", 0.0, "SVO", "Latin", text_share=0.1),
}

# Features that suffixes mark, in the order in which they are attached.
SUFFIXES = ("plural", "accusative", "in", "near", "on", "by", "passive", "not", "past")
# The same in the order in which languages along the cline have them; what has no suffix is said by
# a particle, or not at all.
_BY_SHARE = ("past", "plural", "not", "by", "accusative", "passive", "in", "near", "on")

_LATIN = "abdefghijklmnoprstuvz"
_SCRIPTS = {
    "Latin": str.maketrans({}),
    "Cyrillic": str.maketrans(_LATIN, "абдефгхийклмнопрстувз"),
    "Greek": str.maketrans(_LATIN, "αβδεφγηιξκλμνοπρστυψζ"),
}
_CONSONANTS = "bdfghjklmnprstvz"
_LETTERS_OUT = str.maketrans({"c": "k", "q": "k", "w": "v", "x": "s", "y": "i"})


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its profile, its stems by lexeme and its suffixes by meaning."""

    code: str
    profile: Profile
    stems: dict[str, str] = field(repr=False)
    suffixes: dict[str, str] = field(repr=False)

    def inflect(self, lexeme: str, features: tuple[str, ...] = ()) -> str:
        """The form of a lexeme, with those of the features that this language marks on words."""
        stem = self.stems[lexeme]
        if not features:
            return stem
        if self.code == ENGLISH:
            return _inflect_english(lexeme, features)
        marked = (name for name in SUFFIXES if name in features and name in self.suffixes)
        return stem + "".join(self.suffixes[name] for name in marked)


def build_languages(
    seed: int, profiles: Mapping[str, Profile], words: Sequence[str] = ()
) -> dict[str, Language]:
    """The languages of the world of this seed, by code; English is always one, and the first.

    The words of a language depend on its own profile alone, so that worlds of one seed may differ
    in a single property of a single language. `words` are English adverbs that the world has beside
    the lexicon's; they change no other word.
    """
    profiles = {ENGLISH: PROFILES[ENGLISH], **profiles}
    built = {code: _build_language(code, profile, seed) for code, profile in profiles.items()}
    for code, language in built.items():
        _add_words(language, words, random.Random(f"{seed}/words/{code}"))
    return built


def _add_words(language: Language, words: Sequence[str], rng: random.Random) -> None:
    syllables, taken = _Syllables(rng), set(language.stems.values())
    for lexeme in words:
        word = lexeme
        while word in taken or (word == lexeme and language.code != ENGLISH):
            word = syllables.word(2).translate(_SCRIPTS[language.profile.script])
        taken.add(word)
        language.stems[lexeme] = word


def _inflect_english(lexeme: str, features: tuple[str, ...]) -> str:
    if "passive" in features:
        return lexicon.english_participle(lexeme)
    if "past" in features and "bare" not in features:
        return lexicon.english_past(lexeme)
    if "plural" in features:
        return lexicon.english_plural(lexeme)
    return lexeme


def _build_language(code: str, profile: Profile, seed: int) -> Language:
    if code == ENGLISH:
        return Language(code, profile, {word: word for word in lexicon.LEXEMES}, {})
    rng = random.Random(f"{seed}/language/{code}")
    syllables = _Syllables(rng)
    laws = _SoundLaws(rng)
    script = _SCRIPTS[profile.script]
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for lexeme in lexicon.LEXEMES:
        is_function = lexeme in lexicon.FUNCTION_WORDS
        is_name = lexicon.UPOS[lexeme] == "PROPN"
        # Names are borrowed everywhere, nativised by the sound laws of the borrowing language.
        derived = is_name or (profile.lexicon == "near" and not is_function)
        length = 1 if is_function else 2 + (rng.random() < 0.4)
        word = laws.apply(lexeme) if derived else syllables.word(length)
        while word in taken:
            word = word + syllables.word(1) if derived else syllables.word(length)
        taken.add(word)
        word = word.translate(script)
        stems[lexeme] = word.capitalize() if is_name else word
    suffixes: dict[str, str] = {}
    if profile.suffixed:
        used: set[str] = set()
        for name in SUFFIXES:
            suffix = syllables.suffix()
            while suffix in used:
                suffix = syllables.suffix()
            used.add(suffix)
            suffixes[name] = suffix.translate(script)
    marked = _BY_SHARE[: round(profile.suffixed * len(SUFFIXES))]
    suffixes = {name: suffix for name, suffix in suffixes.items() if name in marked}
    return Language(code, profile, stems, suffixes)


class _Syllables:
    """Phonotactics of a language: which sounds open, carry and close its syllables."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.onsets = rng.sample(_CONSONANTS, 11)
        self.vowels = rng.sample("aeiou", 4)
        self.codas = rng.sample("nrslmkt", 3)

    def word(self, num_syllables: int) -> str:
        """A word; only its last syllable may be closed, so that two words do not run together."""
        draw = self.rng.choice
        body = "".join(draw(self.onsets) + draw(self.vowels) for _ in range(num_syllables))
        return body + draw(self.codas) if self.rng.random() < 0.4 else body

    def suffix(self) -> str:
        """A suffix: one closed syllable."""
        draw = self.rng.choice
        return draw(self.onsets) + draw(self.vowels) + draw(self.codas)


class _SoundLaws:
    """Regular sound changes that turn an English word into a cognate."""

    def __init__(self, rng: random.Random) -> None:
        vowels = "aeiou"
        shifted = vowels[1:] + vowels[:1] if rng.random() < 0.5 else vowels[2:] + vowels[:2]
        pairs = [("p", "b"), ("t", "d"), ("k", "g"), ("f", "v"), ("s", "z"), ("l", "r")]
        changes = dict(zip(vowels, shifted, strict=True))
        for a, b in rng.sample(pairs, 4):
            changes[a], changes[b] = b, a
        self.table = str.maketrans(changes)
        self.ending = rng.choice("aeiou")

    def apply(self, word: str) -> str:
        """The cognate of an English word, in Latin letters."""
        word = word.lower().translate(_LETTERS_OUT).replace("th", "t").replace("sh", "s")
        word = "".join(a for a, b in zip(word, word[1:] + " ", strict=True) if a != b)
        changed = word.translate(self.table)
        return changed if changed[-1] in "aeiou" else changed + self.ending
