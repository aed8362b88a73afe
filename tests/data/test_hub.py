"""The Hub branch against a server that speaks the Hub's protocol: the real client, real files.

The client reads HF_ENDPOINT and HF_HUB_OFFLINE when it is imported, so each case is a process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WriteDataset = Callable[..., Path]

SCRIPT = """
import json, sys
from pathlib import Path
from xstilts.data.hub import Hub
from xstilts.errors import DataError
hub = Hub(Path(sys.argv[1]))
results = []
for kind, *arguments in json.loads(sys.argv[2]):
    try:
        fetched = getattr(hub, kind)(*arguments)
        results.append([str(fetched.folder), fetched.commit])
    except DataError as error:
        results.append(str(error))
print(json.dumps(results))
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder that is served, and the server's address."""
    root = tmp_path / "served"
    root.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("hub_server.py")), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield root, server.stdout.readline().strip()
        server.kill()


def python(endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process that takes the endpoint for the Hub."""
    environment = {
        **{key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"},
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environment, check=False, text=True, capture_output=True
    )


def ask(storage: Path, endpoint: str, *calls: list[Any]) -> list[Any]:
    """What calls of `Hub` give in a fresh process: folder and commit, or the error's text."""
    done = python(endpoint, "-c", SCRIPT, str(storage), json.dumps(calls))
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def requests(root: Path) -> list[str]:
    log = root / "requests.log"
    return log.read_text().splitlines() if log.exists() else []


ROWS = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": ["no", "yes"]}
EN_TRAIN = ["dataset", "toy/pairs", "main", [["en", "train"]]]


def test_only_what_is_wanted_is_fetched_once_at_one_commit(
    served: tuple[Path, str], tmp_path: Path, write_dataset: WriteDataset
) -> None:
    root, endpoint = served
    configs = {"en": {"train": ROWS, "test": ROWS}, "de": {"test": ROWS}}
    write_dataset(root / "datasets", "toy/pairs", configs)
    ((folder, commit),) = ask(tmp_path / "hub", endpoint, EN_TRAIN)
    assert len(commit) == 40
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    assert names == ["README.md", "en/train-00000-of-00001.parquet"]

    # A second call asks nothing; a call that needs more fetches the rest of the same commit,
    # though the Hub's copy has changed meanwhile.
    before = requests(root)
    assert ask(tmp_path / "hub", endpoint, EN_TRAIN) == [[folder, commit]]
    assert requests(root) == before
    (root / "datasets/toy/pairs/more.txt").write_text("a new commit")
    german = ["dataset", "toy/pairs", "main", [["de", "test"]]]
    assert ask(tmp_path / "hub", endpoint, german)[0][1] == commit
    # Another storage resolves the revision anew.
    assert ask(tmp_path / "other", endpoint, EN_TRAIN)[0][1] != commit


def test_a_model_comes_without_what_nobody_reads(
    served: tuple[Path, str], tmp_path: Path, tiny_model: Path
) -> None:
    root, endpoint = served
    model = root / "models/toy/encoder"
    model.mkdir(parents=True)
    for path in tiny_model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    (model / "tf_model.h5").write_text("another format")
    ((folder, _),) = ask(tmp_path / "hub", endpoint, ["model", "toy/encoder", "main"])
    names = {path.name for path in Path(folder).iterdir()}
    assert names == {path.name for path in tiny_model.iterdir()}
    assert (Path(folder) / "model.safetensors").read_bytes() == (
        tiny_model / "model.safetensors"
    ).read_bytes()


def test_pickles_are_not_fetched_and_a_conversion_is_named(
    served: tuple[Path, str], tmp_path: Path, tiny_model: Path
) -> None:
    root, endpoint = served
    pickled, converted = root / "models/toy/pickled", root / "pulls/toy/pickled"
    shutil.copytree(tiny_model, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    shutil.copytree(pickled, root / "models/toy/alone")
    shutil.copytree(tiny_model, converted)
    shutil.copytree(pickled, root / "models/toy/silent")
    hinted, alone, silent = ask(
        tmp_path / "hub",
        endpoint,
        ["model", "toy/pickled", "main"],
        ["model", "toy/alone", "main"],
        ["model", "toy/silent", "main"],
    )
    assert silent == alone.replace("alone:", "silent:").replace("toy/alone", "toy/silent")
    assert "toy/pickled: the Hub has its weights as pickles alone" in hinted
    commit = re.search(r"refs/pr/7 has safetensors: .* revision: ([0-9a-f]{40})$", hinted)
    assert commit is not None
    assert "they are not fetched; convert them where you trust them" in alone
    assert not any(name.endswith(".bin") for name in requests(root))
    ((folder, at),) = ask(tmp_path / "hub", endpoint, ["model", "toy/pickled", commit[1]])
    assert at == commit[1] and (Path(folder) / "model.safetensors").exists()


def test_what_is_wrong_is_said(
    served: tuple[Path, str], tmp_path: Path, write_dataset: WriteDataset
) -> None:
    root, endpoint = served
    write_dataset(root / "datasets", "toy/pairs", {"en": {"train": ROWS}})
    scripted = root / "datasets/toy/scripted"
    scripted.mkdir(parents=True)
    (scripted / "README.md").write_text("# no header")
    (scripted / "scripted.py").write_text("class Scripted: ...")
    absent, split, script, revision = ask(
        tmp_path / "hub",
        endpoint,
        ["dataset", "toy/none", "main", [["en", "train"]]],
        ["dataset", "toy/pairs", "main", [["th", "train"]]],
        ["dataset", "toy/scripted", "main", [["en", "train"]]],
        ["dataset", "toy/pairs", "v9", [["en", "train"]]],
    )
    assert absent.startswith("toy/none: the Hub has no dataset of that name")
    assert "no split 'train' of a configuration 'th'" in split and "it has" in split
    assert "only a loading script" in script and "`xstilts data import`" in script
    assert "no such revision" in revision


def test_without_a_network_what_was_fetched_is_enough(
    served: tuple[Path, str], tmp_path: Path, write_dataset: WriteDataset
) -> None:
    root, endpoint = served
    write_dataset(root / "datasets", "toy/pairs", {"en": {"train": ROWS, "test": ROWS}})
    (fetched,) = ask(tmp_path / "hub", endpoint, EN_TRAIN)
    nowhere = "http://127.0.0.1:9"
    again, more = ask(
        tmp_path / "hub", nowhere, EN_TRAIN, ["dataset", "toy/pairs", "main", [["en", "test"]]]
    )
    assert again == fetched
    assert "cannot be reached" in more and "xstilts data import" in more


SWEEP = """
name: from-the-hub
benchmark: custom
recipe: mini
models: {tiny: {path: toy/encoder}}
targets: [%s]
languages: [en]
search: {target: {space: {epochs: {choice: [1]}}}}
storage: %s
"""


def test_a_trial_runs_from_the_hub_alone_and_again_without_it(
    served: tuple[Path, str], tmp_path: Path, write_dataset: WriteDataset, tiny_model: Path
) -> None:
    root, endpoint = served
    labels = ["entailment", "neutral", "contradiction"] * 4
    rows = {"premise": labels, "hypothesis": ["a"] * 12, "label": labels}
    splits = dict.fromkeys(("train", "validation", "test"), rows)
    write_dataset(root / "datasets", "xstilts/mini_xnli", {"en": splits})
    shutil.copytree(tiny_model, root / "models/toy/encoder")
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP % ("mini_xnli", tmp_path / "runs"))
    run = ("-m", "xstilts.cli", "run", str(file), "--json")
    first = python(endpoint, *run)
    assert first.returncode == 0, first.stderr
    again = python("http://127.0.0.1:9", *run)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["scores"] == json.loads(first.stdout)["scores"]


def test_what_a_mirror_lacks_comes_from_the_hub_where_the_file_says_so(
    served: tuple[Path, str], tmp_path: Path, write_dataset: WriteDataset, tiny_model: Path
) -> None:
    root, endpoint = served
    rows = {"premise": ["a"], "hypothesis": ["b"], "label": ["neutral"]}
    splits = dict.fromkeys(("train", "validation", "test"), rows)
    write_dataset(root / "datasets", "xstilts/mini_xnli", {"en": splits})
    shutil.copytree(tiny_model, root / "models/toy/encoder")
    file = tmp_path / "sweep.yaml"
    text = SWEEP % ("mini_xnli", tmp_path / "runs") + "data: {root: %s, hub: %s}\n"
    file.write_text(text % (tmp_path / "mirror", "true"))
    done = python(endpoint, "-m", "xstilts.cli", "prepare", str(file))
    assert done.returncode == 0, done.stderr
    file.write_text(text % (tmp_path / "mirror", "false"))
    refused = python(endpoint, "-m", "xstilts.cli", "prepare", str(file))
    assert refused.returncode == 2 and "no such data set under" in refused.stderr


def test_where_the_hub_is_wrong_it_is_not_asked(served: tuple[Path, str], tmp_path: Path) -> None:
    root, endpoint = served
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP % ("udpos", tmp_path / "runs"))
    done = python(endpoint, "-m", "xstilts.cli", "prepare", str(file))
    assert done.returncode == 2
    assert "xtreme/udpos: not read from the Hub" in done.stderr
    assert "import the folder udpos of XTREME's download" in done.stderr
    assert not [line for line in requests(root) if "udpos" in line]
