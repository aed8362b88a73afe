"""The page of a study: what it says of every test, of what is withheld, of holes; escaped names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from xstilts.config.study import Test
from xstilts.errors import ConfigError
from xstilts.study.answer import Answer
from xstilts.study.answer_tables import TESTS
from xstilts.study.page import page, write_page

from ..report.test_page import Page
from . import answers


def made(answer: Answer) -> tuple[str, Page]:
    text = page(answer)
    return text, Page(text)


def test_the_answer_stands_first_and_large() -> None:
    text, _ = made(answers.answer())
    answer = text.index('<p class="answer">Yes: rich beats english by 1.8 points [+0.6, +3.1]')
    assert text.index("<h1") < answer < text.index("<nav")
    assert text == page(answers.answer()), "equal answers, equal bytes"
    assert '<p class="answer long">' in page(answers.answer(says="much " * 60))


def test_every_test_has_a_name_and_a_row() -> None:
    assert {*TESTS} == {*get_args(Test)}
    _, found = made(answers.answer())
    rows = {row[0]: row for row in found.table("contrast", 11)[1:]}
    assert {row[2] for row in rows.values()} == {*TESTS.values()}
    assert rows["rich_over_english"][3:5] == ["+1.8\xa0[+0.6,\xa0+3.1]"] * 2
    assert rows["rich_over_english"][5:] == ["7.3", "0.008", "0.016", "yes", "1.6", "–"]
    assert rows["rich_on_unseen"][8:10] == ["no", "1.9"], "what would have been found"
    assert rows["half_equivalence"][8:] == ["no", "–", "14"]


def test_primary_contrasts_stand_above_exploratory_ones() -> None:
    text, found = made(answers.answer())
    standings = [row[1] for row in found.table("contrast", 11)[1:]]
    assert standings == sorted(standings, reverse=True) and len({*standings}) == 2
    assert text.index(">Primary<") < text.index(">Exploratory<")


def test_what_is_withheld_says_why_and_has_no_number() -> None:
    text, found = made(answers.answer(answers.withheld()))
    reason = "a slope needs 12 target languages with c_wals, there are 4"
    (row,) = found.table("contrast", 11)[1:]
    assert row[4] == f"withheld: {reason}" and row[5:9] == ["–"] * 4
    assert f"<strong>Nothing is tested:</strong> {reason}" in text
    assert "nothing is tested" in text and '<circle class="dot"' not in text
    assert "No line was fitted." in text


def test_holes_are_dashes_that_are_explained() -> None:
    text, found = made(answers.answer())
    arms = {row[0]: row for row in found.table("arm", 9)[1:]}
    assert arms["half"][5:] == ["2", "–", "–", "–"]
    assert arms["english"][6:] == ["20,000", "625", "61.4"]
    notes = re.findall(r"</table>\n</div>\s*(.*)", text.split('id="design"')[1])
    assert "–: members differ" in notes[0] and "–: none" in notes[1] and "–: the" in notes[2]
    assert "None" not in re.sub(r"<[^>]*>", "", text)


def test_what_items_say_stands_beside_the_tests() -> None:
    text, found = made(answers.answer())
    rows = {row[0]: row for row in found.table("contrast", 8)[1:]}
    own = ["+1.8\xa0[+1.0,\xa0+2.7]", "+1.8\xa0[−0.1,\xa0+3.8]"]
    assert rows["rich_over_english"][3:6] == ["<0.001", *own]
    assert rows["slope_on_few"][3:6] == ["–"] * 3
    assert "exploratory, and speak of these checkpoints and not of the method" in text


def test_probes_stand_by_arm_before_and_after() -> None:
    text, found = made(answers.answer(probes=answers.probed()))
    assert found.table("arm", 3)[1:] == [
        ["english", "1.50 to 1.50", "17.4 to −16.3"],
        ["rich", "–", "17.4 to –"],
    ]
    assert found.table("language", 5)[1:] == [
        ["Finnish", "fi", "english", "1.75 to 1.75", "20.4 to 12.0"],
        ["Finnish", "fi", "rich", "–", "20.4 to 21.0"],
        ["Vietnamese", "vi", "english", "1.25 to 1.25", "14.4 to 20.6"],
        ["Vietnamese", "vi", "rich", "–", "14.4 to –"],
    ]
    assert '<a href="#probes">' in text and "fertility: tokens a word" in text
    assert 'id="probes"' not in made(answers.answer())[0]


def test_languages_that_lose_are_counted() -> None:
    _, found = made(answers.answer(answers.contrast()))
    rows = found.table("contrast", 4)[1:]
    assert rows == [["rich_over_english", "1 of 4", "25 %", "−0.7"]]
    bare = answers.contrast(losing=None, worst=None)
    assert "Languages that lose" not in made(answers.answer(bare))[0]


def test_a_design_says_what_it_stands_on() -> None:
    text, _ = made(answers.answer())
    assert (
        "before any trial" in text and "3f2a9c" in text and "unfinished" not in text.split("nav")[1]
    )
    text, _ = made(answers.answer(registered=None, missing=("english, seed 3",)))
    assert "<strong>Not registered.</strong>" in text and "<li>english, seed 3</li>" in text
    assert "<strong>Unfinished.</strong>" in text
    changed = answers.registered(trials_before=3, changed=("margin",))
    text, _ = made(answers.answer(registered=changed))
    assert "Changed since it was registered:</strong> margin" in text
    assert "after 3 trials had ended" in text


def test_what_users_wrote_is_escaped() -> None:
    text, found = made(answers.hostile())
    assert "<b> &" not in text and "&lt;b&gt; &amp; &#34;x&#34;" in text
    assert found.open == []


def test_it_is_whole_by_itself() -> None:
    text, found = made(answers.answer())
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert len(found.ids) == len(set(found.ids)) and found.open == []
    names = re.findall(r"<svg (?!class=\"end-of\")[^>]*>", text)
    assert len(names) > 8 and all('role="img" aria-label="' in name for name in names)


def test_a_study_of_one_language_and_nothing_else_has_a_page() -> None:
    one = answers.contrast(cells=answers.cells(["de"]), groups=(), languages=("de",), variances={})
    text, found = made(answers.answer(one, arms=(), limits=()))
    assert found.open == [] and "<p>Nothing.</p>" in text
    assert found.table("language", 6)[1][:2] == ["German", "de"]
    bare = answers.contrast(cells=(), groups=(), effect=None, difference=None, withheld="no runs")
    text, found = made(answers.answer(bare))
    assert found.open == [] and 'id="groups"' not in text and "nothing is tested" in text


def test_it_is_written_or_says_that_it_cannot_be(tmp_path: Path) -> None:
    path = write_page(answers.answer(), tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == page(answers.answer())
    with pytest.raises(ConfigError, match="--html: cannot be written"):
        write_page(answers.answer(), path / "page.html")
