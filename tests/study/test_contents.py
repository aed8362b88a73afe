"""What of a sweep is in its bundle: the same whenever and wherever, and read as the sweep is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xstilts.errors import BundleError, StoreError
from xstilts.report.documents import as_json
from xstilts.report.results import Results, load_results
from xstilts.run.outcomes import outcomes_path
from xstilts.run.places import SWEEP, UNBEGUN, Places
from xstilts.study.analysis import answered
from xstilts.study.bundle_reader import Bundle
from xstilts.study.contents import followed, parts_of, unpacked

from .bundled import bundle_of, changed, stored_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """That of all tests, none of which changes it."""
    return stored_results(tmp_path_factory.mktemp("contents") / "storage")


def test_all_that_numbers_come_from_is_in_it(results: Results) -> None:
    names = [name for name, _ in parts_of(results)]
    own = [name for name in names if "/" not in name]
    assert own == [
        "answer.json", "commands.txt", "languages.json", "report.json", "sweep.yaml",
        "environment.json",
    ]  # fmt: skip
    assert "launches/0001/sweep.json" in names
    assert [name for name in names if "registration" in name] == ["registration/0001.json"]
    assert len([name for name in names if name.startswith("trials/")]) == 12
    items = [name for name in names if name.startswith("items/")]
    assert len([name for name in items if name.endswith("/xnli.json")]) == 12
    assert len([name for name in items if name.startswith("items/about/")]) == 1
    parts = dict(parts_of(results))
    assert b"xstilts report s --study\n" in parts["commands.txt"]
    assert {*json.loads(parts["languages.json"])["rows"]} == {"en", "sw", "tr"}
    assert json.loads(parts["answer.json"])["says"] == answered(results).says


def test_the_same_storage_gives_the_same_bytes_wherever_it_is(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bundle_of(results, tmp_path / "one.zip")
    shutil.copytree(results.places.storage, tmp_path / "elsewhere" / "copy")
    monkeypatch.chdir(tmp_path / "elsewhere")
    copy = load_results(Places(tmp_path / "elsewhere" / "copy", "s"))
    for file in copy.places.trials.glob("*/record.json"):
        file.touch()
    assert bundle_of(copy, tmp_path / "other.zip").read_bytes() == one.read_bytes()


def test_it_is_read_as_the_sweep_is(results: Results, tmp_path: Path) -> None:
    path = bundle_of(results, tmp_path / "b.zip")
    with Bundle(path) as bundle:
        found = unpacked(bundle, tmp_path / "empty")
        assert [one.trial for one in found.records] == [one.trial for one in results.records]
        assert answered(found) == answered(results)
        own, other = as_json(found), as_json(results)
        assert own["cells"] == other["cells"] and own["grid"] == other["grid"]
        assert followed(found) == followed(results)
    assert {file.name for file in tmp_path.iterdir()} == {"b.zip", "empty"}


def test_a_launch_that_never_began_stays_one(tmp_path: Path) -> None:
    results = stored_results(tmp_path / "storage")
    folder = results.places.launch(2)
    folder.mkdir()
    for name in (UNBEGUN, "study.journal"):
        (folder / name).write_text("")
    shutil.copy(results.places.launch(1) / SWEEP, folder / SWEEP)
    with Bundle(bundle_of(results, tmp_path / "b.zip")) as bundle:
        assert [*bundle.names("launches/0002")] == [
            "launches/0002/sweep.json",
            "launches/0002/unbegun",
        ]
        found = unpacked(bundle, tmp_path / "empty")
    assert len(found.places.begun_folders()) == 1


def test_an_evaluation_that_is_gone_is_named_and_one_without_items_is_kept(tmp_path: Path) -> None:
    results = stored_results(tmp_path / "storage")
    record = results.records[0]
    (stage,) = (one.name for one in record.stages if one.name.startswith("evaluate-"))
    store = results.places.storage / "store"
    shutil.copytree(store / stage, tmp_path / "kept")
    shutil.rmtree(store / stage)
    with pytest.raises(StoreError, match=rf"^{record.trial}: xnli: its evaluation is no longer"):
        dict(parts_of(results))
    (store / stage).mkdir()
    shutil.copytree(tmp_path / "kept" / "result-1", store / stage / "result-1")
    outcomes_path(store / stage / "result-1", "xnli").unlink()
    parts = dict(parts_of(results))
    assert parts[f"items/{stage}/xnli.json"] == b"null\n"
    with Bundle(bundle_of(results, tmp_path / "b.zip")) as bundle:
        found = unpacked(bundle, tmp_path / "empty")
        assert answered(found) == answered(results)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("launches/0001/other.json", b"{}", "is no file that a launch writes"),
        ("launches/first/sweep.json", b"{}", "is no file that a launch writes"),
        ("registration/first.json", b"{}", "is no registration of a launch"),
        ("trials/t.json", b"{}", "is no record of that trial"),
        ("trials/t.json", b"[]", "is no record of that trial"),
        ("trials/t.json", b"{", "is no JSON"),
        ("items/evaluate-x-1/xnli.json", b"[]", "Input should be"),
        ("items/evaluate-x-1/xnli.json", b'{"about": "x", "metrics": {}}', "x.json: is missing"),
    ],
)
def test_parts_have_their_forms(
    results: Results, tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    path = bundle_of(results, tmp_path / "b.zip")
    changed(path, path, lambda parts: parts.update({name: content}))
    with Bundle(path) as bundle, pytest.raises(BundleError, match=rule) as error:
        unpacked(bundle, tmp_path / "empty")
    assert "\n" not in str(error.value)


def test_a_record_leads_nowhere(results: Results, tmp_path: Path) -> None:
    path = bundle_of(results, tmp_path / "b.zip")
    name = f"trials/{results.records[0].trial}.json"

    def change(parts: dict[str, bytes]) -> None:
        parts[name] = parts[name].replace(b'"evaluate-xnli-', b'"evaluate-xnli-../../')

    changed(path, path, change)
    with Bundle(path) as bundle, pytest.raises(BundleError, match="a name is none of a stage"):
        unpacked(bundle, tmp_path / "empty")
