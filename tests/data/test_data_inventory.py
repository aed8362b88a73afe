"""The inventory on disk: identity by content, hashes remembered, incomplete folders refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xstilts.data import inventory
from xstilts.data.inventory import LOADED_BY, Hashes, data_identity, model_facts
from xstilts.data.sources import count_rows
from xstilts.errors import ConfigError, DataError
from xstilts.tasks import Source, Task

WriteDataset = Callable[..., Path]

TASK = Task(
    name="toy",
    kind="pair",
    source=Source("toy/pairs", config="{language}"),
    languages=("en", "th"),
    splits={"train": "train", "test": "test"},
    metrics=("accuracy",),
    labels=("no",),
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really hashed, in their order."""
    hashed: list[Path] = []
    original = inventory.sha256_of_file

    def count(path: Path) -> str:
        hashed.append(path)
        return original(path)

    monkeypatch.setattr(inventory, "sha256_of_file", count)
    return hashed


def test_hashes_are_remembered_by_size_and_time(tmp_path: Path, counted: list[Path]) -> None:
    path, memory = tmp_path / "file", tmp_path / "hashes.json"
    path.write_text("one")
    hashes = Hashes(memory)
    first = hashes.of(path)
    assert hashes.of(path) == first and counted == [path]
    hashes.save()
    assert Hashes(memory).of(path) == first and counted == [path]

    stat = path.stat()
    path.write_text("two")  # equal size, later time
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = Hashes(memory).of(path)
    assert second != first and len(counted) == 2

    path.write_text("three")  # other size, equal time
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Hashes(memory).of(path) not in (first, second)


def test_identity_is_content_not_place(tmp_path: Path) -> None:
    hashes = Hashes(tmp_path / "hashes.json")
    for place in ("one", "two"):
        (tmp_path / place / "toy/pairs/en").mkdir(parents=True)
        (tmp_path / place / "toy/pairs/README.md").write_text("---\nconfigs: []\n---\n")
        (tmp_path / place / "toy/pairs/en/train.parquet").write_text("rows")
    one, two = (data_identity(tmp_path / p / "toy/pairs", hashes) for p in ("one", "two"))
    assert one == two
    # A file's content, a file's name, a new file: each is another data set.
    seen = {one}
    folder = tmp_path / "two/toy/pairs"
    (folder / "en/train.parquet").write_text("other rows")
    seen.add(data_identity(tmp_path / "two" / "toy/pairs", hashes))
    (folder / "en/train.parquet").rename(folder / "en/test.parquet")
    seen.add(data_identity(tmp_path / "two" / "toy/pairs", hashes))
    (folder / "more.parquet").write_text("rows")
    seen.add(data_identity(tmp_path / "two" / "toy/pairs", hashes))
    assert len(seen) == 4
    with pytest.raises(DataError, match="toy/none"):
        data_identity(tmp_path / "two" / "toy/none", hashes)


def test_facts_of_a_model(tiny_model: Path, tmp_path: Path) -> None:
    hashes = Hashes(tmp_path / "hashes.json")
    facts = model_facts(tiny_model, "models.x.path", hashes)
    assert facts.num_layers == 2 and facts.path == str(tiny_model)
    # Of XLM-R's 130 positions the first two are never used.
    assert facts.max_length == 128
    assert facts.num_bytes == (tiny_model / "model.safetensors").stat().st_size
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    copied = model_facts(copy, "models.x.path", hashes)
    assert (copied.weights, copied.tokenizer) == (facts.weights, facts.tokenizer)
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "model_type": "modernbert"}))
    newer = model_facts(copy, "models.x.path", hashes)
    assert (facts.family_version, newer.family_version) == (0, 1)
    (copy / "config.json").write_text(json.dumps(settings))
    copied = model_facts(copy, "models.x.path", hashes)
    (copy / "README.md").write_text("not part of the model")
    assert model_facts(copy, "models.x.path", hashes) == copied


