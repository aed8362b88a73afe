"""kill -9 at a random moment of a stage, and again: the weights are those of a quiet run.

`XSTILTS_KILLS` says how many moments are tried in all; 3 without it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.adapt import Adapt
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.feed import PartData
from xstilts.training.outcome import Options
from xstilts.training.processes import Job

Toy = Any  # of conftest.py, which tests cannot import

KILLS = int(os.environ.get("XSTILTS_KILLS", "3"))

SCRIPT = """
    import pickle, sys
    from pathlib import Path
    from xstilts.training.checkpoint import Checkpoints
    from xstilts.training.processes import run_together

    if __name__ == "__main__":
        job = pickle.loads(Path(sys.argv[1]).read_bytes())
        folder, world = Path(sys.argv[2]), int(sys.argv[3])
        checkpoints = Checkpoints(folder / "checkpoint", "stage", every_s=0.0)

        def tell(share):
            print(share, flush=True)

        if world > 1:
            run_together(job, world, folder / "out", tell, checkpoints)
        else:
            job.run(folder / "out", tell, checkpoints)
        print("done", flush=True)
"""


ARMS = Adapt(frozen=0, layer_decay=0.9, l2_sp=0.5, dropout=0.2, schedule="cosine", average=2)


def job_of(toy: Toy, adapt: Adapt, *tasks: str) -> Job:
    """A stage of a few seconds, with three checks."""
    sizes = {"examples": 2000 // len(tasks), "batch_size": 4, "checks": 3, "dev_rows": 0}
    kept = "average" if adapt.average else "best"
    stage = toy.stage(*tasks, **sizes, keep=kept, adapt=adapt)
    data = [PartData(own.train, None) for own in toy.data(stage)]
    return Job(stage, toy.folder, data, toy.vocabulary, "cpu", 1, Options())


def digest(folder: Path) -> str:
    files = sorted(path for path in (folder / "out").rglob("*.safetensors"))
    assert len(files) == 2
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def launch(folder: Path, world: int) -> subprocess.Popen[str]:
    script = folder.parent / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(folder.parent / "job"), str(folder), str(world)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until(process: subprocess.Popen[str], share: float) -> None:
    """Until the stage says that so much of it is done."""
    assert process.stdout is not None
    for line in process.stdout:
        if line[0].isdigit() and float(line) >= share:
            return


@pytest.mark.parametrize(
    ("tasks", "world", "adapt"),
    [
        (("mnli",), 1, Adapt()),
        (("mnli", "mlm"), 1, Adapt()),
        (("mnli", "mlm"), 2, Adapt()),
        (("mnli", "mlm"), 1, ARMS),
    ],
)
def test_a_killed_stage_ends_with_the_same_bytes(
    toy: Toy, tmp_path: Path, tasks: tuple[str, ...], world: int, adapt: Adapt
) -> None:
    job = job_of(toy, adapt, *tasks)
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    process = launch(quiet, world)
    process.communicate()
    assert process.returncode == 0
    moments = random.Random(f"{tasks}{world}")
    for number in range(-(-KILLS // 3)):
        folder = tmp_path / f"kill{number}"
        folder.mkdir()
        process = launch(folder, world)
        wait_until(process, moments.uniform(0.2, 0.9))
        process.kill()
        process.communicate()
        assert not (folder / "out").exists(), "it was not at its end"
        found = Checkpoints(folder / "checkpoint", "stage", 1e9).read()
        assert found is not None, "they are written as often as their share of the time allows"
        process = launch(folder, world)
        first = next(line for line in process.stdout or () if float(line) > 0)
        process.communicate()
        assert process.returncode == 0
        assert digest(folder) == digest(quiet)
        steps = sum(part.num_steps for part in job.stage.parts)
        assert float(first) * steps > found[1]["step"], "it went on, it did not begin anew"
