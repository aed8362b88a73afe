"""Evaluation of XTREME's nine targets in all languages: how many times as fast as language by
language.

`together` is one pass of the encoder for as many languages as `MAX_FEATURES` allows, `alone` one
for each language, and `padded` transformers' own model language by language: the rows in their
order, 32 at a time, padded to the longest, with the same matmul. All read the same encoded rows
with the same weights. Rows are those of the records' dev sets; of a language that has fewer than
asked for they are repeated. Encoding, loading models and writing files are no part of it. Where
others work on the machine, one thread and the processors' seconds say more than the clock.

    python -m tests.benchmarks.evaluation FOLDER [--rows N] [--rounds N] [--encoder mini | 6x384]
        [--targets xnli ...] [--ways together alone padded] [--threads N] [--profile]

FOLDER keeps the mirror, the encoder and the encoded rows for another run. An encoder that is not
the miniature one has random weights and a tokenizer learnt from the records, so that texts have
about as many tokens as with that of XLM-R.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

from tests.benchmarks.rounds import spread
from xstilts import kinds, mini
from xstilts.config.load import parse_sweep
from xstilts.data.batches import columns_of
from xstilts.data.encoding import TokenCache
from xstilts.data.importers import import_folder
from xstilts.kinds.kind import Batch, Vocabulary
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate
from xstilts.run import evaluation
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.search.proposals import target_points
from xstilts.tasks import Task
from xstilts.training.matmul import choose_matmul
from xstilts.training.model import Model, build_heads, load_encoder, load_tokenizer, settings
from xstilts.training.predict import Predictor

RECORDS = Path(__file__).parents[3] / "shared" / "data"
TARGETS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
PIECES = 8000
POOLS = "xtreme/bucc2018"
WAYS = {"together": evaluation.MAX_FEATURES, "alone": 1, "padded": 1}
"""How many features the encoder may see in one pass."""

BATCH_ROWS = 32


class Cost(NamedTuple):
    """Seconds of one evaluation of a target: of the clock, of the processors, of the encoder's
    passes and of decoding."""

    wall: float
    cpu: float
    forward: float
    decode: float


@dataclass(frozen=True, slots=True)
class Padded:
    """Predicts as `Predictor` does, with transformers' own model and padded rows."""

    encoder: PreTrainedModel
    heads: nn.ModuleDict
    vocabulary: Vocabulary

    def outputs(self, features: pa.Table, task: Task, layer: int | None = None) -> list[Any]:
        """See `Predictor`."""
        kind, head = kinds.get(task.kind), dict(self.heads.items()).get(task.head)
        read = -1 if layer is None else layer
        batches = self._states(features, task)
        return [x for batch, states in batches for x in kind.outputs(head, states[read], batch)]

    def layer_outputs(self, features: pa.Table, task: Task) -> list[Any]:
        """See `Predictor`."""
        kind = kinds.get(task.kind)
        assert isinstance(kind, kinds.Layered)
        return [
            x for b, states in self._states(features, task) for x in kind.layer_outputs(states, b)
        ]

    def _states(self, features: pa.Table, task: Task) -> Iterator[tuple[Batch, Any]]:
        random = np.random.default_rng(0)
        for first in range(0, features.num_rows, BATCH_ROWS):
            columns = columns_of(features.slice(first, BATCH_ROWS))
            batch = kinds.get(task.kind).collate(columns, self.vocabulary, random)
            with torch.inference_mode():
                yield batch, self.encoder(**batch.inputs, output_hidden_states=True).hidden_states


class Bench(NamedTuple):
    """What evaluating takes: a stage for every target, who predicts, and the encoded rows."""

    stages: list[Evaluate]
    predictors: dict[str, Any]
    token_cache: TokenCache


