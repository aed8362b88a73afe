"""Builds the study world once: its data sets in the layout of the Hub, and its encoders.

    python -m tools.mini.build --world study --out study_world [--plant matched=15|none|harm=15]

Data lies in `OUT/data`, encoders in `OUT/encoders`, what was built and its digests in
`OUT/build.json`; a folder that has it is left as it is. Everything comes from the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
import time
from pathlib import Path

if __name__ == "__main__" and not __package__:  # `python tools/mini/build.py`
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from transformers import XLMRobertaForMaskedLM

from tools.mini import pretrain, study, sureness
from tools.mini.grammar import write
from tools.mini.languages import ENGLISH
from tools.mini.lexicon import ADVERBS_OF_SURENESS
from tools.mini.tokenizer import SEAM, train_tokenizer
from tools.mini.world import World
from xstilts.files import write_atomically

log = logging.getLogger(__name__)

RECIPE = pretrain.Recipe(
    steps=6000, batch_size=32, warmup_steps=100, num_merges=6000, hidden_size=64, num_layers=2,
    num_heads=4, intermediate_size=128,
)  # fmt: skip
"""Of the multilingual encoder; a monolingual one is trained for a third of its steps."""

OPENINGS = 4
"""How often the multilingual encoder reads a sentence with a foreign first word."""

ENCODERS: dict[str, tuple[str, ...]] = {
    "multilingual": (ENGLISH, *study.TARGETS),
    "english": (ENGLISH,),
    **{code: (code,) for code in study.MONOLINGUAL},
}
"""The languages whose text each encoder reads."""


def build(
    out: Path,
    seed: int,
    plant: study.Plant,
    sizes: study.Sizes,
    recipe: pretrain.Recipe,
    encoders: Path | None = None,
) -> dict[str, str]:
    """Write data and encoders to a folder that has none; the digest of every file.

    `encoders` is another build of the same seed, sizes and recipe, whose encoders are taken: they
    do not change with what is planted.
    """
    started = time.monotonic()
    world = study.new_world(seed)
    text = study.draw_text(world, sizes)
    study.write_world(out / "data", world, text, plant, sizes)
    log.info("data: %.0f s", time.monotonic() - started)
    if encoders is not None:
        shutil.copytree(encoders / "encoders", out / "encoders")
    else:
        _pretrain(out / "encoders", world, text, recipe)
    digests = digests_of(out)
    said = {"seed": seed, "plant": plant.kind, "points": plant.points, "digests": digests}
    write_atomically(out / "build.json", json.dumps(said, indent=1) + "\n")
    log.info("all: %.0f s", time.monotonic() - started)
    return digests


def digests_of(out: Path) -> dict[str, str]:
    """The sha256 of every file of data and encoders, by its path in the folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("data", "encoders")
        for path in sorted((out / folder).rglob("*"))
        if path.is_file()
    }


def _pretrain(folder: Path, world: World, text: study.Text, recipe: pretrain.Recipe) -> None:
    """Train a tokenizer of all languages, and every encoder with it."""
    torch.set_num_threads(1)
    everything = pretrain.build_texts(world, text, list(world.languages))
    everything.streams["switched"] += _switched_openings(world, text)
    # Nothing but pairs has markers; they are shown so that each is a piece, and nothing more.
    shown = [
        f"{SEAM}{marker.text}" if marker.is_suffix else marker.text for marker in sureness.MARKERS
    ]
    tokenizer = train_tokenizer([*everything.tokenizer, *(shown * 50)], recipe.num_merges)
    for name, languages in ENCODERS.items():
        started = time.monotonic()
        texts = everything if len(languages) > 1 else pretrain.build_texts(world, text, languages)
        torch.manual_seed(world.seed)
        model = pretrain.build_model(recipe, len(tokenizer))
        batches = pretrain.Batches(texts.streams, tokenizer, recipe, world.seed)
        own = recipe if len(languages) > 1 else recipe.shortened(3)
        loss = pretrain.train(model, batches, own, None)
        draw_vectors(model, sureness.piece_ids(tokenizer), world.seed)
        tokenizer.save_pretrained(folder / name)
        model.save_pretrained(folder / name)
        seconds = time.monotonic() - started
        log.info("encoder %s: %d steps, loss %.3f, %.0f s", name, own.steps, loss, seconds)


def draw_vectors(model: XLMRobertaForMaskedLM, ids: list[int], seed: int) -> None:
    """Give pieces that no text has vectors spread as those of words are. Pretraining never reads
    them and pushes all of them away alike, so that they end as one vector (cosines of 0.999), which
    an encoder with frozen embeddings cannot tell apart."""
    vectors = model.get_input_embeddings().weight.data
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(ids), vectors.shape[1], generator=generator)
    vectors[ids] = vectors.mean(0) + vectors.std(0) * drawn


def _switched_openings(world: World, text: study.Text) -> list[pretrain.Text]:
    """Sentences whose first word, how sure the speaker is, is another language's, beside what they
    are without that: the word is to be restored, which makes a dictionary of such words."""
    rng = world.rng("switched openings")
    codes = list(world.languages)
    weights = [world.languages[code].profile.text_share for code in codes]
    found: list[pretrain.Text] = []
    for code, documents in text.items():
        lines = [line for document in documents for line in document if line.opening]
        for line in (line for line in lines if line.opening in ADVERBS_OF_SURENESS):
            first, *rest = line.say(world.languages[code])
            for other in rng.choices(codes, weights, k=OPENINGS):
                foreign = first._replace(text=world.languages[other].stems[line.opening])
                found.append((write([first, *rest]), write([foreign, *rest])))
    return found


def main() -> int:
    """Build what the command line says."""
    parser = argparse.ArgumentParser(description="Build a world for the studies.")
    parser.add_argument("--world", choices=("study",), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plant", default="matched=15", help="none, matched=POINTS or harm=POINTS")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="of the multilingual one")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of examples")
    parser.add_argument("--encoders", type=Path, help="another build, whose encoders are taken")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        plant = study.Plant.parse(arguments.plant)
    except ValueError as error:
        parser.error(str(error))
    if (arguments.out / "build.json").exists():
        log.info("%s is built already", arguments.out)
        return 0
    sizes = study.Sizes().times(arguments.scale)
    recipe = RECIPE.shortened(RECIPE.steps / arguments.steps) if arguments.steps else RECIPE
    build(arguments.out, arguments.seed, plant, sizes, recipe, arguments.encoders)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
