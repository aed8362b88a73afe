"""Reading: one way, under the kinds' names, and nobody waits for another who reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from datasets import ClassLabel, List, Value

from xstilts.data.columns import rename
from xstilts.data.hub_layout import dataset_files
from xstilts.data.inventory import Hashes, data_identity
from xstilts.data.sources import check_columns, count_rows, first_rows, load_rows
from xstilts.errors import DataError
from xstilts.tasks import Source, Task

WriteDataset = Callable[..., Path]

FEATURES = {
    "premise": Value("string"),
    "hypothesis": Value("string"),
    "label": ClassLabel(names=["yes", "no"]),
}


def under(root: Path) -> dict[str, Path]:
    """The folders of all toy data sets of a mirror."""
    names = ("toy/pairs", "toy/tags", "toy/blank", "toy/none")
    return {name: root / name for name in names}


def pair_task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "name": "toy",
        "kind": "pair",
        "source": Source("toy/pairs", config="{language}"),
        "languages": ("en", "th"),
        "splits": {"train": "train", "test": "test"},
        "metrics": ("accuracy",),
        "labels": ("no", "yes"),
    }
    return Task(**{**values, **changes})


def pairs(*premises: str) -> dict[str, list[Any]]:
    count = len(premises)
    return {
        "premise": list(premises),
        "hypothesis": ["tea"] * count,
        "label": [i % 2 for i in range(count)],
    }


def content_of(root: Path, memory: Path, hub_id: str = "toy/pairs") -> str:
    return data_identity(root / hub_id, Hashes(memory))


def configs_with(*premises: str) -> dict[str, dict[str, dict[str, list[Any]]]]:
    return {
        "en": {"train": pairs(*premises), "test": pairs("d")},
        "th": {"test": pairs("ชา")},
    }


@pytest.fixture
def root(tmp_path: Path, write_dataset: WriteDataset) -> Path:
    write_dataset(tmp_path / "mirror", "toy/pairs", configs_with("a", "b", "c"), FEATURES)
    return tmp_path / "mirror"


def test_a_loading_script_is_refused_and_not_run(root: Path, tmp_path: Path) -> None:
    script = f"from pathlib import Path\nPath({str(tmp_path / 'trace')!r}).touch()\n"
    (root / "toy/pairs/pairs.py").write_text(script)
    with pytest.raises(DataError, match=r"cannot read toy/pairs.*scripts are no longer supported"):
        load_rows(under(root), pair_task(), "train", "en")
    assert not (tmp_path / "trace").exists()


def test_class_numbers_come_as_names(root: Path) -> None:
    rows = load_rows(under(root), pair_task(), "train", "en")
    assert rows == {
        "premise": ["a", "b", "c"],
        "hypothesis": ["tea"] * 3,
        "label": ["yes", "no", "yes"],
    }
    assert load_rows(under(root), pair_task(), "test", "th")["premise"] == ["ชา"]


def test_class_numbers_in_lists_come_as_names(tmp_path: Path, write_dataset: WriteDataset) -> None:
    features = {
        "tokens": List(Value("string")),
        "pos_tags": List(ClassLabel(names=["NOUN", "VERB"])),
    }
    columns = {"tokens": [["tea", "boils"], []], "pos_tags": [[0, 1], []]}
    write_dataset(tmp_path, "toy/tags", {"default": {"train": columns}}, features)
    source = Source("toy/tags", columns={"tags": "pos_tags"})
    task = pair_task(kind="tagging", source=source, labels=("VERB", "NOUN"))
    rows = load_rows(under(tmp_path), task, "train", "en")
    assert rows["tags"] == [["NOUN", "VERB"], []]


def test_a_class_that_is_blank_gets_no_name(tmp_path: Path, write_dataset: WriteDataset) -> None:
    """-1 stands for a withheld label; in a list it must not become the last name."""
    features = {
        "label": ClassLabel(names=["yes", "no"]),
        "pos_tags": List(ClassLabel(names=["NOUN", "VERB"])),
    }
    columns = {"label": [-1, 1], "pos_tags": [[-1, 0], [1]]}
    write_dataset(tmp_path, "toy/blank", {"default": {"train": columns}}, features)
    task = pair_task(source=Source("toy/blank"))
    rows = load_rows(under(tmp_path), task, "train", "en")
    assert rows == {"label": ["", "no"], "pos_tags": [["", "NOUN"], ["VERB"]]}


def test_columns_are_renamed_and_templates_filled() -> None:
    columns = {
        "ctx_a": ["Water {is} hot.", "Tea."],
        "ctx_b": ["She", ""],
        "endings": [["drinks", "sleeps"], ["is", "was", "leaves"]],
        "answer": ["0", "2"],
    }
    source = Source(
        "toy/choice",
        columns={
            "prompt": "{ctx_a}",
            "choices": "{ctx_b} {endings}",
            "label": "answer",
            "both": "{ctx_a} / {ctx_b}",
        },
    )
    renamed = rename(columns, pair_task(kind="choice", source=source))
    assert renamed["prompt"] == ["Water {is} hot.", "Tea."]
    assert renamed["choices"] == [["She drinks", "She sleeps"], ["is", "was", "leaves"]]
    assert renamed["label"] == ["0", "2"]
    assert renamed["both"] == ["Water {is} hot. / She", "Tea. /"]


@pytest.mark.parametrize("declared", ["gold", "{premise} {gold}"])
def test_a_missing_column_is_named(root: Path, declared: str) -> None:
    source = Source("toy/pairs", config="{language}", columns={"label": declared})
    with pytest.raises(DataError, match=r"toy: toy/pairs has no column 'gold'; it has .*premise"):
        load_rows(under(root), pair_task(source=source), "train", "en")


@pytest.mark.parametrize(
    ("task", "use", "language", "named"),
    [
        (pair_task(), "train", "de", "a configuration 'de'"),
        (pair_task(), "train", "th", "no split 'train'"),
        (pair_task(splits={"train": "gold"}), "train", "en", "no split 'gold'"),
        (pair_task(source=Source("toy/none")), "train", "en", "toy/none"),
    ],
)
def test_what_is_missing_is_named(
    root: Path, task: Task, use: str, language: str, named: str
) -> None:
    with pytest.raises(DataError) as caught:
        load_rows(under(root), task, use, language)
    assert named in str(caught.value) and "toy/" in str(caught.value)


def test_a_damaged_file_is_a_data_error(root: Path) -> None:
    (root / "toy/pairs/en/train-00000-of-00001.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="toy/pairs"):
        load_rows(under(root), pair_task(), "train", "en")


def test_a_rewritten_mirror_gives_its_new_rows(
    root: Path, tmp_path: Path, write_dataset: WriteDataset
) -> None:
    memory = tmp_path / "hashes.json"
    before = content_of(root, memory)
    assert load_rows(under(root), pair_task(), "train", "en")["premise"] == ["a", "b", "c"]
    write_dataset(root, "toy/pairs", configs_with("x", "y", "z"), FEATURES)
    assert content_of(root, memory) != before
    assert load_rows(under(root), pair_task(), "train", "en")["premise"] == ["x", "y", "z"]


def test_files_of_one_split_are_joined(root: Path) -> None:
    """In the order of their names; another order of columns and narrower numbers are no matter."""
    first = root / "toy/pairs/en/train-00000-of-00001.parquet"
    table = parquet.read_table(first)
    narrow = table["label"].cast(pa.int8())
    columns = {"label": narrow, **{x: table[x] for x in ("hypothesis", "premise")}}
    parquet.write_table(pa.table(columns), first.with_name("train-00001-of-00001.parquet"))
    readme = root / "toy/pairs/README.md"
    readme.write_text(readme.read_text().replace("train-00000-of-00001", "train-*"))
    rows = load_rows(under(root), pair_task(), "train", "en")
    assert rows["premise"] == ["a", "b", "c"] * 2
    assert rows["label"] == ["yes", "no", "yes"] * 2


def test_files_that_differ_are_refused(root: Path) -> None:
    first = root / "toy/pairs/en/train-00000-of-00001.parquet"
    table = parquet.read_table(first)
    more = table.append_column("gold", table["label"])
    parquet.write_table(more, first.with_name("train-00001-of-00001.parquet"))
    readme = root / "toy/pairs/README.md"
    readme.write_text(readme.read_text().replace("train-00000-of-00001", "train-*"))
    with pytest.raises(DataError, match="toy: cannot read toy/pairs, configuration en"):
        load_rows(under(root), pair_task(), "train", "en")


def test_reading_locks_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    """A process that is stopped while it reads must not stop those that read the same."""
    code = (
        "import sys, fcntl, datasets.builder, filelock\n"
        "def refuse(*_, **__): raise SystemExit('a lock is taken')\n"
        "fcntl.flock = filelock.BaseFileLock.acquire = refuse\n"
        "from tests.data.test_sources import load_rows, pair_task, under\n"
        "from pathlib import Path\n"
        "print(load_rows(under(Path(sys.argv[1])), pair_task(), 'train', 'en')['premise'])\n"
    )
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['a', 'b', 'c']\n", done.stderr
    assert set(tmp_path.rglob("*")) == before


def test_files_of_a_data_set(root: Path) -> None:
    names = [path.relative_to(root).as_posix() for path in dataset_files(root / "toy/pairs")]
    assert names == [
        "toy/pairs/README.md",
        *(f"toy/pairs/en/{split}-00000-of-00001.parquet" for split in ("test", "train")),
        "toy/pairs/th/test-00000-of-00001.parquet",
    ]
    with pytest.raises(DataError, match=r"toy/none: no such data set under"):
        list(dataset_files(root / "toy/none"))


@pytest.mark.parametrize("name", ["m[1]", "a b", "~x", "what?", "st*r", "{x}", "m#1%20"])
def test_a_path_is_a_path(
    name: str, root: Path, tmp_path: Path, write_dataset: WriteDataset
) -> None:
    """And never the pattern of a sibling's."""
    (tmp_path / name).mkdir()
    root.rename(tmp_path / name / "mirror")
    columns = {"premise": ["other"], "hypothesis": ["x"], "label": ["no"]}
    for sibling in ("m1", "whats", "star", "x"):
        write_dataset(tmp_path / sibling / "mirror", "toy/pairs", {"en": {"train": columns}})
    folders = under(tmp_path / name / "mirror")
    rows = load_rows(folders, pair_task(), "train", "en")
    assert rows["premise"] == ["a", "b", "c"]
    assert count_rows(folders, pair_task(), "train", "en") == 3
    first = first_rows(folders, pair_task(), "train", "en", 2)
    assert first["premise"] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"premise": "text"}, "text"),
        ({"premise": "{premise} {text}"}, "text"),
        ({"premise": "premise.text"}, "premise.text"),
        ({"premise": ("hypothesis", "text")}, "text"),
        ({"label": "gold"}, "gold"),
        ({}, ""),
    ],
)
def test_a_mapped_column_that_is_missing_is_found_in_the_footers(
    root: Path, columns: dict[str, Any], missing: str
) -> None:
    task = pair_task(source=Source("toy/pairs", config="{language}", columns=columns))
    if not missing:
        check_columns(under(root), task, "train", "en")
        return
    with pytest.raises(DataError, match=f"has no column '{missing}'; it has hypothesis, label"):
        check_columns(under(root), task, "train", "en")


