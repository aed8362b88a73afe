"""Pretrains the tiny encoder of the miniature benchmark on masked words, without labels.

`python -m tools.mini.pretrain --out DIR` trains the tokenizer and the encoder that the package
ships; steps are counted, not timed, so the seed decides the result on one kind of CPU.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Encoding
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

from tools.mini import world as worlds
from tools.mini.languages import ENGLISH, LANGUAGES, Language
from tools.mini.reading import Line
from tools.mini.tokenizer import MAX_TOKENS, SEAM, SPECIAL_TOKENS, train_tokenizer

log = logging.getLogger(__name__)

# The shares of the batches that hold plain, code-switched and paired text.
STREAMS = {"plain": 0.4, "switched": 0.3, "paired": 0.3}
SWITCH_RATE = 0.4


# Token ids of the input, and of the text in one language that it comes from.
Row = tuple[list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the encoder is pretrained."""

    steps: int = 10000
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    mask_rate: float = 0.2
    restore_rate: float = 0.5  # of switched words, to be restored to the language of the text
    weight_decay: float = 0.01
    num_merges: int = 5000
    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    intermediate_size: int = 256

    def shortened(self, factor: float) -> Recipe:
        """The recipe with so many times fewer steps."""
        return replace(self, steps=max(1, round(self.steps / factor)))


# plain: a text whole or in two parts; paired: a sentence and its translation; switched: a text,
# and the same text with some words of other languages. The second may be empty.
Text = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Texts:
    """The pretraining text by stream, and the text that the tokenizer is made from."""

    streams: dict[str, list[Text]]
    tokenizer: list[str]


Documents = Mapping[str, Sequence[tuple[Line, ...]]]
"""Pretraining text by language, in no language yet."""


def build_texts(world: worlds.World, text: Documents, languages: Sequence[str]) -> Texts:
    """All pretraining text by stream. Only facts of the pretraining split occur in it."""
    rng = random.Random(f"{world.seed}/pretrain/texts")
    plain: list[Text] = []
    switched: list[Text] = []
    for code in languages:
        language = world.languages[code]
        for document in text[code]:
            plain.append(_halve(rng, document, language))
            if len(languages) > 1:
                switched.append(_switch(rng, document, language, world, languages))
    paired: list[Text] = []
    for code in languages:
        if code == ENGLISH or ENGLISH not in languages:
            continue
        for line in (line for document in text[code] for line in document):
            pair = (line.write(world.languages[ENGLISH]), line.write(world.languages[code]))
            paired.append(pair if rng.random() < 0.5 else pair[::-1])
    # The tokenizer reads every language equally often, so that none is spelled letter by letter.
    shown = [
        _write(document, _hyphenated(world.languages[code]))
        for code in languages
        for document in text[code]
        for _ in range(round(1 / world.languages[code].profile.text_share))
    ]
    return Texts({"plain": plain, "switched": switched, "paired": paired}, shown)


def _hyphenated(language: Language) -> Language:
    """The language with its suffixes set off, so that no piece spans a stem and a suffix."""
    return replace(language, suffixes={k: SEAM + v for k, v in language.suffixes.items()})


def _write(document: Sequence[Line], language: Language) -> str:
    return " ".join(line.write(language) for line in document)


def _halve(rng: random.Random, document: Sequence[Line], language: Language) -> Text:
    """The document as one text, or as a pair of its last sentence and what stands before it."""
    if len(document) == 1 or rng.random() < 0.4:
        return _write(document, language), ""
    halves = _write(document[:-1], language), _write(document[-1:], language)
    return halves if rng.random() < 0.5 else halves[::-1]


