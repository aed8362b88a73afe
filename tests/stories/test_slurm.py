"""A sweep as a job of a real Slurm: struck in every way that jobs are, it ends with the scores of
a sweep that nobody disturbed, to the bit; nothing is lost or done twice, nothing outlives it."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..conftest import require
from .conftest import SWEEP, Bench
from .hosts import wait_for
from .slurm_hosts import START_AFTER_S, SlurmCluster, lacks

pytestmark = pytest.mark.cluster

COMMAND = "slurm sweep.yaml --nodes 1-2 --cpus-per-node 1 --time 20 --signal-before 90 --submit"
OVER = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
PATIENCE_S = 600
"""Until something happens; a busy machine takes its time."""


@pytest.fixture
def cluster(tmp_path: Path, shared_mini: Path) -> Iterator[SlurmCluster]:
    """Two nodes of one CPU each."""
    reason = lacks()
    require("slurm", not reason, reason)
    with SlurmCluster(tmp_path / "slurm", [1, 1], {str(shared_mini): shared_mini}) as cluster:
        write_sweep(cluster, SWEEP % shared_mini)
        yield cluster


def write_sweep(cluster: SlurmCluster, text: str) -> None:
    text = text.replace("resources: {", "resources: {checkpoint_minutes: 0.1, ")
    (cluster.lab / "sweep.yaml").write_text(text)


class Finished(Exception):
    """The sweep has ended before it could be struck."""


@dataclass
class Story:
    """A sweep that is struck: its job, and a row of the table for every blow.

    A row is the blow, its moment with the number of stages that there were, how many of these are
    gone and how many were made again when the next one strikes, or at the end.
    """

    cluster: SlurmCluster
    bench: Bench
    seeds: int = 1
    job: int = 0
    rows: list[tuple[str, str, int, int]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    _before: dict[str, int] = field(default_factory=dict)

    def submit(self) -> None:
        said = self.cluster.xstilts(f"{COMMAND} {seeds(self.seeds)}")
        found = re.search(r"Submitted batch job (\d+)", said)
        assert found, said
        self.job = int(found[1])

    def strike(self, blow: str, how: Callable[[], None]) -> None:
        """Strike while a trial runs, once a stage has ended since the last blow."""
        known = len(self.bench.stages())
        self.wait(lambda: len(self.bench.stages()) > known and bool(self.bench.workers()), blow)
        self.strike_now(blow, how)

    def strike_again(self, blow: str, how: Callable[[], None], delay_s: float) -> None:
        """Strike so long after a trial has begun, or a stage ended, since the last blow."""
        known = self.num_signs()
        self.wait(lambda: self.num_signs() > known and bool(self.bench.workers()), blow)
        time.sleep(delay_s)
        self.strike_now(blow, how)

    def num_signs(self) -> int:
        return len(self.bench.stages()) + sum(map(len, self.bench.attempts().values()))

    def strike_now(self, blow: str, how: Callable[[], None]) -> None:
        self.settle()
        self._before = self.bench.stages()
        moment = f"{time.monotonic() - self.begun:4.0f} s, {len(self._before):2d} stages"
        self.rows.append((blow, moment, -1, -1))
        print(blow, moment, flush=True)
        how()

    def settle(self) -> None:
        """What became of the stages that there were at the last blow."""
        if not self.rows:
            return
        after = self.bench.stages()
        lost = sum(name not in after for name in self._before)
        doubled = sum(after.get(name, at) != at for name, at in self._before.items())
        blow, moment, *_ = self.rows[-1]
        self.rows[-1] = (blow, moment, lost, doubled)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        def asked() -> bool:
            state = self.cluster.state(self.job)
            if state not in OVER or condition():
                return condition()
            assert state == "COMPLETED", f"{what}: the job is over\n{self.log()}"
            raise Finished(what)

        wait_for(asked, f"{what}\n{self.log()}", PATIENCE_S)

    def log(self) -> str:
        return self.cluster.log(self.job)[-3000:]

    def starts(self) -> int:
        return self.cluster.log(self.job).count(": start ")

    def hurry(self) -> None:
        """Have the job that is queued again start soon."""
        starts = self.starts()
        self.wait(lambda: self.cluster.state(self.job) == "PENDING", "queued again")
        self.check_nothing_is_left()
        time.sleep(START_AFTER_S)
        self.cluster.call(f"scontrol update JobId={self.job} StartTime=now TimeLimit=20")
        self.wait(lambda: self.starts() > starts, "starts again")

    # The blows.

    def notice(self) -> None:
        """As Slurm gives it before the limit, but at once: of itself it looks every 30 s, within
        which a small sweep ends (`tests/cluster/test_slurm_job.py` waits for it)."""
        self.cluster.call(f"scancel --batch --signal=USR1 {self.job}")
        self.hurry()

    def come_to_the_limit(self) -> None:
        """The limit is one to two minutes away, and Slurm says so by itself."""
        *_, hours, minutes, _ = re.split("[:-]", self.cluster.field(self.job, "RunTime"))
        limit = 60 * int(hours) + int(minutes) + 2
        self.cluster.call(f"scontrol update JobId={self.job} TimeLimit={limit}")
        self.hurry()

    def cancel(self) -> None:
        self.cluster.call(f"scancel {self.job}")
        wait_for(lambda: self.cluster.state(self.job) in OVER, "cancelled", 90)
        self.check_nothing_is_left()
        self.submit()

    def kill_node(self, node: str) -> None:
        """A node loses its power, and comes back at once. That of the batch shell takes the job
        with it, which Slurm queues again; of the other, the job does without it."""
        is_head = f"start {self.starts() - 1} on {node} " in self.cluster.log(self.job)
        self.cluster.kill(node)
        self.cluster.start(node)
        if is_head:
            self.hurry()

    def kill_ray(self, node: str) -> None:
        """The head's takes the job with it, which is queued again; of the other, it is started
        again."""
        is_head = f"start {self.starts() - 1} on {node} " in self.cluster.log(self.job)
        for pid, line in self.cluster.hosts[node].processes().items():
            if "/raylet " in line or "/gcs_server " in line:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if is_head:
            self.hurry()
        else:
            told = f"the Ray of {node} has died and starts again"
            self.wait(lambda: told in self.cluster.log(self.job), told)

    def check_nothing_is_left(self) -> None:
        for node in self.cluster.nodes:
            wait_for(lambda node=node: not self.cluster.left(node), f"{node} runs nothing", 120)

    def finish(self, undisturbed: Bench) -> None:
        """The sweep goes on to its end; what it gave is what the other gave, which may have had
        more trials."""
        self.wait(lambda: self.cluster.state(self.job) == "COMPLETED", "completed")
        self.settle()
        self.check_nothing_is_left()
        own, other = self.bench.scores(), undisturbed.scores()
        same = own == {name: other.get(name) for name in own}
        lines = [f"{'blow':<28}{'moment':<22}{'lost':>5}{'doubled':>9}  scores"]
        lines += [
            f"{blow:<28}{moment:<22}{lost:>5}{doubled:>9}  {'equal' if same else 'DIFFER'}"
            for blow, moment, lost, doubled in self.rows
        ]
        seconds = time.monotonic() - self.begun
        print("\n" + "\n".join(lines) + f"\n{len(self.rows)} blows, {seconds:.0f} s")
        assert same
        assert set(self.bench.stages()) <= set(undisturbed.stages())
        assert all((lost, doubled) == (0, 0) for _, _, lost, doubled in self.rows)
        states = {end["how"] for ends in self.bench.attempts().values() for end in ends[-1:]}
        assert states == {"finished"}


def seeds(count: int) -> str:
    """The option by which a sweep has so many."""
    return f"--set seeds={list(range(count))}".replace(", ", ",")


def begun(cluster: SlurmCluster) -> Story:
    story = Story(cluster, Bench(cluster.lab))
    story.submit()
    return story


WITHOUT_MIXTURE = (
    ("  mix: {tasks: [mini_nli, mini_choice], rates: search, budget: {examples: 320}}\n", ""),
    ("      intermediate.rates: {simplex: true, step: 0.25}\n", ""),
    ("    trials: 3\n", "    trials: 2\n"),
)


def test_one_of_each_blow(cluster: SlurmCluster, undisturbed: Bench, shared_mini: Path) -> None:
    """The notice before the limit, scancel and the same command again, a node and a Ray step that
    die; of the sweep that nobody disturbed two trials are run."""
    text = SWEEP % shared_mini
    for old, new in WITHOUT_MIXTURE:
        assert text.count(old) == 1
        text = text.replace(old, new)
    write_sweep(cluster, text)
    story = begun(cluster)
    first, second = cluster.nodes
    story.strike("Ray killed on a worker", lambda: story.kill_ray(second))
    story.strike("notice before the limit", story.notice)
    story.strike("batch node killed", lambda: story.kill_node(first))
    # As soon as the trial that was struck runs again: on a fast machine it is the last one.
    story.strike_again("scancel, submitted anew", story.cancel, delay_s=0)
    story.finish(undisturbed)
    assert len(story.bench.scores()) == 2


@pytest.mark.soak
def test_ten_random_blows(cluster: SlurmCluster, tmp_path: Path, shared_mini: Path) -> None:
    """Of random sorts, to random nodes, at random moments: soon after a trial has begun, or while
    one runs and a stage has ended since the last blow. A sweep that ends before gains a seed."""
    story, chance = begun(cluster), random.Random(30)
    while len(story.rows) < 10:
        node = chance.choice(cluster.nodes)
        blow, how = chance.choice(
            [
                ("notice before the limit", story.come_to_the_limit),
                ("scancel, submitted anew", story.cancel),
                (f"node {node[:2]} killed", lambda node=node: story.kill_node(node)),
                (f"Ray of {node[:2]} killed", lambda node=node: story.kill_ray(node)),
            ]
        )
        delay_s = chance.uniform(0, 4)
        struck = len(story.rows)
        try:
            if chance.random() < 0.5:
                story.strike(blow, how)
            else:
                story.strike_again(blow, how, delay_s)
        except Finished:
            del story.rows[struck:]
            story.seeds += 1
            story.submit()
    story.wait(lambda: cluster.state(story.job) == "COMPLETED", "completed")
    undisturbed = Bench(tmp_path / "undisturbed")
    undisturbed.folder.mkdir()
    (undisturbed.folder / "sweep.yaml").write_text(SWEEP % shared_mini)
    undisturbed.run("sweep", "sweep.yaml", *seeds(story.seeds).split(), timeout_s=PATIENCE_S)
    story.finish(undisturbed)
    assert story.bench.scores().keys() == undisturbed.scores().keys()
    assert set(story.bench.stages()) == set(undisturbed.stages())
