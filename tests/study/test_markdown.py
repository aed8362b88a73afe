"""The Markdown of a study: the same tables as the page's, and names that Markdown would read."""

from __future__ import annotations

from xstilts.study.markdown import as_markdown, plain

from . import answers


def test_it_has_the_answer_and_every_table() -> None:
    text = as_markdown(answers.answer())
    lines = text.splitlines()
    assert lines[2].startswith("**Yes: rich beats english by 1.8 points [+0.6, +3.1]")
    row = "| rich_on_unseen | primary | difference | +0.3 [−0.9, +1.5] |"
    assert any(line.startswith(row) for line in lines)
    for title in (
        "Contrasts",
        "Arms",
        "What is compared",
        "Variance components",
        "Languages that lose",
    ):
        assert f"**{title}**" in text
    beside = "| rich_over_english | – | – | <0.001 | +1.8 [+1.0, +2.7] | +1.8 [−0.1, +3.8] |"
    assert beside.replace("<", r"\<") in text.replace("\xa0", " ")
    assert "**interaction_by_complexity by third of c_wals**" in text
    assert text.count(" by language and target**") == 8
    assert "withheld: a slope needs 12" in text and "None" not in text


def test_probes_stand_by_arm_and_by_language() -> None:
    text = as_markdown(answers.answer(probes=answers.probed()))
    assert "## Probes of encoders\n" in text and "| rich | – | 17.4 to – |" in text
    assert "| Finnish | fi | rich | – | 20.4 to 21.0 |" in text
    assert "Probes" not in as_markdown(answers.answer())


def test_rows_have_as_many_cells_as_their_header() -> None:
    text = as_markdown(answers.hostile()).replace(r"\|", "")
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_nothing_that_users_wrote_is_a_sign() -> None:
    assert plain("<b> a|b *x* `y` $z$") == r"\<b\> a\|b \*x\* \`y\` \$z\$"
    assert plain("mnli_en [+0.1, +0.2] & _so_\nends") == r"mnli_en [+0.1, +0.2] & \_so\_ ends"
    assert plain("&lt; [a](b)") == r"\&lt; [a\](b)"


def test_an_unfinished_study_says_so() -> None:
    assert "**Unfinished:**" not in as_markdown(answers.answer())
    text = as_markdown(answers.answer(missing=("english, seed 3",)))
    assert "**Unfinished:**" in text and text.endswith("- english, seed 3\n")
