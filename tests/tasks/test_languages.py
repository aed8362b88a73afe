"""The table of languages: every language of every task, every column with its source, and holes
where no source has a figure that can be trusted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tools.mini.languages import CONSTRUCTED, PROFILES
from xstilts.tasks import known_tasks
from xstilts.tasks.languages import COLUMNS, LANGUAGES, SHOWN, UNKNOWN, has_seen, language

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "languages.csv"
NAMES = {
    "joshi_class": "joshi_class",
    "cc100_gib": "cc100_gib",
    "cc100_tokens_m": "cc100_tokens_m",
    "wiki_articles_2020": "wiki_articles_2020",
    "word_order": "wals_81A_word_order",
    "affixation": "wals_26A_affixation",
    "synthesis": "wals_22A_synthesis",
    "fusion": "wals_20A_fusion",
    "cases": "wals_49A_cases",
    "c_wals": "c_wals",
    "c_wals_chapters": "c_wals_chapters",
    "ttr": "bentz_ttr",
    "word_entropy": "bentz_word_entropy_z",
    "ud_ttr": "ud_ttr",
    "ud_msp": "ud_msp",
    "syntax_distance": "uriel_syntax_dist_en",
    "syntax_observed": "uriel_syntax_observed",
    "phonology_distance": "uriel_phon_dist_en",
    **{name: name for name in ("iso639_3", "script", "wals_code", "glottocode")},
    **{name: name for name in ("wals_family", "wals_genus")},
}
LEFT_OUT = {
    "c_wals": "af ar bn gu jv kk ta ur",  # fewer than ten features of WALS
    "ttr": "my th",
    "word_entropy": "my th",
    "ud_msp": "ko",
    "syntax_distance": "jv kk",
}
"""Figures that their sources have and that say nothing."""


def test_every_language_of_every_task_is_in_it() -> None:
    codes = {x for task in known_tasks() for x in (*task.languages, *task.translated_languages)}
    assert codes <= set(LANGUAGES)
    assert all(one.family and one.script and one.name for one in LANGUAGES.values())
    assert language("xx").name == "xx" and language("xx").script == UNKNOWN
    assert language("xx").values["family"] is None


def test_every_column_says_what_it_is_and_where_it_is_from() -> None:
    assert all(column.about and column.source for column in COLUMNS.values())
    assert {column.values for column in COLUMNS.values()} == {"text", "class", "number"}
    assert set(SHOWN) <= set(COLUMNS)
    for one in LANGUAGES.values():
        assert list(one.values) == list(COLUMNS)
        for name, value in one.values.items():
            number = value is None or isinstance(value, int | float)
            assert number if COLUMNS[name].is_ordered else value is None or isinstance(value, str)


def test_a_figure_stands_only_where_it_can_be_trusted() -> None:
    for one in LANGUAGES.values():
        chapters, observed = one.values["c_wals_chapters"], one.values["syntax_observed"]
        assert one.values["c_wals"] is None or int(str(chapters)) >= 10
        assert one.values["syntax_distance"] is None or int(str(observed)) >= 20
        assert (one.values["cc100"] == "yes") == (one.values["cc100_gib"] is not None)


def test_the_constructed_languages_are_as_they_were_declared() -> None:
    scripts = {"Latin": "Latn", "Cyrillic": "Cyrl", "Greek": "Grek"}
    for code in CONSTRUCTED:
        one, profile = LANGUAGES[code], PROFILES[code]
        assert (one.family, one.script) == ("Constructed", scripts[profile.script])
        assert one.values["word_order"] == profile.order
        filled = {name for name, value in one.values.items() if value is not None}
        assert filled == {"code", "name", "family", "script", "word_order"}


def test_seen_is_told_of_encoders_whose_data_are_known() -> None:
    assert has_seen("FacebookAI/xlm-roberta-large", "sw") is True
    assert not any(has_seen("models/xlm-roberta-base", code) for code in ("ht", "qu", "wo", "yo"))
    assert has_seen("xlm-roberta-base", "qaa") is None, "no source says so"
    assert has_seen("xlm-roberta-large-xnli", "de") is None
    assert has_seen("google-bert/bert-base-multilingual-cased", "de") is None
    assert has_seen("builtin:mini", "qaf") is True and has_seen("builtin:mini", "de") is False


@pytest.mark.skipif(not FACTS.exists(), reason=f"{FACTS} is not there")
def test_figures_are_those_of_the_facts_and_no_others() -> None:
    with FACTS.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 50 == len([code for code in LANGUAGES if not code.startswith("qa")])
    for row in rows:
        one = LANGUAGES[row["code"]]
        isolates = {"isolate": "Isolate", "isolate/Koreanic": "Koreanic"}
        family = isolates.get(row["family"], row["family"].partition(" (")[0])
        assert one.family == family and row["name"].startswith(one.name)
        for name, fact in NAMES.items():
            left_out = row["code"] in LEFT_OUT.get(name, "").split()
            expected = None if left_out or row[fact] == "null" else row[fact]
            value = one.values[name]
            if expected is None or not COLUMNS[name].is_ordered:
                assert value == expected, (row["code"], name)
            else:
                assert value == pytest.approx(float(expected)), (row["code"], name)
        assert one.values["cc100"] == {"1": "yes", "0": "no"}[row["in_xlmr_cc100"]]
