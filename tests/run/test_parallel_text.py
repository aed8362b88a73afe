"""Parallel text that a target is scored on is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from xstilts.config.load import parse_sweep
from xstilts.data.hub_layout import declared_files
from xstilts.data.importers import import_folder
from xstilts.errors import ConfigError
from xstilts.plan.inventory import row_key
from xstilts.run.inputs import take_inventory
from xstilts.run.parallel_text import sentences
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.tasks import lookup
from xstilts.tasks.further import NTREX


def inventory_of(data: Path, storage: Path, parallel: str, **changes: Any) -> Any:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(data)},
            "intermediates": {"nli": {"tasks": ["mini_nli"]}},
            "targets": ["mini_udpos", "mini_tatoeba"],
            "seeds": [0, 1],
            "search": {"strategy": "race", "signals": ["retrieval"], "parallel": parallel},
            **changes,
        },
        "test",
    )
    open_storage(storage)
    return take_inventory(sweep, Places(storage, "s"))


def test_the_parallel_text_of_the_miniature_benchmark_may_tell_signals(
    shared_mini: Path, tmp_path: Path
) -> None:
    targets = ["mini_xnli", "mini_udpos", "mini_xquad", "mini_tatoeba"]
    for split in ("test", "validation"):
        inventory = inventory_of(
            shared_mini, tmp_path, "mini_parallel", targets=targets, evaluation={"split": split}
        )
        assert "xstilts/mini_parallel" in inventory.data


def test_text_that_a_target_is_scored_on_is_refused(shared_mini: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory_of(shared_mini, tmp_path, "mini_tatoeba")
    *_, line = map(str, caught.value.problems)
    assert line.startswith("search.parallel: mini_tatoeba has no sentence that a target is scored")
    assert "that mini_tatoeba has in qaa test" in line
    assert caught.value.exit_status == 2


def test_probes_read_no_text_that_a_target_is_scored_on(shared_mini: Path, tmp_path: Path) -> None:
    probes = {"read": ["alignment"], "parallel": "mini_tatoeba", "languages": ["qab"]}
    with pytest.raises(ConfigError) as caught:
        inventory_of(shared_mini, tmp_path, "mini_parallel", probes=probes)
    *_, line = map(str, caught.value.problems)
    assert line.startswith("probes.parallel: mini_tatoeba has no sentence that a target is scored")
    assert line.endswith("leave out all probes but fertility")
    few = {"read": ["alignment"], "parallel": "few"}
    (tmp_path / "few.tsv").write_text("a\tb\n" + "eins\tone\n" * 9)
    task = {"kind": "retrieval", "files": {"test": {"qab": str(tmp_path / "few.tsv")}},
            "columns": {"source_sentence": "a", "target_sentence": "b"}}  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        inventory_of(shared_mini, tmp_path, "mini_parallel", probes=few, tasks={"few": task})
    (line,) = map(str, caught.value.problems)
    assert line.startswith("probes.parallel: a probe reads 10 sentences of a language or more")
    assert "9 of few in qab" in line
    apart = {**probes, "parallel": "mini_parallel"}
    assert inventory_of(shared_mini, tmp_path, "mini_parallel", probes=apart)


@pytest.mark.parametrize("is_scored", [False, True])
def test_parallel_news_is_looked_through_too(
    shared_mini: Path, tmp_path: Path, is_scored: bool
) -> None:
    """NTREX in its 46 languages, with a sentence in one of them that a target is scored on."""
    tatoeba = shared_mini / "xstilts" / "mini_tatoeba"
    (path,) = (tatoeba / name for name in declared_files(tatoeba)["qaa", "validation"])
    scored = parquet.read_table(path)["source_sentence"][0].as_py()
    news = tmp_path / "in" / "NTREX-128"
    news.mkdir(parents=True)
    for name in ("src.eng", *(f"ref.{code}" for code in NTREX.values())):
        second = scored if is_scored and name == "ref.deu" else f"News in {name}."
        (news / f"newstest2019-{name}.txt").write_text(f"Something of {name}.\n{second}\n")
    import_folder(news, tmp_path / "data")
    for folder in (shared_mini / "xstilts").iterdir():
        (tmp_path / "data" / "xstilts" / folder.name).symlink_to(folder)
    if is_scored:
        with pytest.raises(ConfigError) as caught:
            inventory_of(tmp_path / "data", tmp_path / "runs", "ntrex")
        *_, line = map(str, caught.value.problems)
        assert line.startswith("search.parallel: ntrex has no sentence that a target is scored on")
    else:
        inventory = inventory_of(tmp_path / "data", tmp_path / "runs", "ntrex")
        assert inventory.rows[row_key(lookup("ntrex"), "validation", "zh")] == 2


def test_missing_parallel_text_is_said(shared_mini: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "xstilts"
    root.mkdir(parents=True)
    for folder in (shared_mini / "xstilts").iterdir():
        if folder.name != "mini_parallel":
            (root / folder.name).symlink_to(folder)
    with pytest.raises(ConfigError) as caught:
        inventory_of(root.parent, tmp_path / "runs", "mini_parallel")
    (line,) = map(str, caught.value.problems)
    assert line.startswith("data.root: ") and "xstilts/mini_parallel" in line


def test_a_sentence_is_known_in_words_and_in_a_text() -> None:
    said = {"sent": ["Leo was full, in June."]}
    (key,) = sentences(said)
    assert key in sentences({"tokens": [["Leo", "was", "full", ",", "in", "June", "."]]})
    assert key in sentences({"context": ["He ran. Leo was full, in June! And ate."]})
    assert key in sentences({"choices": [["no", "leo was full in june"]]})
    assert key not in sentences({"context": ["Leo was full, in June, of soup."]})
    assert not sentences({"answers": [{"text": ["Leo was full, in June."]}], "x": ["...", ""]})
