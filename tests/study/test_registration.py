"""What a study states is written before its first trial, once and whole; answers keep to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import xstilts.files
from xstilts.files import read_json, sha256_of_file, write_json
from xstilts.run.places import UNBEGUN, Places
from xstilts.study import registration
from xstilts.study.registration import FOLDER, primary_of, register, registered, statement

from .stored import launched_places, planted, put, study_sweep

INVENTORY = {"models": {"xlmr": {"weights": "w", "tokenizer": "t"}}, "data": {"a/mnli": "d"}}


def written(places: Places) -> list[str]:
    return sorted(path.name for path in (places.sweep / FOLDER).iterdir())


def test_it_holds_what_is_asked_of_what(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    told = read_json(places.sweep / FOLDER / "0001.json")
    assert (told["sweep"], told["trials_before"]) == ("s", 0)
    assert told["study"]["question"] == "Which?" and told["study"]["primary"] == ["first"]
    assert told["arms"]["others"]["intermediates"] == ["mnli_tr", "mnli_sw"]
    assert told["cells"]["first"]["xnli"] == ["de", "en", "ru", "sw", "tr", "vi", "zh"]
    assert told["file"]["seeds"] == [0, 1, 2, 3, 4] and "storage" not in told["file"]
    assert told["digests"].keys() == {"study", "arms", "cells", "file", "data", "code"}
    assert all(len(value) == 64 for value in told["digests"].values())
    text = (places.sweep / FOLDER / "0001.md").read_text()
    assert "| first: others - english | primary | difference | xnli |" in text


def test_a_launch_with_the_same_study_writes_nothing(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    before = (places.sweep / FOLDER / "0001.json").read_bytes()
    elsewhere = study_sweep(resources={"cpus_per_trial": 2}, storage="./other")
    assert not register(elsewhere, places, {}, 2)
    assert register(study_sweep({"alpha": 0.1}), places, {}, 2)
    assert written(places) == ["0001.json", "0001.md", "0002.json", "0002.md"]
    assert (places.sweep / FOLDER / "0001.json").read_bytes() == before
    assert not register(sweep.model_copy(update={"study": None}), places, {}, 3)


def test_one_that_is_killed_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path / "a", sweep)
    path = places.sweep / FOLDER / "0001.json"
    path.unlink()

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(xstilts.files, "sync", dies)
        patched.setattr(xstilts.files.os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            register(sweep, places, {}, 1)
    assert not path.exists()
    (places.sweep / FOLDER / ".0001.json.0123abcd").write_text("{")
    assert registered(places, statement(sweep, {})) is None
    assert register(sweep, places, {}, 2) and primary_of(places, statement(sweep, {})) == ("first",)


def test_a_launch_of_which_no_trial_began_binds_nobody(tmp_path: Path) -> None:
    first = study_sweep({"alpha": 0.1})
    places = launched_places(tmp_path, first)
    (places.launch(1) / UNBEGUN).touch()
    now = study_sweep()
    launched_places(tmp_path, now, 2)
    assert primary_of(places, statement(now, {})) == ("first",)
    found = registered(places, statement(now, {}))
    assert found is not None and found.changed == ()
    assert found.digest == sha256_of_file(places.sweep / FOLDER / "0002.json")


def test_after_the_first_trial_nothing_is_primary(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    for name in written(places):
        (places.sweep / FOLDER / name).unlink()
    put(places, sweep, "none", 0, planted({}))
    register(sweep, places, {}, 2)
    assert primary_of(places, statement(sweep, {})) == ()
    found = registered(places, statement(sweep, {}))
    assert found is not None and found.trials_before == 1
    (line,) = registration.reasons(found)
    assert line.startswith("It was registered when 1 trial had ended, so that all of it")


@pytest.mark.parametrize(
    ("changes", "named", "primary"),
    [
        ({}, (), ("first",)),
        ({"study": {"margin": 2.0}}, ("study.margin",), ()),
        ({"study": {"alpha": 0.1}}, ("study.alpha",), ()),
        ({"seeds": [0, 1, 2, 3, 4, 5]}, ("seeds",), ()),
        ({"contrast": {"test": "equivalence"}}, ("study.contrasts.first",), ()),
        ({"contrast": {"where": {"joshi_class": "> 4"}}}, ("study.contrasts.first",), ()),
        ({"study": {"primary": ["second"]}}, ("study.primary",), ()),
        ({"study": {"question": "Why?"}}, ("study.question",), ("first",)),
        ({"data": {"a/mnli": "other"}}, ("a/mnli",), ()),
        ({"data": {"a/mnli": "d", "b/new": "e"}}, ("b/new",), ("first",)),
    ],
)
def test_what_has_changed_is_named(
    tmp_path: Path, changes: dict[str, Any], named: tuple[str, ...], primary: tuple[str, ...]
) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    write_json(
        places.sweep / FOLDER / "0001.json",
        {"sweep": "s", "written": "2026-01-01", "trials_before": 0, **statement(sweep, INVENTORY)},
    )
    inventory = {**INVENTORY, "data": changes.get("data", INVENTORY["data"])}
    keys = {key: value for key, value in changes.items() if key == "seeds"}
    now = statement(
        study_sweep(changes.get("study", {}), changes.get("contrast", {}), **keys), inventory
    )
    found = registered(places, now)
    assert found is not None and found.changed == named
    assert primary_of(places, now) == primary


def test_an_arm_that_is_another_makes_its_contrasts_exploratory(tmp_path: Path) -> None:
    study = {"primary": ["first", "second"]}
    places = launched_places(tmp_path, study_sweep(study))
    arms = {
        "english": {"intermediates": ["mnli_en"]},
        "others": {"intermediates": ["mnli_tr"]},
        "none": {"intermediates": ["none"]},
    }
    now = statement(study_sweep({**study, "arms": arms}), {})
    assert primary_of(places, now) == ("second",)
    found = registered(places, now)
    assert found is not None and found.changed == ("study.arms.others",)


def test_a_key_that_a_later_version_knows_is_no_change_where_it_is_empty(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    now = statement(sweep, {})
    for values in (now["file"], now["study"], now["study"]["contrasts"]["first"]):
        values |= {"later": {"within": []}, "latest": None}
    found = registered(places, now)
    assert found is not None and found.changed == ()
    assert primary_of(places, now) == ("first",)
    now["file"]["later"] = {"a": 1}
    found = registered(places, now)
    assert found is not None and found.changed == ("later",)


def test_another_code_is_named(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    now = statement(sweep, {})
    now["digests"]["code"] = "0" * 64
    found = registered(places, now)
    assert found is not None and found.changed == ("code (0.1.0 then, 0.1.0 now)",)
    assert primary_of(places, now) == ("first",)