def test_a_column_that_the_kind_reads_must_be_there(tmp_path: Path, write_dataset: Any) -> None:
    columns = {"premise": ["a"], "hypothesis": ["b"]}
    write_dataset(tmp_path, "toy/pairs", {"en": {"train": columns}})
    with pytest.raises(DataError, match=r"toy: toy/pairs has no column 'label'"):
        check_columns(under(tmp_path), pair_task(), "train", "en")


def test_features_of_the_readme_hold(root: Path) -> None:
    """Files that another tool wrote have no class names of their own."""
    path = root / "toy/pairs/en/train-00000-of-00001.parquet"
    table = parquet.read_table(path)
    plain = pa.table({name: table[name] for name in table.column_names})
    parquet.write_table(plain.replace_schema_metadata(None), path)
    readme = root / "toy/pairs/README.md"
    info = """dataset_info:
- config_name: en
  features:
  - {name: premise, dtype: string}
  - {name: hypothesis, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': 'no', '1': 'yes'}}}
"""
    with pytest.raises(DataError, match="has the label 0"):
        load_rows(under(root), pair_task(), "train", "en")
    readme.write_text(readme.read_text().replace("---\nconfigs", f"---\n{info}configs"))
    rows = load_rows(under(root), pair_task(), "train", "en")
    assert rows["label"] == ["no", "yes", "no"]
