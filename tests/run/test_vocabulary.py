"""Tokenizers that do not belong to their weights or to the rows are refused at the outset."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE, WordPiece
from transformers import PreTrainedTokenizerFast

from xstilts.errors import ConfigError, StageError
from xstilts.run import vocabulary
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.training import model

from ..conftest import make_sweep


def take(folder: Path, root: Path, tmp_path: Path) -> Any:
    """The inventory of a sweep with a model, over the miniature NLI target."""
    sweep = make_sweep(models={"m": {"path": str(folder)}}, data={"root": str(root)})
    storage = tmp_path / "storage"
    storage.mkdir(exist_ok=True)
    open_storage(storage)
    return take_inventory(sweep, Places(storage, "s"))


def refused(folder: Path, root: Path, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        take(folder, root, tmp_path)
    (problem,) = caught.value.problems
    assert problem.where == "models.m.path" and "\n" not in str(problem)
    assert str(folder) in problem.got and problem.repair
    return str(problem)


def without_tokenizer(source: Path, folder: Path) -> Path:
    """A model's weights alone."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, folder)
    return folder


@pytest.fixture(autouse=True)
def fresh() -> None:
    vocabulary._tokenizer.cache_clear()


@pytest.mark.parametrize("name", ["spm.model", "sentencepiece.bpe.model", "vocab.json"])
def test_a_vocabulary_that_its_class_does_not_read_is_named(
    name: str, tiny_bert: Path, shared_mini: Path, tmp_path: Path
) -> None:
    """BERT's class with the files of another: five special tokens, and all else unknown."""
    folder = without_tokenizer(tiny_bert, tmp_path / "model")
    (folder / name).write_bytes(b"{}")
    told = refused(folder, shared_mini, tmp_path)
    assert "its tokenizer (BertTokenizer) has 5 tokens and its weights" in told
    assert f"BertTokenizer did not read {name}: name the class that does" in told


def test_a_vocabulary_of_another_model_is_refused(
    tiny_bert: Path, tiny_model: Path, shared_mini: Path, tmp_path: Path
) -> None:
    folder = without_tokenizer(tiny_bert, tmp_path / "model")
    own = {f"[{i}]": i for i in range(3000)} | {"[UNK]": 3000}
    write(Tokenizer(WordPiece(own, unk_token="[UNK]")), folder, unk_token="[UNK]")
    assert "has 3,001 tokens and its weights" in refused(folder, shared_mini, tmp_path)


def write(tokenizer: Tokenizer, folder: Path, **tokens: str) -> None:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens).save_pretrained(folder)


@pytest.mark.parametrize("drops", [False, True])
def test_a_vocabulary_of_other_languages_is_refused(
    drops: bool, tiny_bert: Path, shared_mini: Path, tmp_path: Path
) -> None:
    """Of the right size, of Devanagari: it calls every word unknown, or makes nothing of it."""
    folder = without_tokenizer(tiny_bert, tmp_path / "model")
    size = model.load_encoder(tiny_bert).config.vocab_size
    letters = {chr(0x904 + i): i for i in range(size - 3)}
    marks = {name: size - 3 + i for i, name in enumerate(("[PAD]", "[UNK]", "[SEP]"))}
    learnt = BPE({**letters}, []) if drops else WordPiece({**letters, **marks}, unk_token="[UNK]")
    made = Tokenizer(learnt)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    write(made, folder, pad_token="[PAD]", eos_token="[SEP]", unk_token="[UNK]")
    told = refused(folder, shared_mini, tmp_path)
    assert "of the first 100 rows of mini_xnli in en 100% of the tokens are unknown" in told


def test_what_was_found_is_remembered(
    tiny_model: Path, shared_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch is not imported to find the same again."""
    first = take(tiny_model, shared_mini, tmp_path)
    vocabulary._tokenizer.cache_clear()
    monkeypatch.setattr(model, "load_tokenizer", None)
    assert take(tiny_model, shared_mini, tmp_path) == first


def test_a_tokenizer_that_cannot_be_loaded_is_told_by_the_inventory(
    tiny_model: Path, shared_mini: Path, tmp_path: Path
) -> None:
    folder = without_tokenizer(tiny_model, tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    sweep = make_sweep(models={"m": {"path": str(folder)}}, data={"root": str(shared_mini)})
    open_storage(tmp_path)
    with pytest.raises(ConfigError, match=r"models\.m\.path: its tokenizer cannot be loaded"):
        take_inventory(sweep, Places(tmp_path, "s"))


def test_sentencepiece_that_is_not_there_is_asked_for(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = without_tokenizer(tiny_model, tmp_path / "model")
    (folder / "spm.model").write_bytes(b"")
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(StageError, match=r"spm\.model, .*: pip install sentencepiece"):
        model.load_tokenizer(folder)


def test_a_folder_with_sentencepiece_alone_is_read(tiny_bert: Path, tmp_path: Path) -> None:
    """The layout of mT5 and mDeBERTa: a model of pieces, no tokenizer.json."""
    import sentencepiece

    folder = without_tokenizer(tiny_bert, tmp_path / "model")
    texts = ["the cat sleeps on the old chair", "my brother bought three red apples"] * 50
    with (folder / "spm.model").open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=out, vocab_size=30, minloglevel=2
        )
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2Tokenizer"}')
    tokenizer = model.load_tokenizer(folder)
    ids = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    assert ids and tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == "the cat"