def mirror_of(records: Path, folder: Path, rows: int | None) -> Path:
    """The records in the layout of the Hub; with `rows`, dev sets that have fewer are repeated.
    Pools, whose sentences are distinct, stay as they are."""
    whole = folder / "mirror"
    if not whole.is_dir():
        import_folder(records, whole)
    if rows is None:
        return whole
    repeated = folder / f"mirror-{rows}"
    if not repeated.is_dir():
        for path in whole.rglob("*"):
            if path.is_file():
                copy = repeated / path.relative_to(whole)
                copy.parent.mkdir(parents=True, exist_ok=True)
                is_dev = path.name.startswith("validation") and path.suffix == ".parquet"
                if is_dev and not path.is_relative_to(whole / POOLS):
                    table = pq.read_table(path)
                    places = np.arange(max(rows, table.num_rows)) % table.num_rows
                    pq.write_table(table.take(pa.array(places)), copy)
                else:
                    copy.hardlink_to(path)
    return repeated


def texts_of(mirror: Path) -> Iterator[str]:
    """Sentences, words and contexts in all languages of the records."""
    for path in sorted(mirror.glob("facebook/xnli/*/validation*")):
        table = pq.read_table(path).slice(0, 300)
        yield from table["premise"].to_pylist()
    for path in sorted(mirror.glob("google/xtreme/PAN-X*/validation*")):
        yield from (" ".join(words) for words in pq.read_table(path)["tokens"].to_pylist())
    for path in sorted(mirror.glob("xtreme/tydiqa/*/validation*")):
        yield from pq.read_table(path)["context"].to_pylist()[:50]


def write_encoder(mirror: Path, folder: Path, layers: int, width: int) -> Path:
    """An XLM-R of random weights and its tokenizer; heads are 32 wide."""
    if folder.is_dir():
        return folder
    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(vocab_size=PIECES, unk_token="<unk>", show_progress=False)
    learnt.train_from_iterator(texts_of(mirror), trainer)
    scored = dict.fromkeys(SPECIALS, 0.0)
    vocabulary = list(scored.items())
    for i in range(learnt.get_vocab_size()):
        piece = learnt.id_to_token(i)
        if piece not in scored:
            vocabulary.append((piece, -(float(len(vocabulary)) ** 0.25)))
    tokenizer = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)], model_max_length=512)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prepare(arguments: argparse.Namespace) -> Bench:
    """Stages, an encoder with heads, and rows, of which every language is encoded."""
    folder, rows, targets = arguments.folder, arguments.rows, arguments.targets
    mirror = mirror_of(arguments.records, folder, rows)
    encoder_folder = mini.encoder_path()
    if arguments.encoder != "mini":
        layers, width = map(int, arguments.encoder.split("x"))
        encoder_folder = write_encoder(mirror, folder / arguments.encoder, layers, width)
    storage = folder / "storage"
    sweep = parse_sweep(
        {
            "name": "evaluation",
            "benchmark": "custom",
            "recipe": "small",
            "models": {"random": {"path": str(encoder_folder)}},
            "data": {"root": str(mirror)},
            "targets": list(targets),
            "languages": {"bucc2018": ["zh"]} if "bucc2018" in targets else {},
            "evaluation": {"split": "validation", "examples": rows},
        },
        "the benchmark",
    )
    open_storage(storage)
    inventory = take_inventory(sweep, Places(storage, sweep.name))
    planner = Planner(sweep, inventory, target_points(sweep))
    plan = planner.plan({"model": "random", "intermediate": "none"}, 0)
    cells = {name: group.cells for group in plan.target_sets for name in group.targets}
    stages = [
        planner.evaluation(plan, name, cells[name][0] if cells[name] else None) for name in targets
    ]
    encoder, tokenizer = load_encoder(encoder_folder), load_tokenizer(encoder_folder)
    trained = {stage.rows.entry.head: stage.rows.entry for stage in stages}
    heads = {name: task for name, task in trained.items() if task.is_trained}
    model = Model(encoder, build_heads(heads, *settings(encoder), 0, "target"))
    vocabulary = Vocabulary.of(tokenizer)
    ours = Predictor([model], vocabulary)
    padded = Padded(load_encoder(encoder_folder).eval(), model.heads, vocabulary)
    folders = {name: Path(path) for name, path in inventory.folders.items()}
    token_cache = TokenCache(storage, folders, tokenizer, inventory.models["random"].tokenizer)
    for stage in stages:
        for language, _ in stage.rows.rows:
            token_cache.encoded(stage.rows, language)
            token_cache.item_keys(stage.rows, language)
    predictors = {"together": ours, "alone": ours, "padded": padded}
    return Bench(stages, predictors, token_cache)


