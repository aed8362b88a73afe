"""The world of a seed: its languages, its divided facts, and the examples made from them.

`python -m tools.mini.world --out DIR [--seed 0]` writes the benchmark. All splits draw on their
own facts, and a ledger keeps any sentence from standing in two of them; it trains nothing.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.mini import hub, inference, reading
from tools.mini.facts import Domain, Facts, split_facts
from tools.mini.grammar import Clause
from tools.mini.languages import ENGLISH, PROFILES, Language, Profile, build_languages
from tools.mini.reading import Choice, Line, Pair, Passage
from xstilts.data.hub_layout import Features, Split, write_dataset

# Number of examples by split of the facts; the pretraining text has documents.
NUM_PAIRS = {"test": 240, "validation": 240, "train": 6000}
NUM_INTERMEDIATE = {"intermediate_validation": 300, "intermediate_train": 3000}
NUM_INTERMEDIATE_PAIRS = {"intermediate_validation": 300, "intermediate_train": 6000}
NUM_TAGGED = {"test": 160, "validation": 160, "train": 800}
NUM_PASSAGES = {"test": 160, "validation": 160, "train": 3000}
NUM_TRANSLATIONS = 200
NUM_PARALLEL = 200
NUM_DOCUMENTS = 6000
PASSAGE_LINES = 3


@dataclass(slots=True)
class World:
    """Languages and facts of a seed; draws examples whose sentences no other split has.

    `profiles` declare the languages beside English, their morphology among other things; `domain`
    is what it speaks of, `words` are adverbs that its languages have beside the lexicon's.
    """

    seed: int
    profiles: Mapping[str, Profile] = field(default_factory=lambda: PROFILES)
    domain: Domain = Domain()  # noqa: RUF009 - frozen
    words: tuple[str, ...] = ()
    languages: dict[str, Language] = field(init=False, repr=False)
    facts: dict[str, Facts] = field(init=False, repr=False)
    # What a sentence says -> the split it stands in.
    _ledger: dict[Line, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.languages = build_languages(self.seed, self.profiles, self.words)
        self.facts = split_facts(self.seed, self.domain)

    def pairs(self, split: str, num: int, style: inference.Style) -> list[Pair]:
        """Distinct sentence pairs, labels in equal numbers."""
        rng = self.rng("pairs", split)
        pairs: list[Pair] = []
        seen: set[tuple[Line, Line]] = set()
        while len(pairs) < num:
            label = len(pairs) % len(inference.LABELS)
            premise, hypothesis = (
                Line((clause,))
                for clause in inference.draw_pair(
                    rng, self.facts[split], inference.LABELS[label], style
                )
            )
            if premise == hypothesis or (premise, hypothesis) in seen:
                continue
            if self.claim(split, (premise, hypothesis)):
                seen.add((premise, hypothesis))
                pairs.append(Pair(premise, hypothesis, label))
        rng.shuffle(pairs)
        return pairs

    def choices(self, split: str, num: int) -> list[Choice]:
        """Contexts with four endings."""
        rng = self.rng("choices", split)
        choices: list[Choice] = []
        while len(choices) < num:
            drawn = inference.draw_continuation(rng, self.facts[split])
            if drawn is None:
                continue
            context = tuple(Line((clause,)) for clause in drawn[0])
            endings = tuple(Line((clause,)) for clause in drawn[1])
            if len(set(endings)) == len(endings) and self.claim(split, (*context, *endings)):
                choices.append(Choice(context, endings, drawn[2]))
        return choices

    def passages(self, split: str, num: int, fronting_rate: float) -> list[Passage]:
        """Passages with a question."""
        rng = self.rng("passages", split)
        passages: list[Passage] = []
        while len(passages) < num:
            passage = reading.draw_passage(rng, self.facts[split], PASSAGE_LINES, fronting_rate)
            if passage and self.claim(split, (*passage.lines, passage.question)):
                passages.append(passage)
        return passages

    def lines(self, split: str, num: int, purpose: str, facts: str = "") -> list[Line]:
        """Distinct single sentences, of the facts of the split or of another."""
        rng = self.rng("lines", purpose, split)
        lines: dict[Line, None] = {}
        while len(lines) < num:
            line = reading.draw_line(rng, self.facts[facts or split])
            if line not in lines and self.claim(split, (line,)):
                lines[line] = None
        return list(lines)

    def documents(self, num: int, purpose: str) -> list[tuple[Line, ...]]:
        """Documents of the pretraining text."""
        rng = self.rng("documents", purpose)
        documents: list[tuple[Line, ...]] = []
        while len(documents) < num:
            document = reading.draw_document(rng, self.facts["pretraining"])
            if self.claim("pretraining", document):
                documents.append(document)
        return documents

    def rng(self, *purpose: str) -> random.Random:
        """A stream of random numbers for one purpose."""
        return random.Random("/".join((str(self.seed), *purpose)))

    def claim(self, split: str, lines: Iterable[Line]) -> bool:
        """Whether the lines may stand in a split; if so no other split gets them."""
        sayings = [_saying(line) for line in lines]
        if any(self._ledger.get(saying, split) != split for saying in sayings):
            return False
        self._ledger.update(dict.fromkeys(sayings, split))
        return True


def _saying(line: Line) -> Line:
    """The line without the values that it does not say: equal if, and only if, the text is."""
    return line._replace(clauses=tuple(_said(clause) for clause in line.clauses))


def _said(clause: Clause) -> Clause:
    if not clause.place or clause.asks == "place":
        clause = clause.with_(relation="")
    return clause.with_(**{clause.asks: ""}) if clause.asks else clause


@dataclass(frozen=True, slots=True)
class Examples:
    """All examples of a world by split, and its pretraining text by language."""

    pairs: dict[str, list[Pair]]
    choices: dict[str, list[Choice]]
    passages: dict[str, list[Passage]]
    tagged: dict[str, list[Line]]
    translations: list[Line]
    parallel: list[Line]
    text: dict[str, list[tuple[Line, ...]]]


def draw_examples(world: World) -> Examples:
    """All examples of the benchmark.

    The pretraining text comes first, so that it, and with it the shipped encoder, does not change
    with the tasks; a task never says a sentence that the text has.
    """
    text = {
        code: world.documents(int(NUM_DOCUMENTS * language.profile.text_share), f"text/{code}")
        for code, language in world.languages.items()
    }
    pairs: dict[str, list[Pair]] = {}
    passages: dict[str, list[Passage]] = {}
    tagged: dict[str, list[Line]] = {}
    translations = world.lines("test", NUM_TRANSLATIONS, "retrieval")
    for split, num in NUM_PAIRS.items():
        pairs[split] = world.pairs(split, num, inference.TARGET)
        passages[split] = world.passages(split, NUM_PASSAGES[split], fronting_rate=0.0)
        tagged[split] = world.lines(split, NUM_TAGGED[split], "tagging")
    choices: dict[str, list[Choice]] = {}
    for split, num in NUM_INTERMEDIATE.items():
        pairs[split] = world.pairs(split, NUM_INTERMEDIATE_PAIRS[split], inference.INTERMEDIATE)
        passages[split] = world.passages(split, num, fronting_rate=0.4)
        choices[split] = world.choices(split, num)
    # The last, so that it changes nothing that was there before it. A split of its own in the
    # ledger, so that no other has a sentence of it.
    parallel = world.lines("parallel", NUM_PARALLEL, "signals", facts="validation")
    return Examples(pairs, choices, passages, tagged, translations, parallel, text)


def write_benchmark(root: Path, world: World) -> None:
    """Write all data sets of a world below `root/xstilts`."""
    examples = draw_examples(world)
    english = world.languages[ENGLISH]
    inner = {"train": "intermediate_train", "validation": "intermediate_validation"}
    tables: dict[str, list[Split]] = {}

    def put(name: str, config: str, split: str, features: Features, rows: hub.Rows) -> None:
        tables.setdefault(name, []).append(Split(config, split, features, rows))

    for split, source in inner.items():
        pairs = hub.pair_rows(examples.pairs[source], english)
        put("mini_nli", "default", split, hub.PAIR_FEATURES, pairs)
        choices = hub.choice_rows(examples.choices[source], english)
        put("mini_choice", "default", split, hub.CHOICE_FEATURES, choices)
        passages = hub.passage_rows(examples.passages[source], english, split)
        put("mini_qa", "default", split, hub.PASSAGE_FEATURES, passages)
    for code, language in world.languages.items():
        for split in _target_splits(code):
            pairs = hub.pair_rows(examples.pairs[split], language)
            put("mini_xnli", code, split, hub.PAIR_FEATURES, pairs)
            tagged = hub.tagged_rows(examples.tagged[split], language)
            put("mini_udpos", code, split, hub.TAGGED_FEATURES, tagged)
            passages = hub.passage_rows(examples.passages[split], language, split)
            put("mini_xquad", code, split, hub.PASSAGE_FEATURES, passages)
        text = hub.text_rows(examples.text[code], language)
        put("mini_text", code, "train", hub.TEXT_FEATURES, text)
        if code != ENGLISH:
            translations = hub.translation_rows(examples.translations, language, english)
            put("mini_tatoeba", code, "validation", hub.TRANSLATION_FEATURES, translations)
            parallel = hub.translation_rows(examples.parallel, language, english)
            put("mini_parallel", code, "validation", hub.TRANSLATION_FEATURES, parallel)
    for name, splits in tables.items():
        write_dataset(root / "xstilts" / name, splits, hub.README)


def _target_splits(code: str) -> Sequence[str]:
    """Only English has training data."""
    return ("train", "validation", "test") if code == ENGLISH else ("validation", "test")


def main() -> None:
    """Write the benchmark to the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write the miniature benchmark.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--languages", default=",".join(PROFILES), help="of those beside English")
    arguments = parser.parse_args()
    profiles = {code: PROFILES[code] for code in arguments.languages.split(",")}
    write_benchmark(arguments.out, World(arguments.seed, profiles))


if __name__ == "__main__":
    main()
