"""A bundle verified: whatever is changed is found, by digests or by computing it again."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import BundleError, XstiltsError
from xstilts.study import contents, registration
from xstilts.study.bundle_reader import Bundle
from xstilts.study.verify import verify

from .bundled import bundle_of, changed, stored_results

Parts = dict[str, bytes]

RECORD = "trials/mnli_tr-c-s1.json"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundled")
    return bundle_of(stored_results(folder / "storage"), folder / "b.zip")


def test_a_bundle_verifies_without_its_storage_or_what_trains(path: Path) -> None:
    blocked = ("torch", "ray", "mlflow", "optuna", "transformers", "datasets", "matplotlib")
    script = f"""
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from xstilts.cli import main
sys.argv = ["xstilts", "verify", {str(path)!r}]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "36 scores from their items" in done.stdout
    found = verify(path)
    assert (found.sweep, found.trials, found.scores, found.believed) == ("s", 12, 36, 12)
    assert found.numbers > 300 and found.manifest_sha256 in done.stdout


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_is_found_by_digests(path: Path, tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    content = bytearray(path.read_bytes())
    content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(XstiltsError) as error:
        verify(tmp_path / "b.zip")
    assert "recomputed" not in str(error.value)


def in_json(name: str, change: Callable[[Any], object]) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        value = json.loads(parts[name])
        change(value)
        parts[name] = json.dumps(value).encode()

    return apply


def in_record(change: Callable[[Any], object]) -> Callable[[Parts], None]:
    return in_json(RECORD, change)


def in_rows(column: str, row: int, value: Any) -> Callable[[Parts], None]:
    return in_record(lambda record: record["scores"]["columns"][column].__setitem__(row, value))


def in_answer(*keys: str | int, to: Any) -> Callable[[Parts], None]:
    def apply(answer: Any) -> None:
        for key in keys[:-1]:
            answer = answer[key]
        assert answer[keys[-1]] != to
        answer[keys[-1]] = to

    return in_json("answer.json", apply)


def without_row(record: Any) -> None:
    for column in record["scores"]["columns"].values():
        del column[2]


def items_of_record(parts: Parts) -> str:
    stages = json.loads(parts[RECORD])["stages"]
    (stage,) = (one["name"] for one in stages if one["name"].startswith("evaluate-"))
    return f"items/{stage}/xnli.json"


def flip(parts: Parts) -> None:
    """An item that was right is wrong."""

    def change(value: Any) -> None:
        values = value["metrics"]["accuracy"][0][0]
        values[values.index(1)] = 0

    in_json(items_of_record(parts), change)(parts)


def in_about(parts: Parts) -> None:
    (name,) = (name for name in parts if name.startswith("items/about/"))
    in_json(name, lambda about: about["keys"].reverse())(parts)


def without_items(parts: Parts) -> None:
    del parts[items_of_record(parts)]


def without_trial(parts: Parts) -> None:
    without_items(parts)
    del parts[RECORD]


CHANGES: dict[str, tuple[Callable[[Parts], object], str]] = {
    "a score": (in_rows("value", 2, 12.5), r"scores: xnli in tr by accuracy: 12.5 recorded, "),
    "how many items": (in_rows("n", 2, 51), "scores: xnli in tr by accuracy: 51 items recorded"),
    "a score less": (in_record(without_row), "scores: xnli in tr: items, and no score"),
    "a language": (in_rows("language", 2, "de"), "xnli in de by accuracy: of no item"),
    "a target": (in_rows("target", 2, "pawsx"), "pawsx in tr by accuracy: of no evaluation"),
    "a dev score": (in_rows("value", 0, 71.0), "metrics.dev/xnli: 70.0 recorded, 71.0 recom"),
    "another cell": (in_rows("is_chosen", 0, False), "metrics.dev/xnli: 70.0 recorded, nothing"),
    "an average": (
        in_record(lambda r: r["metrics"].update({"xnli/avg": 70})),
        "metrics.xnli/avg: 70.0 recorded, 67.6",
    ),
    "a metric more": (
        in_record(lambda r: r["metrics"].update({"xnli/best": 70})),
        "metrics.xnli/best: 70.0 recorded, nothing recomputed",
    ),
    "hours": (
        in_record(lambda r: r["metrics"].update({"cost/hours": 0.1})),
        "metrics.cost/hours: 0.1 recorded, ",
    ),
    "tokens": (in_record(lambda r: r["stages"][0].update(tokens=9)), "metrics.cost/tokens: 0"),
    "the objective": (in_record(lambda r: r.update(objective=71.0)), "objective: 71.0 recorded"),
    "a seed": (in_record(lambda r: r.update(seed=7)), "scores.seed: 1 recorded, 7 recomputed"),
    "an intermediate": (
        in_record(lambda r: r.update(intermediate="mnli_sw")),
        'scores.intermediate: "mnli_tr" recorded, "mnli_sw" recomputed',
    ),
    "what is missing": (in_record(lambda r: r.update(missing=["x"])), r'missing\[0\]: "x" recor'),
    "who learnt": (
        in_record(lambda r: r.update(collapsed=["xnli"])),
        r"answer.json: arms\[1\].collapsed: 0 recorded, 1 recomputed",
    ),
    "what was trained": (
        in_record(lambda r: r["examples"]["mnli"].update(en=99)),
        r"answer.json: arms\[1\].examples: 9600 recorded, null recomputed",
    ),
    "an item": (flip, "scores: xnli in en by accuracy: "),
    "which items": (in_about, "is not what its name says"),
    "items less": (without_items, r"items/evaluate-xnli-\w+/xnli.json: is missing"),
    "items as if none were kept": (
        lambda parts: parts.update({items_of_record(parts): b"null"}),
        r"answer.json: contrasts\[0\].cells\[\d\].low: ",
    ),
    "a trial less": (without_trial, r"answer.json: arms\[0\].score: \S+ recorded, null recomp"),
    "items of no trial": (
        lambda parts: parts.update({"items/evaluate-x-1/xnli.json": b"null"}),
        "items/evaluate-x-1/xnli.json: is of no trial",
    ),
    "a bound": (
        in_answer("contrasts", 0, "effect", "low", to=1.25),
        r"answer.json: contrasts\[0\].effect.low: 1.25 recorded, ",
    ),
    "a p-value": (in_answer("contrasts", 0, "p", to=0.001), r"contrasts\[0\].p: 0.001 recorded"),
    "a bound by items": (
        in_answer("contrasts", 0, "by_items", "high", to=1.25),
        r"answer.json: contrasts\[0\].by_items.high: 1.25 recorded, ",
    ),
    "an error by items and languages": (
        in_answer("contrasts", 0, "by_items_and_languages", "dof", to=1.25),
        r"contrasts\[0\].by_items_and_languages.dof: 1.25 recorded, ",
    ),
    "a claim": (in_answer("contrasts", 1, "holds", to=True), r"\[1\].holds: true recorded, false"),
    "a sentence": (in_answer("says", to="Yes."), 'answer.json: says: "Yes." recorded, "'),
    "a standing": (
        in_answer("contrasts", 1, "standing", to="primary"),
        r'standing: "primary" recorded, "exploratory" recomputed',
    ),
    "a cell": (in_answer("contrasts", 0, "cells", 0, "points", to=0.0), r"cells\[0\].points: 0.0 "),
    "a number of the report": (
        in_json("report.json", lambda r: r["grid"]["xnli"].update(none=60)),
        "report.json: grid.xnli.none: 60 recorded, ",
    ),
    "a language's row": (
        in_json("languages.json", lambda t: t["rows"]["tr"].update(family="Uralic")),
        'languages.json: rows.tr.family: "Uralic" recorded, "Turkic" recomputed',
    ),
    "the table": (
        in_json("languages.json", lambda t: t.update(sha256="0")),
        'languages.json: sha256: "0" recorded, ',
    ),
    "the sweep file": (
        lambda parts: parts.update({"sweep.yaml": parts["sweep.yaml"].replace(b"Which?", b"Why?")}),
        r"sweep.yaml:\d+: is another line than follows",
    ),
    "the commands": (
        lambda parts: parts.update({"commands.txt": parts["commands.txt"] + b"more\n"}),
        "commands.txt:6: is another line than follows",
    ),
    "the definition": (
        in_json("launches/0001/sweep.json", lambda s: s["study"].update(margin=0.5)),
        "answer.json: margin: 1.0 recorded, 0.5 recomputed",
    ),
    "the inputs": (
        in_json("launches/0001/inventory.json", lambda x: x.update(data={"mnli": "0" * 64})),
        r"answer.json: registered.changed\[0\]: nothing recorded, ",
    ),
    "the registration": (
        in_json("registration/0001.json", lambda r: r.update(written="2020-01-01T00:00:00Z")),
        'answer.json: registered.written: "20',
    ),
    "no registration": (
        lambda parts: parts.pop("registration/0001.json"),
        "answer.json: registered: {",
    ),
    "an unknown part": (lambda parts: parts.update({"x.txt": b""}), "x.txt: is no part that a"),
    "a part less": (lambda parts: parts.pop("report.json"), "report.json: is missing"),
    "no launch": (
        lambda parts: parts.pop("launches/0001/sweep.json"),
        "its parts: are no sweep's: NAME: no sweep of that name",
    ),
    "another form": (in_record(lambda r: r.update(scores={"columns": {"a": [1]}})), "its parts: c"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_with_digests_made_again_is_found_by_computing(
    path: Path, tmp_path: Path, what: str
) -> None:
    change, told = CHANGES[what]
    other = changed(path, tmp_path / "b.zip", change)
    with Bundle(other) as bundle:
        bundle.check()
    with pytest.raises(BundleError) as error:
        verify(other)
    line = str(error.value)
    assert line.startswith(f"{other}: ") and re.search(told, line) and "\n" not in line


def test_what_is_not_changed_verifies_again(path: Path, tmp_path: Path) -> None:
    other = changed(path, tmp_path / "b.zip", lambda parts: None)
    assert verify(other) == verify(path)


def test_another_version_is_told_where_a_number_differs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed(path, tmp_path / "b.zip", in_answer("says", to="Yes."))
    with pytest.raises(BundleError, match="it was changed since it was made; get the bundle"):
        verify(other)
    monkeypatch.setattr(contents, "__version__", "9.9")
    with pytest.raises(BundleError, match=r"made by xstilts \S+ \w{12}, this is 9.9 \w{12}; ver"):
        verify(other)


def test_code_that_computes_the_same_verifies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "code_digest", lambda: "0" * 64)
    assert verify(path).sweep == "s"


def test_scores_without_items_are_counted_as_believed(tmp_path: Path) -> None:
    results = stored_results(tmp_path / "storage")
    for file in (tmp_path / "storage" / "store").glob("evaluate-*/result-1/outcomes/xnli.parquet"):
        file.unlink()
    found = verify(bundle_of(results, tmp_path / "b.zip"))
    assert (found.scores, found.believed) == (0, 48)
