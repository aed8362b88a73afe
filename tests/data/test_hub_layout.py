"""READMEs of data sets in the forms of the Hub, read and written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml

from xstilts.data.check import check_mirror
from xstilts.data.hub_layout import STRING, Split, declared_files, write_dataset
from xstilts.data.sources import count_rows, first_rows
from xstilts.errors import DataError
from xstilts.tasks import Source, Task

FILES = ("data/train-00000-of-00001.parquet", "data/dev.parquet", "data/test/part.parquet")


def folder_with(tmp_path: Path, header: str, files: tuple[str, ...] = FILES) -> Path:
    folder = tmp_path / "own" / "texts"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "README.md").write_text(f"---\n{header}\n---\n\n# own --- texts\n", encoding="utf-8")
    return folder


FORMS = {
    "by split": (
        "configs:\n- config_name: a\n  data_files:\n  - {split: test, path: data/*.parquet}",
        {("a", "test"): ["data/*.parquet"]},
    ),
    "lists by split": (
        "configs:\n- config_name: a\n  data_files: [{split: test, path: [x.parquet, y.parquet]}]",
        {("a", "test"): ["x.parquet", "y.parquet"]},
    ),
    "a string": (
        "configs:\n- config_name: a\n  data_files: data/*.parquet",
        {("a", "train"): ["data/*.parquet"]},
    ),
    "a list": (
        "configs:\n- config_name: a\n  data_files: [data/*.parquet, more.parquet]",
        {("a", "train"): ["data/*.parquet", "more.parquet"]},
    ),
    "a folder": (
        "configs:\n- config_name: a\n  data_dir: data",
        {
            ("a", "train"): [FILES[0]],
            ("a", "validation"): [FILES[1]],
            ("a", "test"): [FILES[2]],
        },
    ),
    "files in a folder": (
        "configs:\n- config_name: a\n  data_dir: data\n  data_files: dev.parquet",
        {("a", "train"): ["data/dev.parquet"]},
    ),
    "a line within a value": (
        "pretty_name: one --- two\nconfigs:\n- {config_name: a, data_files: x.parquet}",
        {("a", "train"): ["x.parquet"]},
    ),
    "names that YAML takes for values": (
        "configs:\n"
        + "\n".join(
            f"- {{config_name: {name}, data_files: [{{split: train, path: x.parquet}}]}}"
            for name in ("no", "on", "null", "1", "1e3", "2020-01-01", "'yes'")
        ),
        {
            (name, "train"): ["x.parquet"]
            for name in ("no", "on", "null", "1", "1e3", "2020-01-01", "yes")
        },
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_hubs_forms_are_read(form: str, tmp_path: Path) -> None:
    header, expected = FORMS[form]
    folder = folder_with(tmp_path, header)
    assert declared_files(folder) == expected
    text = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert declared_files(folder) == expected


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("configs:\n- config_name: a\n  data_files: /etc/x.parquet", "outside of its folder"),
        ("configs:\n- {config_name: a, data_files: [{split: t, path: ../x}]}", "outside of its"),
        ("configs:\n- config_name: a\n  data_dir: /etc", "outside of its folder"),
        ("configs:\n- {config_name: a, data_dir: .., data_files: x}", "outside of its folder"),
        ("configs:\n- config_name: a", "a must have data_files or data_dir"),
        ("configs:\n- data_files: x.parquet", "must have a config_name"),
        ("configs:\n- {config_name: a, data_files: [{path: x}]}", "each a split and its path"),
        ("configs:\n- {config_name: a, data_files: {train: x}}", "each a split and its path"),
        ("configs: a", "has no list of configs"),
        ("license: mit", "has no list of configs"),
        ("- a", "is no mapping"),
        ("configs: [", "README.md does not declare"),
    ],
)
def test_other_forms_are_one_sentence(header: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rule) as caught:
        declared_files(folder_with(tmp_path, header))
    assert "\n" not in str(caught.value)


def test_a_readme_without_its_header_is_one_sentence(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "")
    for text in ("", "# texts", "---\nconfigs: []"):
        (folder / "README.md").write_text(text)
        with pytest.raises(DataError, match="does not begin with a header between lines of ---"):
            declared_files(folder)


NAMES = ("no", "en", "1", "null", "2020-01-01", "a: b", "x #y", "- z", "zh-TW")


def test_what_is_written_is_read_back_by_us_and_by_datasets(tmp_path: Path) -> None:
    splits = [Split(name, "train", {"text": STRING}, [{"text": name}]) for name in NAMES]
    write_dataset(tmp_path / "own/texts", splits, "A note.")
    assert {config for config, _ in declared_files(tmp_path / "own/texts")} == set(NAMES)
    header = (tmp_path / "own/texts/README.md").read_text().split("---\n")[1]
    assert [one["config_name"] for one in yaml.safe_load(header)["configs"]] == list(NAMES)
    # Only what must be: other mirrors keep their bytes, hence their identity.
    assert "- config_name: en\n" in header and "path: en/train-00000-of-00001.parquet\n" in header
    source = Source("own/texts", config="{language}")
    task = Task("toy", "mlm", source, NAMES, {"train": "train"}, ())
    folders = {"own/texts": tmp_path / "own/texts"}
    for name in NAMES:
        assert count_rows(folders, task, "train", name) == 1
        assert first_rows(folders, task, "train", name, 5) == {"text": [name]}


def test_one_bad_readme_does_not_stop_the_check_of_the_others(
    shared_mini: Path, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(shared_mini, mirror)
    whole, broken = check_mirror(mirror)
    assert broken == [] and any(found.task == "mini_nli" for found in whole)
    (mirror / "xstilts/mini_nli/README.md").write_text("---\nconfigs: a\n---\n")
    rest, broken = check_mirror(mirror)
    assert [found for found in whole if found.task != "mini_nli"] == rest
    assert len(broken) == 1 and "mini_nli: README.md does not declare" in broken[0]


def test_a_column_that_is_missing_is_told_by_the_check(shared_mini: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(shared_mini, mirror)
    path = next((mirror / "xstilts/mini_nli").rglob("train-*.parquet"))
    parquet.write_table(parquet.read_table(path).drop_columns(["hypothesis"]), path)
    _, broken = check_mirror(mirror)
    assert [line for line in broken if "has no column 'hypothesis'" in line]