def _switch(
    rng: random.Random,
    document: Sequence[Line],
    language: Language,
    world: worlds.World,
    languages: Sequence[str],
) -> Text:
    """The document, some of its sentences in other languages, and with some words switched too.

    Languages of little text are rarely switched to.
    """
    weights = [world.languages[code].profile.text_share for code in languages]
    native: list[str] = []
    switched: list[str] = []
    for line in document:
        speaker = language
        if rng.random() < SWITCH_RATE:
            speaker = world.languages[rng.choices(languages, weights)[0]]

        def lexis(speaker: Language = speaker) -> Language:
            if rng.random() >= SWITCH_RATE:
                return speaker
            return world.languages[rng.choices(languages, weights)[0]]

        native.append(line.write(speaker))
        switched.append(line.write(speaker, lexis))
    return " ".join(native), " ".join(switched)


def build_model(recipe: Recipe, vocab_size: int) -> XLMRobertaForMaskedLM:
    """An untrained encoder with tied embeddings."""
    config = XLMRobertaConfig(
        vocab_size=vocab_size,
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        intermediate_size=recipe.intermediate_size,
        # Positions start after the padding id.
        max_position_embeddings=MAX_TOKENS + 2,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    return XLMRobertaForMaskedLM(config)


class Batches:
    """An endless stream of encoded batches, each from one kind of text."""

    def __init__(
        self,
        texts: dict[str, list[Text]],
        tokenizer: PreTrainedTokenizerFast,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.recipe = recipe
        self.rng = random.Random(f"{seed}/pretrain/batches")
        self.generator = torch.Generator().manual_seed(seed)
        self.mask_id = int(tokenizer.mask_token_id)
        self.tokenizer = tokenizer.backend_tokenizer
        self.encoded = {
            stream: self._encode(stream, pairs) for stream, pairs in texts.items() if pairs
        }

    def _encode(self, stream: str, pairs: Sequence[Text]) -> list[Row]:
        if stream == "switched":
            natives = self.tokenizer.encode_batch([native for native, _ in pairs])
            switcheds = self.tokenizer.encode_batch([switched for _, switched in pairs])
            return [_align(*both) for both in zip(natives, switcheds, strict=True)]
        inputs = [pair if pair[1] else pair[0] for pair in pairs]
        rows = (encoding.ids[:MAX_TOKENS] for encoding in self.tokenizer.encode_batch(inputs))
        return [(ids, ids) for ids in rows]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield masked `input_ids` and `labels`, both (batch, length) int64; -100 is not scored."""
        streams = list(self.encoded)
        weights = [STREAMS[stream] for stream in streams]
        queues: dict[str, list[list[Row]]] = {stream: [] for stream in streams}
        while True:
            stream = self.rng.choices(streams, weights)[0]
            if not queues[stream]:
                queues[stream] = self._shuffled_batches(self.encoded[stream])
            yield self.mask(queues[stream].pop())

    def mask(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad the rows and choose the tokens to predict: 60 % masked, 20 % random, 20 % kept.

        The random ones come from the batch: only what stands around them shows that they are
        wrong. Words in another language than their text are chosen too, and stay as they are:
        the word of the text's own language is to be predicted from them.
        """
        length = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([[*row, *[1] * (length - len(row))] for row, _ in rows])
        native = torch.tensor([[*row, *[1] * (length - len(row))] for _, row in rows])
        chance = torch.rand(ids.shape, generator=self.generator)
        chosen = (chance < self.recipe.mask_rate) & (ids >= len(SPECIAL_TOKENS))
        restored = (ids != native) & (1 - chance < self.recipe.restore_rate)
        labels = native.masked_fill(~(chosen | restored), -100)
        fate = torch.rand(ids.shape, generator=self.generator)
        words = ids[ids >= len(SPECIAL_TOKENS)]
        noise = words[torch.randint(len(words), ids.shape, generator=self.generator)]
        masked = ids.masked_fill(chosen & (fate < 0.6), self.mask_id)
        return torch.where(chosen & (fate >= 0.8), noise, masked), labels

    def _shuffled_batches(self, rows: list[Row]) -> list[list[Row]]:
        size = self.recipe.batch_size
        # Rows of like length share a batch; the noise keeps the batches from being always the same.
        ordered = sorted(rows, key=lambda row: len(row[0]) + self.rng.random() * 6)
        batches = [ordered[i : i + size] for i in range(0, len(ordered), size)]
        self.rng.shuffle(batches)
        return batches


def _align(native: Encoding, switched: Encoding) -> Row:
    """The token ids of a switched text, and under them those of its original, word by word.

    Where a word has fewer tokens in the original than switched, the rest stands for itself.
    """
    spoken = _tokens_by_word(native)
    ids: list[int] = []
    targets: list[int] = []
    for word, tokens in _tokens_by_word(switched).items():
        original = spoken[word]
        ids += tokens
        targets += [*original, *tokens[len(original) :]][: len(tokens)]
    bos, eos = switched.ids[0], switched.ids[-1]
    return [bos, *ids, eos][:MAX_TOKENS], [bos, *targets, eos][:MAX_TOKENS]


def _tokens_by_word(encoding: Encoding) -> dict[int, list[int]]:
    words: dict[int, list[int]] = {}
    for token, word in zip(encoding.ids, encoding.word_ids, strict=True):
        if word is not None:
            words.setdefault(word, []).append(token)
    return words


def masked_loss(
    model: XLMRobertaForMaskedLM, input_ids: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the masked tokens; only they go through the output layer."""
    hidden = model.roberta(input_ids=input_ids, attention_mask=input_ids != 1).last_hidden_state
    scored = labels != -100
    return cross_entropy(model.lm_head(hidden[scored]), labels[scored])


def train(
    model: XLMRobertaForMaskedLM, batches: Batches, recipe: Recipe, seconds: float | None
) -> float:
    """Train for the recipe's steps, or as long as `seconds` allow; returns the last mean loss."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay},
         {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    started = time.monotonic()
    mean_loss = math.log(model.config.vocab_size)
    model.train()
    for step, (input_ids, labels) in enumerate(batches):
        elapsed = time.monotonic() - started
        progress = elapsed / seconds if seconds else step / recipe.steps if recipe.steps else 1.0
        if progress >= 1:
            break
        warm = min(1.0, (step + 1) / recipe.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * warm * (1 - progress)
        loss = masked_loss(model, input_ids, labels)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean_loss += 0.02 * (loss.item() - mean_loss)
        if step % 500 == 0:
            log.info("step %d, %.0f s, loss %.3f", step, elapsed, mean_loss)
    model.eval()
    return mean_loss


def pretrain(
    out: Path,
    seed: int = 0,
    languages: Sequence[str] = LANGUAGES,
    recipe: Recipe | None = None,
    seconds: float | None = None,
    new_world: Callable[[int], worlds.World] = worlds.World,
) -> None:
    """Write a tokenizer and an encoder to `out`.

    The tokenizer always knows all languages, so that encoders of other languages differ from the
    shipped one in nothing but the text they have read. `new_world` gives the world of a seed, fresh
    at every call, for a world remembers what it has said.
    """
    recipe = recipe or Recipe()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    world = new_world(seed)
    text = worlds.draw_examples(world).text
    texts = build_texts(world, text, LANGUAGES)
    tokenizer = train_tokenizer(texts.tokenizer, recipe.num_merges)
    if tuple(languages) != LANGUAGES:
        texts = build_texts(world, text, languages)
    model = build_model(recipe, len(tokenizer))
    batches = Batches(texts.streams, tokenizer, recipe, seed)
    loss = train(model, batches, recipe, seconds)
    log.info("final loss %.3f", loss)
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)


def main() -> None:
    """Pretrain as the command line says."""
    parser = argparse.ArgumentParser(description="Pretrain the tiny encoder.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--seconds", type=float, help="a time instead of steps; not reproducible")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = Recipe(steps=arguments.steps)
    languages = tuple(arguments.languages.split(","))
    pretrain(arguments.out, arguments.seed, languages, recipe, arguments.seconds)


if __name__ == "__main__":
    main()
