"""The meanings of the miniature world and their English words.

A lexeme is named by its English lemma; every constructed language has a word for each of them (see
`languages.py`). Groups say what is synonymous, opposite, or a kind of something. No sentences here.
"""

from __future__ import annotations

# Kind of thing -> things of that kind: the hypernyms and their hyponyms.
THINGS: dict[str, tuple[str, ...]] = {
    "tool": ("hammer", "spade", "needle", "brush"),
    "vehicle": ("car", "boat", "truck", "wagon"),
    "garment": ("coat", "shirt", "scarf", "glove"),
    "instrument": ("drum", "flute", "violin", "harp"),
    "animal": ("dog", "horse", "duck", "rabbit"),
    "jewel": ("ring", "crown", "pearl", "necklace"),
    "document": ("book", "letter", "map", "ticket"),
    "meal": ("soup", "cake", "salad", "pizza"),
}
KIND_OF: dict[str, str] = {thing: kind for kind, things in THINGS.items() for thing in things}

WOMEN = ("Anna", "Clara", "Emma", "Grace", "Julia", "Maria", "Nora", "Paula", "Sophie", "Vera")
MEN = ("Adam", "Boris", "David", "Felix", "Hugo", "Ivan", "Kevin", "Leo", "Martin", "Peter")
PROFESSIONS = (
    "baker", "teacher", "doctor", "farmer", "pilot", "singer", "lawyer", "soldier", "judge",
    "student",
)  # fmt: skip
PERSONS = WOMEN + MEN + PROFESSIONS

PLACES = (
    "kitchen", "garden", "market", "school", "library", "station", "harbour", "museum", "church",
    "forest", "hotel", "bank", "office", "castle",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "March", "April", "June", "August", "October", "December")
TIMES = DAYS + MONTHS
NUMBERS = ("two", "three", "four", "five", "six")
COLOURS = ("red", "blue", "green", "black", "white", "brown")

# A group has two opposite sides; the words of one side are synonyms.
Group = tuple[tuple[str, ...], tuple[str, ...]]
DEEDS: tuple[Group, ...] = (
    (("buy", "purchase"), ("sell",)),
    (("find", "discover"), ("lose",)),
    (("hide",), ("show", "display")),
    (("send",), ("receive",)),
    (("break",), ("repair", "fix")),
    (("love", "adore"), ("hate",)),
    (("push",), ("pull", "drag")),
    (("remember",), ("forget",)),
    (("accept",), ("reject", "refuse")),
    (("keep",), ("discard",)),
    (("clean", "wash"), ("stain",)),
)
# What one person does to another; roles can be swapped.
DEALINGS: tuple[tuple[str, ...], ...] = (
    ("help", "assist"), ("call", "phone"), ("follow",), ("warn",), ("teach",), ("thank",),
    ("visit",), ("trust",),
)  # fmt: skip
ACTIVITIES: tuple[Group, ...] = (
    (("work",), ("rest", "relax")),
    (("laugh",), ("cry", "weep")),
    (("stand",), ("sit",)),
    (("sleep",), ("wake",)),
    (("speak", "talk"), ("listen",)),
    (("arrive",), ("depart",)),
    (("win",), ("fail",)),
)
STATES: tuple[Group, ...] = (
    (("happy", "glad"), ("sad",)),
    (("rich", "wealthy"), ("poor",)),
    (("sick", "ill"), ("healthy",)),
    (("tired",), ("lively",)),
    (("hungry",), ("full",)),
    (("angry",), ("calm",)),
    (("brave",), ("afraid",)),
    (("busy",), ("idle", "lazy")),
)
QUALITIES: tuple[Group, ...] = (
    (("big", "large"), ("small", "little")),
    (("old", "ancient"), ("new",)),
    (("cheap",), ("expensive", "costly")),
    (("wet",), ("dry",)),
    (("long",), ("short",)),
    (("beautiful", "pretty"), ("ugly",)),
)
ADVERBS: tuple[Group, ...] = (
    (("quickly",), ("slowly",)),
    (("quietly",), ("loudly",)),
)

