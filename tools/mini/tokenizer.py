"""The tokenizer of the miniature benchmark's encoder: Unigram, with the special ids of XLM-R."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0-3, and <mask> is the last one: as XLM-R
MASK_TOKEN = "<mask>"
SEAM = "\u2027"  # a mark of punctuation that no text has
MAX_TOKENS = 128


def train_tokenizer(texts: Sequence[str], num_merges: int) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer in the manner of SentencePiece, with the special ids of XLM-R.

    The pieces come from merging pairs: the trainer of Unigram takes its candidates from a suffix
    array, which misses words that nothing but the end of a word ever follows - most of ours.
    The texts may hold `SEAM` where a word should come apart.
    """
    merged = Tokenizer(models.BPE())
    _set_pipeline(merged)
    alphabet = sorted({letter for text in texts for letter in text.lower()} - {" "})
    trainer = trainers.BpeTrainer(
        vocab_size=num_merges, initial_alphabet=alphabet, show_progress=False
    )
    merged.train_from_iterator(texts, trainer)
    counts = Counter(
        token for encoding in merged.encode_batch(list(texts)) for token in encoding.tokens
    )
    total = sum(counts.values())
    # Letters stay even if no text needs them alone, so that nothing is unknown.
    known = set(merged.get_vocab()) - {SEAM}
    pieces = [piece for piece in known if counts[piece] or len(piece) == 1]
    scored = [(piece, math.log(max(counts[piece], 0.1) / total)) for piece in pieces]
    scored.sort(key=lambda item: (-item[1], item[0]))
    special = [(token, 0.0) for token in SPECIAL_TOKENS]
    tokenizer = Tokenizer(models.Unigram(special + scored, unk_id=3))
    _set_pipeline(tokenizer)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*SPECIAL_TOKENS, MASK_TOKEN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=MASK_TOKEN,
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def _set_pipeline(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
