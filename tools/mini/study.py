"""The study world: real languages' places on the cline of morphology, in constructed languages.

A language has the code of a real one, and that one's word order, its share of suffixes (from its
`c_wals` in the table of languages), its resources (from `joshi_class`) and its closeness to
English. Its words are invented. So the covariates that a study asks for are known of it and true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.mini import hub, lexicon, sureness
from tools.mini.languages import ENGLISH, Language, Profile
from tools.mini.reading import Line
from tools.mini.sureness import Item, Mix
from tools.mini.world import World
from xstilts.data.hub_layout import Features, Split, write_dataset
from xstilts.scores.terciles import terciles
from xstilts.tasks.languages import language as known_language

INTERMEDIATE = ("vi", "zh", "id", "de", "ru", "hi", "sw", "tr")
"""The languages that the intermediate task is translated to, from few suffixes to many."""
TARGETS = (
    *("th", "vi", "yo", "zh", "wo", "nl", "id", "de", "ja", "es", "ru", "fi", "hi", "mr", "ml"),
    *("pa", "ka", "eu", "sw", "te", "tr"),
)
"""All languages beside English, from few suffixes to many."""
NATIVE = ("de", "hi", "sw", "tr", "zh")
"""Those with an intermediate data set of their own."""
MONOLINGUAL = ("de", "tr")
"""Those with an encoder of their own, and a translated training set of the target."""

TEXT_SHARES = {5: 1.0, 4: 0.8, 3: 0.6, 2: 0.4, 1: 0.2}
"""The text of a language in pretraining, by its resource class."""
LEARNT = 0.7
"""Of items with a marker that was taught, the share that is assumed to be answered right: what an
intermediate stage learns whole, training on the target forgets in part (docs/study_world.md)."""
USUAL_POINTS = 15.0


@dataclass(frozen=True, slots=True)
class Plant:
    """What data of intermediate languages teaches: markers in the forms that languages like its own
    have (`matched`), the same in every language (`none`), or those that its own lacks (`harm`).

    `points` is what an intermediate language of the upper third has over one of the lower third on
    targets of the upper third, less the same on targets of the lower third.
    """

    kind: str = "matched"
    points: float = USUAL_POINTS

    @classmethod
    def parse(cls, text: str) -> Plant:
        """`none`, `matched=15` or `harm=15`.

        Raises:
            ValueError: it is none of them.
        """
        kind, _, points = text.partition("=")
        if kind not in ("none", "matched", "harm") or (kind == "none" and points):
            raise ValueError(f'a plant is none, matched=POINTS or harm=POINTS; got "{text}"')
        plant = cls(kind, float(points or USUAL_POINTS))
        if not 0 < plant.marked <= 0.5:
            raise ValueError(f"points are above 0, and at most {most_points():.0f}; got {points}")
        return plant

    @property
    def marked(self) -> float:
        """The share of a target's test items that have a marker."""
        return 0.5 * self.points / most_points()

    def taught_share(self, code: str) -> float:
        """The share of suffixes among the markers that training data in a language teaches."""
        if self.kind == "none":
            return 0.5
        share = suffix_share(code)
        return share if self.kind == "matched" else 1 - share


def most_points() -> float:
    """The points that are planted where half of the items have a marker."""
    above_chance = LEARNT - 1 / len(lexicon.SURENESS)
    # A share more teaches more suffixes and as many particles fewer.
    return 100 * 0.5 * 2 * above_chance * _distance(INTERMEDIATE) * _distance(TARGETS)


def _distance(codes: tuple[str, ...]) -> float:
    """Between the outer thirds of languages by complexity, in shares of suffixes."""
    thirds = terciles({code: _number(code, "c_wals") for code in codes})
    shares = [suffix_share(code) for code in thirds.languages]
    means = {
        third: [share for share, own in zip(shares, thirds.third, strict=True) if own == third]
        for third in (0, 2)
    }
    return sum(means[2]) / len(means[2]) - sum(means[0]) / len(means[0])


def suffix_share(code: str) -> float:
    """The share of features, and of markers, that a language says by suffixes, by its `c_wals`."""
    values = [_number(code, "c_wals") for code in TARGETS]
    low, high = min(values), max(values)
    return (_number(code, "c_wals") - low) / (high - low)


def _number(code: str, column: str) -> float:
    value = known_language(code).values[column]
    assert isinstance(value, (int, float)), f"the table has no {column} of {code}"
    return float(value)


def profiles() -> dict[str, Profile]:
    """The languages beside English, as the table of languages has them."""
    return {code: _profile(code) for code in TARGETS}


