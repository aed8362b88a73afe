"""Memory: a stage that does not fit goes on in smaller passes, with the same update."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from xstilts.errors import StageError
from xstilts.kinds.kind import Encoded
from xstilts.training.feed import PartData
from xstilts.training.loop import train
from xstilts.training.memory import is_out_of_memory
from xstilts.training.micro_batches import MicroBatch
from xstilts.training.outcome import Options
from xstilts.training.processes import Job

Toy = Any  # of conftest.py, which tests cannot import

LIMITED = """
    import json, pickle, resource, sys
    from pathlib import Path
    import torch

    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    torch.set_num_threads(1)
    from xstilts.training import matmul, processes
    # oneDNN makes code for every new shape, in new address space: that alone is what ends here.
    matmul._cpu_maker = lambda: ""
    original = processes.build_model

    def build(*arguments):
        model = original(*arguments)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = used + int(sys.argv[3]) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return model

    processes.build_model = build
    try:
        outcome = job.run(Path(sys.argv[2]), lambda share: None, None)
        print(json.dumps([outcome.halvings, outcome.max_tokens, outcome.curve]))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def long_job(toy: Toy) -> Job:
    """Two batches of sequences as long as the tiny model reads, about a gigabyte a pass."""
    random = np.random.default_rng(0)
    count = 512
    ids = [[0, *random.integers(10, 200, 118).tolist(), 2] for _ in range(count)]
    features = {"example": list(range(count)), "input_ids": ids, "label": [0, 1] * (count // 2)}
    rows = Encoded(pa.table(features), pa.table({"id": [str(i) for i in range(count)]}))
    sizes = {"examples": 2 * count, "train_rows": count, "batch_size": count}
    stage = toy.stage("mnli", **sizes, dev_rows=0, checks=2)
    everything = Options(max_tokens=10**9)
    return Job(stage, toy.folder, [PartData([rows], None)], toy.vocabulary, "cpu", 1, everything)


def run_limited(job: Job, folder: Path, megabytes: int) -> Any:
    """The job in a process that may allocate so much more than its model takes."""
    (folder / "job").write_bytes(pickle.dumps(job))
    script = textwrap.dedent(LIMITED)
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "job"), str(folder / "out"), str(megabytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_where_memory_ends_passes_become_smaller(toy: Toy, tmp_path: Path) -> None:
    """The host's own allocator refuses, as a device's would."""
    job = long_job(toy)
    found = run_limited(job, tmp_path, 300)
    assert isinstance(found, list), found
    halvings, max_tokens, curve = found
    assert halvings >= 1 and 120 <= max_tokens < 512 * 120
    expected = job.run(tmp_path / "free", lambda share: None, None)
    assert expected.halvings == 0 and expected.max_tokens == 10**9
    for point, other in zip(curve, expected.curve, strict=True):
        assert point == pytest.approx(other, rel=1e-4)
    again = replace(job, options=Options(max_tokens=max_tokens))
    # What is remembered is tried at once; a heap that starts otherwise may need a little more.
    assert run_limited(again, tmp_path, 400)[0] == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("Unable to allocate 14.1 MiB"), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_says_that_memory_has_ended(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_memory_comes_back() -> None:
    """Of a thousand holes between blocks that stay, nearly all of it."""
    script = """
    import sys, torch
    from pathlib import Path
    from xstilts.training.memory import give_back

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    torch.ones(2**21)  # frees a large block, so that blocks of this size come from the heap
    blocks = [torch.ones(2**18) for _ in range(400)]
    full = resident()
    kept = blocks[::8]
    del blocks
    holes = resident()
    give_back(torch.device("cpu"))
    print((full - resident()) / 2**20, (full - holes) / 2**20)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    freed, before = map(float, done.stdout.split())
    assert before < 100 < 300 < freed, "350 of 400 MB are free"


def test_where_not_even_a_row_fits_it_is_said(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a")
    model = toy.model(stage)
    tried: list[int] = []

    def refuse(work: MicroBatch, precision: str) -> torch.Tensor:
        tried.append(len(work.sequences))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "hidden", refuse)
    with pytest.raises(StageError, match="out of memory with one row of 9 tokens: shorten"):
        train(model, stage, toy.data(stage), toy.vocabulary)
    assert tried[0] == 16 and tried[-1] == 1 and tried == sorted(tried, reverse=True)


def test_activations_can_be_computed_again(toy: Toy) -> None:
    """To the same weights, with dropout: a layer that is computed again loses the same units."""
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=128)
    final = []
    for is_on in (False, True):
        model = toy.model(stage)
        for layer in model.encoder.encoder.layer:
            layer.attention.self.dropout.p = 0.1
        options = Options(gradient_checkpointing=is_on)
        train(model, stage, toy.data(stage), toy.vocabulary, options=options)
        assert model.encoder.is_activation_checkpointing == is_on
        final.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*final, atol=1e-6)


def test_a_row_of_choices_that_does_not_fit_ends_the_stage(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.task("toy_c", "choice")
    stage = toy.stage("toy_c", examples=8, batch_size=4, dev_rows=0)
    rows = {
        "example": [0, 1, 2, 3],
        "input_ids": [[[0, 10, 2], [0, 11, 12, 2]]] * 4,
        "label": [0, 1, 0, 1],
    }
    encoded = Encoded(pa.table(rows), pa.table({"id": list("abcd")}))
    part = replace(stage.parts[0], train=replace(stage.parts[0].train, rows=(("en", 4),)))
    model = toy.model(stage)

    def refuse(work: MicroBatch, precision: str) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "hidden", refuse)
    with pytest.raises(StageError, match="out of memory with one row"):
        data = [PartData([encoded], None)]
        train(model, replace(stage, parts=(part,)), data, toy.vocabulary)
