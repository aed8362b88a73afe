"""Names, families and scripts of languages: all that the catalogue's targets are scored in."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from xstilts.tasks import known_tasks
from xstilts.tasks.languages import LANGUAGES, UNKNOWN, language

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "languages.csv"


def test_every_language_of_the_benchmarks_is_known() -> None:
    scored = {code for task in known_tasks() if task.is_target for code in task.languages}
    assert not {code for code in scored if language(code).family == UNKNOWN}
    assert language("xx").name == "xx" and language("xx").script == UNKNOWN


@pytest.mark.skipif(not FACTS.exists(), reason=f"{FACTS} is not there")
def test_families_and_scripts_are_those_of_the_published_table() -> None:
    with FACTS.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["in_xtreme"] == "1"]
    assert len(rows) == 40
    for row in rows:
        one = LANGUAGES[row["code"]]
        assert one.script == row["script"] and row["name"].startswith(one.name)
        isolates = {"isolate": "Isolate", "isolate/Koreanic": "Koreanic"}
        assert one.family == isolates.get(row["family"], row["family"]), row["code"]