def test_an_lm_head_and_a_pooler_are_known_by_their_weights(
    tiny_model: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoModel

    hashes = Hashes(tmp_path / "hashes.json")
    for folder in (tiny_model, tiny_bert):
        facts = model_facts(folder, "models.x.path", hashes)
        assert facts.has_lm_head and not facts.has_pooler
        shutil.copytree(folder, tmp_path / folder.name)
        AutoModel.from_pretrained(folder).save_pretrained(tmp_path / folder.name)
        facts = model_facts(tmp_path / folder.name, "models.x.path", hashes)
        assert facts.has_pooler and not facts.has_lm_head


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("model.safetensors", "weights"),
        ("config.json", "weights"),
        ("tokenizer.json", "tokenizer"),
        ("tokenizer_config.json", "tokenizer"),
    ],
)
def test_identity_follows_content(
    tiny_model: Path, tmp_path: Path, name: str, changed: str
) -> None:
    hashes = Hashes(tmp_path / "hashes.json")
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    before = model_facts(copy, "models.x.path", hashes)
    with (copy / name).open("ab") as stream:
        stream.write(b" ")
    if name == "tokenizer_config.json":
        change(copy / name, padding_side="left")
    after = model_facts(copy, "models.x.path", hashes)
    same = "tokenizer" if changed == "weights" else "weights"
    assert getattr(after, changed) != getattr(before, changed)
    assert getattr(after, same) == getattr(before, same)


def test_identity_does_not_hold_how_a_tokenizer_was_loaded(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Saved again from another folder, with other arguments, by another version: the same."""
    from transformers import AutoTokenizer

    hashes = Hashes(tmp_path / "hashes.json")
    shutil.copytree(tiny_model, tmp_path / "source")
    found = set()
    loads: list[tuple[Path, dict[str, Any]]] = [
        (tiny_model, {}),
        (tmp_path / "source", {"local_files_only": True}),
        (tmp_path / "source", {"from_slow": True, "revision": "main"}),
        (tiny_model, {"name_or_path": "me/mine", "_commit_hash": "abc", "is_local": False}),
    ]
    for number, (folder, options) in enumerate(loads):
        out = tmp_path / str(number)
        shutil.copytree(tiny_model, out)
        AutoTokenizer.from_pretrained(folder).save_pretrained(out)
        change(out / "tokenizer_config.json", **options)
        found.add(model_facts(out, "m", hashes).tokenizer)
    bare = json.loads((tmp_path / "0/tokenizer_config.json").read_text())
    kept = {key: value for key, value in bare.items() if key not in LOADED_BY}
    assert kept != bare, "transformers wrote nothing of how it was loaded"
    text = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (tmp_path / "0/tokenizer_config.json").write_text(text)
    found.add(model_facts(tmp_path / "0", "m", hashes).tokenizer)
    assert len(found) == 1
    change(tmp_path / "0/tokenizer_config.json", unk_token="<s>")
    assert model_facts(tmp_path / "0", "m", hashes).tokenizer not in found


@pytest.mark.parametrize(
    ("remove", "rule"),
    [
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
        ("config.json", "has no config.json"),
        (".", "no such folder"),
    ],
)
def test_an_incomplete_model_is_refused(
    tiny_model: Path, tmp_path: Path, remove: str, rule: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    if remove == ".":
        shutil.rmtree(copy)
    else:
        (copy / remove).unlink()
    with pytest.raises(ConfigError) as caught:
        model_facts(copy, "models.x.path", Hashes(tmp_path / "hashes.json"))
    (problem,) = caught.value.problems
    assert problem.where == "models.x.path"
    assert rule in problem.rule and str(copy) in problem.got and problem.repair


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


OPENED = """
import sys
from pathlib import Path

opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)

from xstilts.data.inventory import Hashes, model_facts
from xstilts.errors import XstiltsError
from xstilts.training.model import load_encoder, load_encoder_with_lm_head