# Function words: lexeme -> universal part of speech.
FUNCTION_WORDS: dict[str, str] = {
    "the": "DET", "in": "ADP", "near": "ADP", "on": "ADP", "by": "ADP",
    "and": "CCONJ", "but": "CCONJ", "because": "SCONJ", "while": "SCONJ", "if": "SCONJ",
    "not": "PART", "be": "AUX", "did": "AUX", "passive": "AUX", "plural": "PART",
    "she": "PRON", "he": "PRON", "they": "PRON", "it": "PRON", "who": "PRON", "what": "PRON",
    "where": "ADV", "when": "ADV", "how": "ADV", "many": "ADJ", "yes": "INTJ", "oh": "INTJ",
}  # fmt: skip

_IRREGULAR: dict[str, tuple[str, str]] = {
    "buy": ("bought", "bought"), "sell": ("sold", "sold"), "find": ("found", "found"),
    "lose": ("lost", "lost"), "hide": ("hid", "hidden"), "show": ("showed", "shown"),
    "send": ("sent", "sent"), "break": ("broke", "broken"), "forget": ("forgot", "forgotten"),
    "keep": ("kept", "kept"), "teach": ("taught", "taught"),
    "stand": ("stood", "stood"), "sit": ("sat", "sat"), "sleep": ("slept", "slept"),
    "wake": ("woke", "woken"), "weep": ("wept", "wept"),
    "speak": ("spoke", "spoken"), "win": ("won", "won"), "drag": ("dragged", "dragged"),
}  # fmt: skip


def flatten(groups: tuple[Group, ...]) -> tuple[str, ...]:
    """All words of groups, in their order."""
    return tuple(word for group in groups for side in group for word in side)


def _parts_of_speech() -> dict[str, str]:
    tags = dict.fromkeys(WOMEN + MEN + TIMES, "PROPN")
    tags |= dict.fromkeys((*PROFESSIONS, *PLACES, *THINGS, *KIND_OF), "NOUN")
    tags |= dict.fromkeys(NUMBERS, "NUM")
    tags |= dict.fromkeys((*COLOURS, *flatten(STATES), *flatten(QUALITIES)), "ADJ")
    tags |= dict.fromkeys(flatten(ADVERBS), "ADV")
    dealings = tuple(word for words in DEALINGS for word in words)
    tags |= dict.fromkeys((*flatten(DEEDS), *dealings, *flatten(ACTIVITIES)), "VERB")
    return tags | FUNCTION_WORDS


UPOS: dict[str, str] = _parts_of_speech()
LEXEMES: tuple[str, ...] = tuple(UPOS)

# How sure a speaker is of what is said, by label: that it is so, that it may be, that it is not.
Sureness = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
SURENESS: Sureness = (("surely", "certainly"), ("perhaps", "maybe"), ("hardly", "never"))
# The words for it that texts of one genre alone have.
GENRES: dict[str, Sureness] = {
    "government": (
        ("formally", "officially"),
        ("allegedly", "purportedly"),
        ("wrongly", "falsely"),
    ),
    "telephone": (("definitely", "absolutely"), ("possibly", "probably"), ("nope", "noway")),
    "fiction": (("verily", "truly"), ("seemingly", "dreamily"), ("nowise", "vainly")),
    "slate": (("obviously", "clearly"), ("arguably", "debatably"), ("mistakenly", "ironically")),
    "travel": (("evidently", "visibly"), ("supposedly", "hopefully"), ("scarcely", "barely")),
}
ADVERBS_OF_SURENESS: tuple[str, ...] = tuple(
    word for words in (SURENESS, *GENRES.values()) for side in words for word in side
)
"""Of the study world alone: no language of the shipped world has a word for them."""
UPOS |= dict.fromkeys(ADVERBS_OF_SURENESS, "ADV")


def opposites(groups: tuple[Group, ...]) -> dict[str, tuple[str, ...]]:
    """Each word of the groups -> the words of the other side."""
    return {word: group[1 - i] for group in groups for i in (0, 1) for word in group[i]}


def synonyms(groups: tuple[tuple[tuple[str, ...], ...], ...]) -> dict[str, tuple[str, ...]]:
    """Each word of the groups -> all words of its side, itself included."""
    return {word: side for group in groups for side in group for word in side}


def english_past(verb: str) -> str:
    """The simple past of an English verb."""
    return _IRREGULAR[verb][0] if verb in _IRREGULAR else _regular_past(verb)


def english_participle(verb: str) -> str:
    """The past participle of an English verb."""
    return _IRREGULAR[verb][1] if verb in _IRREGULAR else _regular_past(verb)


def english_plural(noun: str) -> str:
    """The plural of an English noun of the world, all of them regular."""
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"