def evaluate(bench: Bench, stage: Evaluate, way: str) -> tuple[Cost, dict[str, Any]]:
    """What it costs to evaluate a target in all its languages, and their scores."""
    evaluation.MAX_FEATURES = WAYS[way]
    task, predictor = stage.rows.entry, bench.predictors[way]
    evaluator = evaluation.Evaluator(stage, task, predictor, bench.token_cache, lambda: None)
    languages = [language for language, _ in stage.rows.rows]
    wall, cpu = time.perf_counter(), time.process_time()
    scores = {name: done.scores for name, done in evaluator.evaluate(languages)}
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(*spent, evaluator.seconds["forward"], evaluator.seconds["decode"]), scores


def report(name: str, costs: dict[str, np.ndarray]) -> None:
    """A line for each way: medians, and how many times as fast it is together."""
    first = next(iter(costs.values()))
    for way, own in costs.items():
        seconds = " ".join(f"{value:8.2f}" for value in np.median(own, 0))
        ratios = f"CPU {spread(own[:, 1], first[:, 1])}, wall {spread(own[:, 0], first[:, 0])}"
        print(f"{name:12} {way:9} {seconds} | {ratios if own is not first else ''}", flush=True)


def compare(bench: Bench, ways: Sequence[str], rounds: int) -> None:
    """Evaluate in turns and print the lines of every target, and those of all."""
    print("target, languages: seconds of the clock, of the CPUs, forward, decode | others / first")
    totals = {way: np.zeros((rounds, len(Cost._fields))) for way in ways}
    for stage in bench.stages:
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        scores: dict[str, dict[str, Any]] = {}
        for turn in range(rounds + 1):  # the first is not timed: it loads what is loaded once
            for way in ways if turn % 2 else reversed(ways):
                cost, scores[way] = evaluate(bench, stage, way)
                costs[way].append(cost)
        timed = {way: np.array(own[1:]) for way, own in costs.items()}
        for way, own in timed.items():
            totals[way] += own
        languages = list(scores[ways[0]])
        report(f"{stage.rows.task} {len(languages)}", timed)
        others = sum(any(scores[way][x] != scores[ways[0]][x] for way in ways) for x in languages)
        if others:
            print(f"{'':12} other scores in {others} languages: what nearly ties, ties otherwise")
    report("all", totals)


PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "mkldnn_linear", "scaled_dot_product")
ARITHMETIC = ("gelu", "softmax", "layer_norm", "add", "mul", "tanh", "log", "div", "sub")
MOVES = ("copy", "index", "embedding", "cat", "gather", "clone", "fill", "zero", "empty")


def print_shares(bench: Bench, way: str) -> None:
    """Of the time of a second evaluation of all targets, what torch's operations take by sort, and
    those that take most. All of it is once on the clock: one thread is what can be read."""
    for stage in bench.stages:
        evaluate(bench, stage, way)
    cost = 0.0
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for stage in bench.stages:
            cost += evaluate(bench, stage, way)[0].wall
    taken = {one.key: one.self_cpu_time_total / 1e6 / cost for one in profiled.key_averages()}

    def share(words: Sequence[str]) -> float:
        found = [name for name in taken if any(word in name for word in words)]
        return sum(taken.pop(name) for name in found)

    most = sorted(taken.items(), key=lambda pair: -pair[1])[:12]
    shares = " ".join(f"{share(words):.3f}" for words in (PRODUCTS, ARITHMETIC, MOVES))
    print(f"{way:9} {shares} other operations {sum(taken.values()):.3f}", flush=True)
    print("  ", ", ".join(f"{name} {own:.3f}" for name, own in most))


def main() -> None:
    """Print the seconds of both ways and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument(
        "--rows", type=int, help="of every language; those of the records if not given"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--encoder", default="mini", help="mini, or layers and width")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--profile", action="store_true", help="what the time is spent on")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    choose_matmul("cpu")
    bench = prepare(arguments)
    if arguments.profile:
        print("share of the time in products, other arithmetic, tensors moved; the rest is Python")
        for way in arguments.ways:
            print_shares(bench, way)
    else:
        compare(bench, arguments.ways, arguments.rounds)


if __name__ == "__main__":
    main()