folder, memory = map(Path, sys.argv[1:])
takers = [lambda f: model_facts(f, "models.x.path", Hashes(memory)), load_encoder]
for take in [*takers, load_encoder_with_lm_head]:
    try:
        take(folder)
    except XstiltsError as error:
        print(type(error).__name__, error)
print(sorted({Path(name).name for name in opened if Path(name).parent == folder}))
"""


def test_a_pickle_of_weights_is_refused_and_never_opened(tiny_model: Path, tmp_path: Path) -> None:
    """By the inventory, and by whoever would load the folder all the same."""
    import torch

    trace, copy = tmp_path / "trace", tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "model.safetensors").unlink()
    torch.save({"weights": Payload(trace)}, copy / "pytorch_model.bin")
    torch.load(copy / "pytorch_model.bin", weights_only=False)
    assert trace.exists(), "the payload works"
    trace.unlink()
    command = [sys.executable, "-c", OPENED, str(copy), str(tmp_path / "hashes.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    refused, *unloaded, opened = done.stdout.splitlines()
    assert refused.startswith("ConfigError models.x.path: its weights are pickles alone, which are")
    assert refused.endswith(
        "load them with transformers once: `save_pretrained` writes safetensors"
    )
    assert len(unloaded) == 2
    assert all("no file named model.safetensors" in line for line in unloaded)
    assert opened == "['config.json']"
    assert not trace.exists()


def test_beside_safetensors_a_pickle_counts_for_nothing(tiny_model: Path, tmp_path: Path) -> None:
    hashes, copy = Hashes(tmp_path / "hashes.json"), tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "pytorch_model.bin").write_bytes(b"whatever")
    one, other = (model_facts(folder, "m", hashes) for folder in (tiny_model, copy))
    assert (one.weights, one.num_bytes) == (other.weights, other.num_bytes)


def change(path: Path, **keys: Any) -> None:
    """Set keys of a JSON file."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **keys}))


