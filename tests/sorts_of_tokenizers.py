"""Tokenizers of every sort that encoders have, trained on a test's own texts.

Each has the settings of the files that were published with the encoders of its name, and a small
vocabulary in place of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertTokenizer,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

SIZE = 6000
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DEBERTA = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
GEMMA = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
LLAMA = ["<|begin_of_text|>", "<|end_of_text|>", "<|mask|>"]
LLAMA_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Llama 3's pattern: a blank belongs to the letters behind it, and to no digit."""

Texts = Sequence[str]


@dataclass(frozen=True)
class Sort:
    """A tokenizer's maker, and whether a piece begins a word."""

    train: Callable[[Texts], Any]
    begins_word: Callable[[str], bool]


def _pieces(texts: Texts, special: Sequence[str]) -> list[tuple[str, float]]:
    """SentencePiece's Unigram: the special tokens, then what was learnt."""
    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(vocab_size=SIZE, unk_token="<unk>", show_progress=False)
    learnt.train_from_iterator(texts, trainer)
    pieces = json.loads(learnt.to_str())["model"]["vocab"]
    vocabulary = [(token, 0.0) for token in special]
    return vocabulary + [
        (piece, score) for piece, score in pieces if piece not in (*special, "<unk>")
    ]


def xlm_r(texts: Texts) -> Any:
    return XLMRobertaTokenizer(vocab=[*_pieces(texts, ROBERTA[:4]), ("<mask>", 0.0)])


def mdeberta(texts: Texts) -> Any:
    """Blanks are no separators but characters, and runs of them become one."""
    vocabulary = [*_pieces(texts, DEBERTA[:4]), ("[MASK]", 0.0)]
    return DebertaV2Tokenizer(vocab=vocabulary, unk_id=DEBERTA.index("[UNK]"))


def bert(texts: Texts) -> Any:
    learnt = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learnt.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=BERT, show_progress=False)
    learnt.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=learnt.get_vocab(), do_lower_case=False)


def _byte_level(texts: Texts, words: Any, special: Sequence[str]) -> Tokenizer:
    """BPE over bytes, whose words are found by `words`."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = words
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=list(special),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    learnt.decoder = decoders.ByteLevel()
    return learnt


def _roberta(texts: Texts, prefix: bool) -> Any:
    learnt = _byte_level(texts, pre_tokenizers.ByteLevel(add_prefix_space=False), ROBERTA)
    model = json.loads(learnt.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return RobertaTokenizer(vocab=model["vocab"], merges=merges, add_prefix_space=prefix)


def roberta(texts: Texts) -> Any:
    """No blank before the first word."""
    return _roberta(texts, prefix=False)


def roberta_with_prefix(texts: Texts) -> Any:
    return _roberta(texts, prefix=True)


def modernbert(texts: Texts) -> Any:
    """OLMo's: as RoBERTa's, of composed characters; runs of blanks are tokens of their own."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learnt = _byte_level(texts, words, BERT)
    learnt.normalizer = normalizers.NFC()
    learnt.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    learnt.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0",
        special_tokens=[(name, BERT.index(name)) for name in ("[CLS]", "[SEP]")],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return _fast(learnt, dict(zip(names, BERT, strict=True)))


def eurobert(texts: Texts) -> Any:
    """Llama 3's: no unknown token, nothing behind a text; offsets begin at the blank."""
    words = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learnt = _byte_level(texts, words, LLAMA)
    begin = (LLAMA[0], 0)
    learnt.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{LLAMA[0]}:0 $A:0",
                pair=f"{LLAMA[0]}:0 $A:0 {LLAMA[0]}:1 $B:1",
                special_tokens=[begin],
            ),
        ]
    )
    names = ("bos_token", "eos_token", "mask_token")
    tokens = dict(zip(names, LLAMA, strict=True))
    return _fast(learnt, {**tokens, "pad_token": LLAMA[1]})


def _gemma(texts: Texts, words: Any) -> Any:
    """BPE over characters, those that it does not know as bytes."""
    first = Tokenizer(models.BPE(unk_token="<unk>"))
    first.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[*GEMMA, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=600,
        show_progress=False,
    )
    first.train_from_iterator(texts, trainer)
    model = json.loads(first.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    # Bytes are pieces as others, and no tokens that a text may hold.
    learnt = Tokenizer(
        models.BPE(model["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    learnt.normalizer = normalizers.Replace(" ", "▁")
    learnt.pre_tokenizer = words
    learnt.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>",
        pair="<bos> $A <eos> $B:1 <eos>:1",
        special_tokens=[(name, GEMMA.index(name)) for name in ("<bos>", "<eos>")],
    )
    names = ("pad_token", "eos_token", "bos_token", "unk_token", "mask_token")
    tokens = dict(zip(names, GEMMA, strict=True))
    return _fast(learnt, {**tokens, "cls_token": "<bos>", "sep_token": "<eos>"})


def mmbert(texts: Texts) -> Any:
    """Gemma 2's vocabulary; every text begins with a blank."""
    return _gemma(texts, pre_tokenizers.Metaspace(prepend_scheme="always"))


def gemma(texts: Texts) -> Any:
    """Gemma 2's own: no blank before the first word, and no words."""
    return _gemma(texts, pre_tokenizers.Split(" ", behavior="merged_with_previous"))


def _fast(learnt: Tokenizer, tokens: dict[str, str]) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=learnt, **tokens)


def _metaspace(piece: str) -> bool:
    return piece.startswith("▁")


def _blank_byte(piece: str) -> bool:
    return piece.startswith("Ġ")


SORTS = {
    "bert": Sort(bert, lambda piece: not piece.startswith("##")),
    "xlm-r, gte": Sort(xlm_r, _metaspace),
    "mdeberta": Sort(mdeberta, _metaspace),
    "roberta": Sort(roberta, _blank_byte),
    "roberta with prefix": Sort(roberta_with_prefix, _blank_byte),
    "modernbert": Sort(modernbert, _blank_byte),
    "eurobert": Sort(eurobert, _blank_byte),
    "mmbert": Sort(mmbert, _metaspace),
    "gemma": Sort(gemma, _metaspace),
}
