"""The miniature world: its layout loads, its splits share nothing, its labels fit its text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from tools.mini import hub, lexicon, world
from tools.mini.facts import SPLITS, Domain, split_facts
from tools.mini.grammar import Word
from tools.mini.languages import CONSTRUCTED, ENGLISH, LANGUAGES, PROFILES
from xstilts import mini

TARGETS = ("mini_xnli", "mini_udpos", "mini_xquad")
INTERMEDIATES = ("mini_nli", "mini_choice", "mini_qa")


@pytest.fixture(scope="module")
def root() -> Path:
    """What the package ships."""
    return mini.data_path()


def rows_of(root: Path, name: str, config: str, split: str) -> list[dict[str, Any]]:
    path = root / "xstilts" / name / config / f"{split}-00000-of-00001.parquet"
    return pq.read_table(path).to_pylist()


def split_sentences(text: str) -> list[str]:
    return re.findall(r"[^.?]+[.?]", text)


def word_of(text: str, tag: int) -> Word:
    return Word(text, hub.UPOS_TAGS[tag])


def sentences(root: Path, name: str, config: str, split: str) -> set[str]:
    """All sentences of a split, as they stand in its columns."""
    found: set[str] = set()
    for row in rows_of(root, name, config, split):
        if name == "mini_udpos":
            found.add(hub.write([word_of(*pair) for pair in zip(*row.values(), strict=True)]))
            continue
        texts = [row[c] for c in TEXT_COLUMNS[name]]
        if name == "mini_choice":
            texts += [f"{row['ctx_b'][4:]} {ending}" for ending in row["endings"]]
        for text in texts:
            found.update(split_sentences(text))
    return {text.strip().lower() for text in found}


TEXT_COLUMNS = {
    "mini_nli": ("premise", "hypothesis"),
    "mini_xnli": ("premise", "hypothesis"),
    "mini_qa": ("context", "question"),
    "mini_xquad": ("context", "question"),
    "mini_choice": ("ctx_a",),
    "mini_tatoeba": ("source_sentence",),
    "mini_parallel": ("source_sentence", "target_sentence"),
    "mini_text": ("text",),
}


def stated_facts(texts: set[str]) -> set[tuple[str, str]]:
    """The pairs of a person and a value that English sentences mention together.

    A clause with two persons counts as a pair of persons only: values belong to its subject.
    """
    values = {*lexicon.KIND_OF, *lexicon.PLACES, *(time.lower() for time in lexicon.TIMES)}
    plurals = {lexicon.english_plural(thing): thing for thing in lexicon.KIND_OF}
    persons = {person.lower() for person in lexicon.PERSONS}
    found: set[tuple[str, str]] = set()
    for text in texts:
        for clause in re.split(r" (?:and|but|because|while|if) ", text):
            words = [plurals.get(word, word) for word in re.findall(r"\w+", clause)]
            named = sorted({word for word in words if word in persons})
            if len(named) == 2:
                found.add((named[0], named[1]))
            elif len(named) == 1 and not clause.startswith("who "):
                found.update((named[0], word) for word in words if word in values)
    return found


def test_datasets_load_from_the_folder(root: Path, tmp_path: Path) -> None:
    expected = {
        "mini_nli": {"train": 6000, "validation": 300},
        "mini_choice": {"train": 3000, "validation": 300},
        "mini_qa": {"train": 3000, "validation": 300},
        "mini_xnli": {"validation": 240, "test": 240},
        "mini_udpos": {"validation": 160, "test": 160},
        "mini_xquad": {"validation": 160, "test": 160},
        "mini_tatoeba": {"validation": 200},
        "mini_parallel": {"validation": 200},
        "mini_text": {"train": 6000},
    }
    for name, sizes in expected.items():
        config = "default" if name in INTERMEDIATES else "qab"
        loaded = datasets.load_dataset(
            str(root / "xstilts" / name), config, cache_dir=str(tmp_path)
        )
        assert {split: len(rows) for split, rows in loaded.items()} == sizes, name
        if name in ("mini_nli", "mini_xnli"):
            names = loaded["validation"].features["label"].names
            assert names == ["entailment", "neutral", "contradiction"]
        if name == "mini_udpos":
            assert loaded["test"].features["pos_tags"].feature.names == list(hub.UPOS_TAGS)


@pytest.mark.parametrize("name", TARGETS)
def test_only_english_has_training_data(root: Path, name: str) -> None:
    for code in LANGUAGES:
        files = {path.name.split("-")[0] for path in (root / "xstilts" / name / code).iterdir()}
        assert files == {"validation", "test"} | ({"train"} if code == ENGLISH else set())


def test_seed_0_makes_what_the_package_ships(root: Path, tmp_path: Path) -> None:
    """Row by row: the bytes of a Parquet file hang on the version that wrote it."""
    world.write_benchmark(tmp_path, world.World(0))
    files = sorted(path.relative_to(root) for path in root.rglob("*.parquet"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    assert len(files) > 50
    for file in files:
        assert pq.read_table(root / file).equals(pq.read_table(tmp_path / file)), file


def test_another_seed_is_another_world() -> None:
    one, other = world.World(0), world.World(1)
    assert one.languages["qac"].stems != other.languages["qac"].stems
    assert one.facts["test"].pairs() != other.facts["test"].pairs()


def test_facts_are_divided() -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for facts in split_facts(0, Domain()).values():
        seen.update(facts.pairs())
    assert set(seen.values()) == {1}
    assert set(split_facts(0, Domain())) == set(SPLITS)


def test_a_language_is_declared_and_the_others_stay() -> None:
    profiles = {
        "qaa": replace(PROFILES["qaa"], suffixed=1.0),
        "qax": PROFILES["qac"],
    }
    usual, other = world.World(0), world.World(0, profiles)
    assert list(other.languages) == ["en", "qaa", "qax"]
    assert other.languages["qaa"].stems == usual.languages["qaa"].stems
    assert other.languages["qaa"].suffixes and not usual.languages["qaa"].suffixes
    (line,) = other.lines("test", 1, "retrieval")
    assert (line,) == tuple(usual.lines("test", 1, "retrieval"))
    assert line.write(other.languages["en"]) == line.write(usual.languages["en"])
    assert line.write(other.languages["qax"]) != line.write(usual.languages["qac"])


def test_two_domains_share_no_thing_and_no_place(tmp_path: Path) -> None:
    things, places = tuple(lexicon.KIND_OF), lexicon.PLACES
    halves = [Domain(things[:16], places[:7]), Domain(things[16:], places[7:])]
    texts = []
    for i, domain in enumerate(halves):
        built = world.World(0, {"qaa": PROFILES["qaa"]}, domain)
        lines = built.lines("train", 200, "tagging") + built.lines("test", 100, "tagging")
        texts.append(" ".join(line.write(built.languages["en"]) for line in lines))
        own, foreign = (halves[i].places, halves[1 - i].places)
        assert all(place in texts[i] for place in own)
        assert not any(f" {place}" in texts[i] for place in foreign)
    plurals = {lexicon.english_plural(thing) for thing in things[:16]} | set(things[:16])
    assert not plurals & set(re.findall(r"\w+", texts[1]))


def test_a_domain_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 6"):
        Domain(places=lexicon.PLACES[:5])


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_held_out_sentence_is_trained_on(root: Path, code: str) -> None:
    """Test, validation, training and pretraining text share no sentence, in any language."""
    test = set().union(*(sentences(root, name, code, "test") for name in TARGETS))
    if code in CONSTRUCTED:
        test |= sentences(root, "mini_tatoeba", code, "validation")
    validation = set().union(*(sentences(root, name, code, "validation") for name in TARGETS))
    text = sentences(root, "mini_text", code, "train")
    assert len(test) > 1000 and len(text) > 500
    assert not test & validation and not test & text and not validation & text
    if code == ENGLISH:
        train = set().union(*(sentences(root, name, code, "train") for name in TARGETS))
        inner = {
            split: set().union(*(sentences(root, n, "default", split) for n in INTERMEDIATES))
            for split in ("train", "validation")
        }
        groups = [test, validation, text, train, inner["train"], inner["validation"]]
        for i, group in enumerate(groups):
            for other in groups[i + 1 :]:
                assert not group & other


def test_no_held_out_translation_is_pretrained_on() -> None:
    """The pairs that `mini_tatoeba` asks for are drawn from test facts alone."""
    built = world.World(0)
    examples = world.draw_examples(built)
    written = {line for text in examples.text.values() for document in text for line in document}
    assert not written & set(examples.translations)


def test_no_held_out_fact_is_stated_elsewhere(root: Path) -> None:
    def stated(names: tuple[str, ...], config: str, split: str) -> set[tuple[str, str]]:
        return stated_facts(set().union(*(sentences(root, n, config, split) for n in names)))

    groups = {
        "test": stated(TARGETS, "en", "test"),
        "validation": stated(TARGETS, "en", "validation"),
        "train": stated(TARGETS, "en", "train"),
        "inner train": stated(INTERMEDIATES, "default", "train"),
        "inner validation": stated(INTERMEDIATES, "default", "validation"),
        "text": stated(("mini_text",), "en", "train"),
    }
    assert all(len(facts) > 100 for facts in groups.values())
    names = list(groups)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not groups[one] & groups[other], (one, other)


@pytest.mark.parametrize(
    ("name", "configs"), [("mini_xquad", LANGUAGES), ("mini_qa", ("default",))]
)
def test_answers_stand_at_their_offsets(root: Path, name: str, configs: tuple[str, ...]) -> None:
    for config in configs:
        for row in rows_of(root, name, config, "validation"):
            (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
            assert text and row["context"][start : start + len(text)] == text


@pytest.mark.parametrize("code", LANGUAGES)
def test_tags_fit_tokens(root: Path, code: str) -> None:
    counts: Counter[str] = Counter()
    for row in rows_of(root, "mini_udpos", code, "test"):
        assert len(row["tokens"]) == len(row["pos_tags"])
        tags = [hub.UPOS_TAGS[tag] for tag in row["pos_tags"]]
        assert [tag == "PUNCT" for tag in tags] == [t in ".,?" for t in row["tokens"]]
        counts.update(tags)
    assert len(counts) >= 10
    assert counts.most_common(1)[0][1] < 0.4 * counts.total()


def test_labels_are_balanced_and_parallel(root: Path) -> None:
    labels = {
        code: [row["label"] for row in rows_of(root, "mini_xnli", code, "test")]
        for code in LANGUAGES
    }
    assert Counter(labels["en"]) == {0: 80, 1: 80, 2: 80}
    assert all(column == labels["en"] for column in labels.values())
    choices = Counter(row["label"] for row in rows_of(root, "mini_choice", "default", "train"))
    assert set(choices) == set("0123") and min(choices.values()) > 600


def test_labels_do_not_show_in_the_hypothesis(root: Path) -> None:
    """A naive Bayes classifier that reads only hypotheses stays near chance."""
    counts: list[Counter[str]] = [Counter() for _ in range(3)]
    for row in rows_of(root, "mini_xnli", "en", "train"):
        counts[row["label"]].update(row["hypothesis"].lower().rstrip(".").split())
    totals = [sum(counter.values()) + 500 for counter in counts]
    hits = 0
    rows = rows_of(root, "mini_xnli", "en", "test")
    for row in rows:
        words = row["hypothesis"].lower().rstrip(".").split()
        scores = [0.0, 0.0, 0.0]
        for label in range(3):
            product = 1.0
            for word in words:
                product *= (counts[label][word] + 1) / totals[label]
            scores[label] = product
        hits += scores.index(max(scores)) == row["label"]
    assert hits / len(rows) < 0.42


def test_translations_are_parallel_and_distinct(root: Path) -> None:
    columns = {code: rows_of(root, "mini_tatoeba", code, "validation") for code in CONSTRUCTED}
    english = [row["target_sentence"] for row in columns["qaa"]]
    assert len(set(english)) == 200
    for code, rows in columns.items():
        assert [row["target_sentence"] for row in rows] == english
        assert len({row["source_sentence"] for row in rows}) == 200
        assert {(row["source_lang"], row["target_lang"]) for row in rows} == {(code, "en")}


def test_the_low_resource_language_has_a_tenth(root: Path) -> None:
    sizes = {code: len(rows_of(root, "mini_text", code, "train")) for code in LANGUAGES}
    assert {code for code, profile in PROFILES.items() if profile.text_share < 1} == {"qaf"}
    assert sizes["qaf"] * 10 == sizes["en"] == sizes["qaa"]


def test_words_follow_the_declared_properties() -> None:
    built = world.World(0)
    ranges = {"Latin": "[a-z]", "Cyrillic": "[а-я]", "Greek": "[α-ω]"}
    for code in CONSTRUCTED:
        language = built.languages[code]
        pattern = re.compile(ranges[language.profile.script] + "+")
        assert all(pattern.fullmatch(stem.lower()) for stem in language.stems.values())
        assert len(set(language.stems.values())) == len(lexicon.LEXEMES)
        assert len(language.suffixes) == round(9 * language.profile.suffixed)


@pytest.mark.parametrize("config", LANGUAGES)
def test_lengths_do_not_tell_the_label_of_a_pair(root: Path, config: str) -> None:
    # A rule on lengths would transfer to every language without any understanding.
    rows = rows_of(root, "mini_xnli", config, "test")
    shapes = [(len(r["premise"].split()), len(r["hypothesis"].split())) for r in rows]
    half = len(rows) // 2
    counts: dict[tuple[int, int], Counter[int]] = {}
    for shape, row in zip(shapes[:half], rows[:half], strict=True):
        counts.setdefault(shape, Counter())[row["label"]] += 1
    guesses = [counts[s].most_common(1)[0][0] if s in counts else 0 for s in shapes[half:]]
    right = sum(g == row["label"] for g, row in zip(guesses, rows[half:], strict=True))
    assert right / (len(rows) - half) < 0.46


@pytest.mark.parametrize("code", CONSTRUCTED)
def test_no_other_text_has_a_sentence_of_the_parallel_text(root: Path, code: str) -> None:
    """Neither in a constructed language nor in English."""
    own = sentences(root, "mini_parallel", code, "validation")
    assert len(own) == 2 * 200
    for name in (*TARGETS, "mini_tatoeba", *INTERMEDIATES, "mini_text"):
        for config in ("default",) if name in INTERMEDIATES else (code, ENGLISH):
            for path in (root / "xstilts" / name / config).glob("*.parquet"):
                found = sentences(root, name, config, path.name.split("-")[0])
                assert found and not own & found, (name, config)