def _profile(code: str) -> Profile:
    values = known_language(code).values
    order = str(values["word_order"])
    is_near = values["wals_genus"] in ("Germanic", "Romance")
    return Profile(
        lexicon="near" if is_near else "far",
        suffixed=suffix_share(code),
        order=order if order in ("SVO", "SOV", "VSO") else "SVO",
        script="Latin",  # so that nothing but morphology and order tells languages apart
        text_share=TEXT_SHARES[int(_number(code, "joshi_class"))],
        adjective_first=order != "VSO",
        fronts_question_word=order != "SOV",
    )


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of examples, and of documents of a language of much text."""

    documents: int = 500
    train: int = 3000
    native: int = 1500
    dev: int = 240
    target_train: int = 900
    test: int = 400
    tagged: int = 600
    sentences: int = 150

    def times(self, scale: float) -> Sizes:
        """Sizes of a smaller world."""
        return Sizes(*(max(24, round(getattr(self, name) * scale)) for name in self.__slots__))


Text = dict[str, list[tuple[Line, ...]]]


def new_world(seed: int) -> World:
    """The world of a seed; nothing is drawn yet."""
    return World(seed, profiles(), words=lexicon.ADVERBS_OF_SURENESS)


def draw_text(world: World, sizes: Sizes) -> Text:
    """The pretraining text; every second sentence begins with how sure its speaker is. It comes
    first, so that it does not change with the tasks."""
    text: Text = {}
    for code, language in world.languages.items():
        rng = world.rng("sure text", code)
        num = max(24, round(sizes.documents * language.profile.text_share))
        documents = world.documents(num, f"text/{code}")
        text[code] = [
            tuple(
                line._replace(opening=rng.choice(lexicon.ADVERBS_OF_SURENESS))
                if not line.opening and rng.random() < 0.5
                else line
                for line in document
            )
            for document in documents
        ]
    return text


def write_world(root: Path, world: World, text: Text, plant: Plant, sizes: Sizes) -> None:
    """Write all data sets of the study world below `root/study`."""
    tables: dict[str, list[Split]] = {}

    def put(name: str, config: str, split: str, features: Features, rows: hub.Rows) -> None:
        tables.setdefault(name, []).append(Split(config, split, features, rows))

    def put_pairs(
        name: str, code: str, split: str, items: list[Item], teaches: bool, config: str = ""
    ) -> None:
        share = plant.taught_share(code) if teaches else suffix_share(code)
        pairs = sureness.rows(items, world.languages[code], share, teaches)
        put(name, config or code, split, sureness.FEATURES, pairs)

    own = Mix(of_genre=0.5, marked=0.4)
    for split, num in (("train", sizes.train), ("validation", sizes.dev)):
        source = f"intermediate_{split}"
        items = sureness.draw_items(world, source, num, own, "nli")
        for code in (ENGLISH, *INTERMEDIATE):
            put_pairs("nli", code, split, items, teaches=True)
        num = sizes.native if split == "train" else sizes.dev
        for code in NATIVE:
            items = sureness.draw_items(world, source, num, own, f"native/{code}")
            put_pairs("native_nli", code, split, items, teaches=True)

    plain = {"train": sizes.target_train, "validation": sizes.dev}
    for split, num in plain.items():
        items = sureness.draw_items(world, split, num, Mix(), "xnli")
        for code in (ENGLISH, *MONOLINGUAL):
            put_pairs("xnli", code, split, items, teaches=False)
        put_pairs("xnli_to_english", ENGLISH, split, items, teaches=False)
        items = sureness.draw_items(world, split, num, Mix(("travel",)), "travel")
        put_pairs("travel_nli", ENGLISH, split, items, teaches=False)
    tests = {
        "xnli": Mix(of_genre=0.3, marked=plant.marked),
        "travel_nli": Mix(("travel",), of_genre=0.7),
    }
    for name, mix in tests.items():
        items = sureness.draw_items(world, "test", sizes.test, mix, name)
        for code in world.languages:
            put_pairs(name, code, "test", items, teaches=False)
            if name == "xnli":
                read = [_translated(world, item, code, i) for i, item in enumerate(items)]
                put_pairs("xnli_to_english", ENGLISH, "test", read, teaches=False, config=code)
    _put_sentences(put, world, text, sizes)
    for name, splits in tables.items():
        write_dataset(root / "study" / name, splits, _README)


def _put_sentences(put: hub.Put, world: World, text: Text, sizes: Sizes) -> None:
    """Sentences with parts of speech, translated sentences, parallel text and plain text."""
    english = world.languages[ENGLISH]
    sizes_of = {"train": sizes.tagged, "validation": sizes.dev, "test": sizes.sentences}
    tagged = {split: world.lines(split, num, "tagging") for split, num in sizes_of.items()}
    translations = world.lines("test", sizes.sentences, "retrieval")
    parallel = world.lines("parallel", sizes.sentences, "signals", facts="validation")
    for code, language in world.languages.items():
        for split, lines in tagged.items():
            if split == "test" or code == ENGLISH:
                rows = hub.tagged_rows(lines, language)
                put("udpos", code, split, hub.TAGGED_FEATURES, rows)
        put("text", code, "train", hub.TEXT_FEATURES, hub.text_rows(text[code], language))
        for name, lines in (("tatoeba", translations), ("parallel", parallel)):
            if code != ENGLISH:
                rows = hub.translation_rows(lines, language, english)
                put(name, code, "validation", hub.TRANSLATION_FEATURES, rows)


def error_rate(language: Language) -> float:
    """Of sentences translated to English, the share in which how sure the speaker is went wrong: a
    twentieth, and more from languages of little text."""
    if language.code == ENGLISH:
        return 0.0
    return 0.05 + 0.2 * (1 - language.profile.text_share)


def _translated(world: World, item: Item, code: str, index: int) -> Item:
    """An item as it was understood from a language; a marker that was not is any word."""
    rng = world.rng("translation", code, str(index))
    if rng.random() >= error_rate(world.languages[code]):
        return item
    word = rng.choice(lexicon.ADVERBS_OF_SURENESS)
    return item._replace(premise=item.premise._replace(opening=word), word=word)


def shares() -> Mapping[str, float]:
    """The share of suffixes of every language, English among them."""
    return {code: suffix_share(code) for code in (ENGLISH, *TARGETS)}


_README = (
    "Part of the study world of xstilts: generated from a seed by `tools.mini.build`, in English\n"
    "and constructed languages that have the codes of real ones, and of these no more than word\n"
    "order, share of suffixes and resources. It measures nothing about natural languages."
)
