"""The shipped encoder: it loads as any other, it is small, and it has learned the world's text."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from tools.mini.languages import LANGUAGES
from tools.mini.world import World
from xstilts.mini import encoder_path


@pytest.fixture(scope="module")
def held_out() -> dict[str, list[str]]:
    world = World(0)
    lines = world.lines("test", 60, "retrieval")
    return {code: [line.write(world.languages[code]) for line in lines] for code in LANGUAGES}


def test_is_small() -> None:
    assert (encoder_path() / "model.safetensors").stat().st_size <= 4_000_000
    assert sum(file.stat().st_size for file in encoder_path().iterdir()) <= 5_000_000


def test_loads_as_an_encoder() -> None:
    model = AutoModel.from_pretrained(encoder_path())
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    assert model.dtype == torch.float32
    assert model.config.model_type == "xlm-roberta"
    assert model.config.vocab_size == len(tokenizer)
    long_text = " ".join(["hammer"] * 500)
    batch = tokenizer(long_text, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 128)
    hidden = model(**batch).last_hidden_state
    assert hidden.shape == (1, 128, model.config.hidden_size) and hidden.isfinite().all()


def test_tokenizer_has_the_special_tokens_of_xlmr() -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    assert tokenizer.is_fast
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    ids = tokenizer("Anna slept.", "Boris sang.")["input_ids"]
    assert [i for i in ids if i in (0, 2)] == [0, 2, 2, 2]
    assert tokenizer.mask_token_id in tokenizer("Anna bought the <mask>.")["input_ids"]


def test_tokenizer_gives_offsets_and_words() -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    text = "The Baker bought the hammer."
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert "".join(text[a:b] for a, b in encoding["offset_mapping"]).replace(" ", "") == (
        text.replace(" ", "")
    )
    words = text.rstrip(".").split()
    encoding = tokenizer([*words, "."], is_split_into_words=True)
    assert {i for i in encoding.word_ids() if i is not None} == set(range(len(words) + 1))


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_is_unknown(held_out: dict[str, list[str]], code: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    ids = [i for row in tokenizer(held_out[code])["input_ids"] for i in row]
    assert ids.count(tokenizer.unk_token_id) == 0
    assert len(ids) < 3.5 * sum(len(text.split()) + 2 for text in held_out[code])


@pytest.mark.parametrize("code", LANGUAGES)
def test_predicts_held_out_words(held_out: dict[str, list[str]], code: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    model = AutoModelForMaskedLM.from_pretrained(encoder_path()).eval()
    batch = tokenizer(held_out[code], padding=True, return_tensors="pt")
    generator = torch.Generator().manual_seed(0)
    ids = batch["input_ids"]
    chosen = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids > 3)
    labels = ids.masked_fill(~chosen, -100)
    masked = ids.masked_fill(chosen, tokenizer.mask_token_id)
    with torch.no_grad():
        output = model(masked, attention_mask=batch["attention_mask"], labels=labels)
    # A name or a thing can be any of its kind, so some loss must remain.
    assert output.loss.item() < 0.5 * math.log(model.config.vocab_size)


@pytest.mark.parametrize("code", LANGUAGES[1:])
def test_translations_are_near_each_other(held_out: dict[str, list[str]], code: str) -> None:
    """Mean-pooled first-layer states find the translation far more often than chance (1 in 60)."""
    tokenizer = AutoTokenizer.from_pretrained(encoder_path())
    model = AutoModel.from_pretrained(encoder_path()).eval()
    pooled = []
    for texts in (held_out[code], held_out["en"]):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            states = model(**batch, output_hidden_states=True).hidden_states[1]
        mask = batch["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        pooled.append(torch.nn.functional.normalize(mean, dim=-1))
    found = (pooled[0] @ pooled[1].T).argmax(dim=1)
    hits = (found == torch.arange(len(found))).float().mean().item()
    assert hits > 0.3


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, xstilts.mini; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