@pytest.mark.parametrize(
    ("name", "keys", "rule"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map in config.json"),
        ("config.json", {"attn_implementation": "some/kernel"}, "attn_implementation in config"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "auto_map in to"),
        ("modeling_own.py", {}, r"modeling_own\.py"),
        ("config.json", {"transformers_weights": "adapter_model.bin"}, 'names "adapter_model.bin"'),
        ("model.safetensors.index.json", {"weight_map": {"w": "a.bin"}}, 'names "a.bin"'),
        ("model.safetensors.index.json", {"weight_map": {"w": "../a.safetensors"}}, r'"\.\./a'),
    ],
)
def test_a_model_that_brings_code_or_hidden_pickles_is_refused(
    tiny_model: Path, tmp_path: Path, name: str, keys: dict[str, Any], rule: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    change(copy / name, **keys)
    with pytest.raises(ConfigError, match=rule) as caught:
        model_facts(copy, "models.x.path", Hashes(tmp_path / "hashes.json"))
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


def test_safetensors_in_shards_are_taken(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    shards = {"weight": "model-00001-of-00001.safetensors"}
    change(copy / "model.safetensors.index.json", weight_map=shards)
    facts = model_facts(copy, "models.x.path", Hashes(tmp_path / "hashes.json"))
    assert facts.num_bytes == (tiny_model / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_settings_alone_are_no_tokenizer(tiny_model: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "tokenizer.json").rename(copy / name)
    with pytest.raises(ConfigError, match="no tokenizer"):
        model_facts(copy, "models.x.path", Hashes(tmp_path / "hashes.json"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ("{}", "names no model_type"),
        ('{"model_type": "bert"}', "does not give layers and positions as numbers"),
        ('{"model_type": "bert", "num_hidden_layers": "many"}', "layers and positions as numbers"),
        ('{"model_type": "vit"}', "reads no text"),
        ("\xff", "is no JSON"),
    ],
)
def test_a_config_that_says_too_little_is_refused(
    tiny_model: Path, tmp_path: Path, text: str, rule: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=rule) as caught:
        model_facts(copy, "models.x.path", Hashes(tmp_path / "hashes.json"))
    assert "\n" not in str(caught.value)


def pairs(count: int) -> dict[str, list[Any]]:
    return {"premise": ["a"] * count, "hypothesis": ["b"] * count, "label": ["no"] * count}


def count(root: Path, use: str, language: str) -> int:
    return count_rows({"toy/pairs": root / "toy/pairs"}, TASK, use, language)


def test_rows_are_counted_from_the_footers(tmp_path: Path, write_dataset: WriteDataset) -> None:
    configs = {"en": {"train": pairs(7), "test": pairs(3)}, "th": {"test": pairs(2)}}
    folder = write_dataset(tmp_path, "toy/pairs", configs)
    assert count(tmp_path, "train", "en") == 7
    assert count(tmp_path, "test", "en") == 3
    assert count(tmp_path, "test", "th") == 2
    with pytest.raises(DataError, match=r"declares no split 'train' of a configuration 'th'"):
        count(tmp_path, "train", "th")
    (folder / "th/test-00000-of-00001.parquet").unlink()
    assert count(tmp_path, "test", "th") == 0


def test_rows_of_several_files_are_added(tmp_path: Path, write_dataset: WriteDataset) -> None:
    folder = write_dataset(tmp_path, "toy/pairs", {"en": {"train": pairs(7)}})
    file = folder / "en/train-00000-of-00001.parquet"
    shutil.copy(file, folder / "en/train-00001-of-00002.parquet")
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("train-00000-of-00001", "train-*"))
    assert count(tmp_path, "train", "en") == 14


def test_a_readme_may_list_its_files(tmp_path: Path, write_dataset: WriteDataset) -> None:
    folder = write_dataset(tmp_path, "toy/pairs", {"en": {"train": pairs(7), "test": pairs(3)}})
    header = """---
configs:
- config_name: en
  data_files:
  - split: train
    path: [en/train-00000-of-00001.parquet, en/test-00000-of-00001.parquet]
---
"""
    (folder / "README.md").write_text(header)
    assert count(tmp_path, "train", "en") == 10


def test_a_damaged_data_set_is_a_data_error(tmp_path: Path, write_dataset: WriteDataset) -> None:
    folder = write_dataset(tmp_path, "toy/pairs", {"en": {"train": pairs(1)}})
    (folder / "en/train-00000-of-00001.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="train-00000"):
        count(tmp_path, "train", "en")


@pytest.mark.parametrize("text", [None, "no header", "---\nconfigs: 3\n---\n", "---\n[\n---\n"])
def test_a_readme_must_declare_its_files(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "toy/pairs").mkdir(parents=True)
    if text is not None:
        (tmp_path / "toy/pairs/README.md").write_text(text)
    with pytest.raises(DataError, match="README"):
        count(tmp_path, "train", "en")


def test_a_readme_larger_than_any_is_refused_with_its_limit(tmp_path: Path) -> None:
    folder = tmp_path / "toy/pairs"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nconfigs: []\n---\n" + " " * 5 * 2**20)
    with pytest.raises(DataError, match=r"README\.md has at most 4 MiB; got 5\.0 MiB"):
        count(tmp_path, "train", "en")
    names = [f"&b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
    bomb = "".join(f"b{i}: {text}\n" for i, text in enumerate(["&b0 [x]", *names]))
    (folder / "README.md").write_text(f"---\n{bomb}configs: []\n---\n")
    with pytest.raises(DataError, match="aliases that stand for more than") as caught:
        count(tmp_path, "train", "en")
    assert "\n" not in str(caught.value)


def test_the_memory_is_json_that_lasts(tmp_path: Path) -> None:
    path, memory = tmp_path / "file", tmp_path / "hashes.json"
    path.write_text("one")
    hashes = Hashes(memory)
    digest = hashes.of(path)
    hashes.save()
    stat = path.stat()
    assert json.loads(memory.read_text()) == {str(path): [stat.st_size, stat.st_mtime_ns, digest]}
