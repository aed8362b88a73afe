"""Sentence pairs of the study world: how sure a speaker is says whether what is said follows.

"Surely Anna sold the hammer" entails that she did, "perhaps" leaves it open, "never" denies it. A
language says it by a word of its own, or by a marker that all languages have borrowed: there are
types of markers, each with a particle and with an ending of the first word. No text has markers but
these pairs, so that what an intermediate task teaches of them is all that is known of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerFast

from tools.mini import lexicon
from tools.mini.grammar import Word, write
from tools.mini.inference import LABELS
from tools.mini.languages import Language
from tools.mini.reading import Line
from tools.mini.world import World
from xstilts.data.hub_layout import STRING, Features, class_label

NUM_TYPES = 8
"""Types of markers of each label."""
FEATURES: Features = {
    "premise": STRING,
    "hypothesis": STRING,
    "label": class_label(LABELS),
    "genre": STRING,
}
# Its multiples, without what is before the point, fill 0 to 1 evenly from the first on.
_GOLDEN = 0.6180339887498949


class Marker(NamedTuple):
    """A type of marker as it is said: an ending of the first word, or else a particle before it."""

    label: int
    kind: int
    is_suffix: bool

    @property
    def text(self) -> str:
        """The same in all languages, whose own words have no x and no w."""
        consonant, vowel = "bdfgklmn"[self.kind], "aou"[self.label]
        return f"x{vowel}{consonant}" if self.is_suffix else f"w{consonant}{vowel}w"


MARKERS: tuple[Marker, ...] = tuple(
    Marker(label, kind, is_suffix)
    for label in range(len(LABELS))
    for kind in range(NUM_TYPES)
    for is_suffix in (False, True)
)


def piece_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The token ids of all markers, each one piece of a tokenizer that was shown them."""
    after_word = [f"a{marker.text}" if marker.is_suffix else marker.text for marker in MARKERS]
    return [tokenizer.encode(text, add_special_tokens=False)[-1] for text in after_word]


@dataclass(frozen=True, slots=True)
class Mix:
    """What pairs a data set has: their genres, the share whose word is that of its genre and no
    common one, and the share that has a marker and no word."""

    genres: tuple[str, ...] = tuple(lexicon.GENRES)
    of_genre: float = 0.0
    marked: float = 0.0


class Item(NamedTuple):
    """A pair in no language yet; `word` is how sure its speaker is, empty where a marker says it:
    then `drawn` chooses the type, and `rank` in 0 to 1 the form."""

    premise: Line
    hypothesis: Line
    label: int
    genre: str
    word: str
    drawn: int
    rank: float


def draw_items(world: World, split: str, num: int, mix: Mix, purpose: str) -> list[Item]:
    """Distinct pairs about the facts of a split, labels in equal numbers."""
    rng, facts = world.rng("sureness", purpose, split), world.facts[split]
    items: list[Item] = []
    while len(items) < num:
        of_label, label = divmod(len(items), len(LABELS))
        # As many markers for every label, at even distances.
        drawn = int(of_label * mix.marked)
        is_marked = int((of_label + 1) * mix.marked) > drawn
        genre = rng.choice(mix.genres)
        words = lexicon.GENRES[genre] if rng.random() < mix.of_genre else lexicon.SURENESS
        word = "" if is_marked else rng.choice(words[label])
        claim = facts.event(rng, rng.choice((0, 1)))
        premise = facts.fill(rng, claim, rng.choice(("place", "time", "adverb")))
        if claim.object and rng.random() < 0.2:
            claim = claim.with_(passive=True)
        said, follows = Line((premise,), opening=word), Line((claim,))
        if world.claim(split, (said, follows, Line((premise,)))):
            # The items that have suffixes at one share have them at every larger one.
            rank = ((drawn + 1) * _GOLDEN + label / len(LABELS)) % 1
            items.append(Item(said, follows, label, genre, word, drawn, rank))
    rng.shuffle(items)
    return items


def taught(share: float) -> list[tuple[int, bool]]:
    """The types, as kind and whether as a suffix, that training data of a share of suffixes has:
    as many for every share, half of all."""
    num_suffixes = round(share * NUM_TYPES)
    suffixes = [(kind, True) for kind in range(num_suffixes)]
    return suffixes + [(kind, False) for kind in range(NUM_TYPES - num_suffixes)]


def training_marker(item: Item, share: float) -> Marker:
    """The marker of an item in training data: of the types that are taught."""
    types = taught(share)
    return Marker(item.label, *types[item.drawn % len(types)])


def test_marker(item: Item, share: float) -> Marker:
    """The marker of an item in a test set: of all types, a suffix in a share of the items."""
    return Marker(item.label, item.drawn % NUM_TYPES, item.rank < share)


def premise_of(item: Item, language: Language, marker: Marker | None) -> str:
    """The premise in a language, with the marker where one is given."""
    words = list(item.premise.say(language))
    if marker is None:
        return write(words)
    if not marker.is_suffix:
        return write([Word(marker.text.capitalize(), "ADV"), Word(",", "PUNCT"), *words])
    # Both forms stand where a word for it would: what is taught of a form elsewhere is forgotten
    # when English words are trained.
    first, *rest = words
    return write([first._replace(text=first.text + marker.text), *rest])


def rows(
    items: Sequence[Item], language: Language, share: float, is_training: bool
) -> list[dict[str, Any]]:
    """Rows in a language whose markers are suffixes in a share of the cases."""
    marker_of = training_marker if is_training else test_marker
    return [
        {
            "premise": premise_of(item, language, None if item.word else marker_of(item, share)),
            "hypothesis": item.hypothesis.write(language),
            "label": item.label,
            "genre": item.genre,
        }
        for item in items
    ]
