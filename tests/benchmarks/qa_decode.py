"""Span QA's decoding against transformers' `compute_predictions_logits`: how many times as fast.

Both get the same windows of XQuAD's English and German questions and the same scores: noise, with
a peak at a random span of most windows; once as they are, once rounded, so that many spans are
equally good. Rules differ in one point, which is left in place: transformers looks at the 20 best
starts and ends of a window only.

transformers has had the function up to version 5.0; a later one is nothing to compare with.

    python -m tests.benchmarks.qa_decode TOKENIZER [--records FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from tests.benchmarks.rounds import interleaved, spread
from xstilts import kinds
from xstilts.kinds.kind import Encoded
from xstilts.kinds.span import MAX_ANSWER_TOKENS, _best_spans
from xstilts.tasks import Source, Task

try:
    from transformers.data.metrics.squad_metrics import compute_predictions_logits
    from transformers.data.processors.squad import SquadExample, SquadFeatures, SquadResult
except ImportError:
    compute_predictions_logits = None

RECORDS = Path(__file__).parents[3] / "shared" / "data"
SPAN = kinds.get("span")
TASK = Task("xquad", "span", Source("xquad"), ("en",), {}, ("exact_match", "f1"))
MAX_LENGTH, N_BEST, QUESTIONS = 384, 20, 1000


def read(path: Path) -> dict[str, list[Any]]:
    """The first questions of a file in SQuAD's format."""
    rows: dict[str, list[Any]] = {"id": [], "context": [], "question": [], "answers": []}
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                rows["id"].append(f"{path.stem}-{question['id']}")
                rows["context"].append(paragraph["context"])
                rows["question"].append(question["question"])
                rows["answers"].append(
                    {name: [a[name] for a in answers] for name in ("text", "answer_start")}
                )
    return {name: column[:QUESTIONS] for name, column in rows.items()}


def draw(encoded: Encoded, rounded: bool) -> list[np.ndarray]:
    """Seeded scores of every window."""
    random = np.random.default_rng(0)
    outputs = []
    for begins in encoded.features["begins"].to_pylist():
        scores = random.normal(size=(len(begins), 2)).astype(np.float32)
        inside = np.flatnonzero(np.array(begins) >= 0)
        if random.random() < 0.9:
            first = int(random.choice(inside))
            last = min(first + int(random.geometric(0.3)) - 1, int(inside[-1]))
            scores[first, 0] += 6
            scores[last, 1] += 6
        outputs.append(np.round(scores) if rounded else scores)
    return outputs


def squad_inputs(
    rows: dict[str, list[Any]], encoded: Encoded, tokenizer: Any
) -> tuple[list[Any], list[Any]]:
    """The rows and windows as transformers has them: examples and features."""
    columns = (rows[name] for name in ("id", "question", "context"))
    examples = [SquadExample(*row, None, None, "") for row in zip(*columns, strict=True)]
    features = []
    for number, window in enumerate(encoded.features.to_pylist()):
        words = examples[window["example"]].char_to_word_offset
        to_word = {i: words[begin] for i, begin in enumerate(window["begins"]) if begin >= 0}
        features.append(
            SquadFeatures(
                window["input_ids"],
                *([1] * len(window["input_ids"]), None, 0, None),
                example_index=window["example"],
                unique_id=number,
                paragraph_len=len(to_word),
                token_is_max_context={i: window["most_context"][i] for i in to_word},
                tokens=tokenizer.convert_ids_to_tokens(window["input_ids"]),
                token_to_orig_map=to_word,
                start_position=0,
                end_position=0,
                is_impossible=False,
            )
        )
    return examples, features


def spans(outputs: list[np.ndarray], encoded: Encoded) -> list[tuple[float, float]]:
    """The start's and the end's score of every example's answer."""
    flat = np.concatenate(outputs)
    most = np.concatenate(encoded.features["most_context"].to_pylist())
    inside = np.concatenate(encoded.features["begins"].to_pylist()) >= 0
    best: dict[int, tuple[float, int, int]] = {}
    owners = encoded.features["example"].to_pylist()
    for owner, (value, first, last, _) in zip(
        owners, _best_spans(outputs, most, inside), strict=True
    ):
        if owner not in best or value > best[owner][0]:
            best[owner] = (value, first, last)
    return [(float(flat[i, 0]), float(flat[j, 1])) for _, (_, i, j) in sorted(best.items())]


def compare(
    outputs: list[np.ndarray], encoded: Encoded, inputs: tuple[Any, ...], tokenizer: Any
) -> str:
    """How many answers of both agree: token spans, their value, the text."""
    examples, features = inputs
    with tempfile.TemporaryDirectory() as folder:
        nbest = Path(folder) / "nbest.json"
        texts = predict(examples, features, results_of(outputs), tokenizer, str(nbest))
        theirs = [entries[0] for entries in json.loads(nbest.read_text()).values()]
    ours = spans(outputs, encoded)
    pairs = [(best["start_logit"], best["end_logit"]) for best in theirs]
    same = sum(a == b for a, b in zip(ours, pairs, strict=True))
    better = sum(sum(a) > sum(b) for a, b in zip(ours, pairs, strict=True))
    worse = sum(sum(a) < sum(b) for a, b in zip(ours, pairs, strict=True))
    decoded = SPAN.decode(outputs, encoded, TASK)
    text = sum(a == b for a, b in zip(decoded, texts.values(), strict=True))
    return (
        f"{same} of {len(ours)} token spans are the same, {better} of ours have a higher value, "
        f"{worse} a lower one; {text} texts are the same (transformers widens its to words)"
    )


def results_of(outputs: list[np.ndarray]) -> list[Any]:
    """Scores as `run_squad` hands them over."""
    return [SquadResult(i, *scores.T.tolist()) for i, scores in enumerate(outputs)]


def predict(
    examples: list[Any], features: list[Any], results: list[Any], tokenizer: Any, nbest: Any = None
) -> dict[str, str]:
    """transformers' answers by id."""
    limits = (N_BEST, MAX_ANSWER_TOKENS, True)
    answers: dict[str, str] = compute_predictions_logits(
        *(examples, features, results, *limits),
        *(None, nbest, None, False, False, 0.0, tokenizer),
    )
    return answers


def main() -> None:
    """Print how many answers agree, and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if compute_predictions_logits is None:
        print("this transformers has no compute_predictions_logits: nothing to compare with")
        return
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    files = [read(arguments.records / "xquad" / f"xquad.{code}.json") for code in ("en", "de")]
    rows = {name: files[0][name] + files[1][name] for name in files[0]}
    encoded = SPAN.encode(rows, TASK, tokenizer, MAX_LENGTH)
    inputs = squad_inputs(rows, encoded, tokenizer)
    examples, features = inputs
    print(f"{encoded.features.num_rows} windows of {len(examples)} questions")
    for name, rounded in (("scores without ties", False), ("scores with ties", True)):
        outputs = draw(encoded, rounded)
        results = results_of(outputs)
        runs = {
            "ours": lambda outputs=outputs: SPAN.decode(outputs, encoded, TASK),
            "transformers": lambda results=results: predict(examples, features, results, tokenizer),
        }
        times, _ = interleaved(runs, arguments.rounds)
        print(f"{name}: {compare(outputs, encoded, inputs, tokenizer)}")
        print(f"  transformers / ours: {spread(times['transformers'], times['ours'])}")


if __name__ == "__main__":
    main()
