"""Ownership under every order of things: processes that stall, die, wake up and race.

Hypothesis chooses what several simulated processes do and how far each gets, call by call; after
every step what lies on disk is compared with what lay there before, and in the end all of them must
come to their end.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from xstilts.errors import ConfigError, LeaseLost, StoreError
from xstilts.files import write_json
from xstilts.lease import Lease, living
from xstilts.plan.stage import Pretrained, stage_name
from xstilts.run import garbage, stage_results, storage, store
from xstilts.run.garbage import cleaning, delete_all, find_garbage
from xstilts.run.kept_weights import KEPT
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.run.store import Claim, Store
from xstilts.search import launch
from xstilts.search.journal import JOURNAL, Journal, take_up_journal
from xstilts.search.proposals import Proposals

from .actors import Actor, World, current, simulated

STAGE = Pretrained("m", "/nowhere", "weights", "tokenizer")
WEIGHTS, HEADS = "encoder/model.safetensors", "heads/heads.json"


class Owning(RuleBasedStateMachine):
    """A storage, some processes, and what was seen of the disk so far."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="xstilts-owning-"))
        open_storage(self.root)
        self.world = World()
        self.context = simulated(self.world, store, garbage, storage, launch)
        self.context.__enter__()
        stage_results._verified.clear()
        self.seen: dict[str, bytes] = {}
        self.computed = 0

    def teardown(self) -> None:
        try:
            self.world.run_to_the_end()
            self.check_end()
        finally:
            self.context.__exit__(None, None, None)
            shutil.rmtree(self.root, ignore_errors=True)

    # What processes are, and what happens to them.

    @precondition(lambda self: len(self.world.actors) < 6)
    @rule(on=st.sampled_from(["here", "there"]), offset=st.sampled_from([0.0, 300.0, -40.0]))
    def a_process_begins(self, on: str, offset: float) -> None:
        self.begin(self.world.actor(on, offset))

    @rule(data=st.data(), calls=st.integers(1, 60))
    def a_process_goes_on(self, data: st.DataObject, calls: int) -> None:
        actor = self.draw(data, lambda a: not a.is_stopped and not a.is_dead)
        for _ in range(calls if actor else 0):
            assert actor is not None
            actor.step()
            self.nothing_is_replaced()

    @rule(data=st.data(), call=st.sampled_from(["rename", "rename", "mkdir", "pwrite", "unlink"]))
    def a_process_goes_on_until_it_would(self, data: st.DataObject, call: str) -> None:
        """Where two could meet, and seldom do by chance."""
        actor = self.draw(data, lambda a: not a.is_stopped and not a.is_dead)
        for _ in range(300 if actor else 0):
            assert actor is not None
            actor.step()
            self.nothing_is_replaced()
            if actor.is_idle or actor.about in (call, "sleep"):
                break

    @rule(data=st.data())
    def a_process_is_stopped_for_long(self, data: st.DataObject) -> None:
        if actor := self.draw(data, lambda a: not a.is_dead and not a.is_stopped):
            actor.is_stopped = True
            self.world.pass_(31.0)

    @rule(data=st.data())
    def a_process_is_stopped(self, data: st.DataObject) -> None:
        if actor := self.draw(data, lambda a: not a.is_dead):
            actor.is_stopped = True

    @rule(data=st.data())
    def a_process_wakes_up(self, data: st.DataObject) -> None:
        if actor := self.draw(data, lambda a: a.is_stopped):
            actor.is_stopped = False

    @rule(data=st.data())
    def a_process_is_killed(self, data: st.DataObject) -> None:
        if actor := self.draw(data, lambda a: not a.is_dead):
            actor.kill()

    @rule(seconds=st.sampled_from([1.0, 9.0, 25.0, 31.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_(seconds)

    @rule(data=st.data())
    def a_process_begins_something_new(self, data: st.DataObject) -> None:
        if actor := self.draw(data, lambda a: a.is_idle and not a.is_dead and not a.is_stopped):
            self.came_to_its_end(actor)
            self.begin(actor)

    def draw(self, data: st.DataObject, fits: Any) -> Actor | None:
        fitting = [actor for actor in self.world.actors if fits(actor)]
        return data.draw(st.sampled_from(fitting)) if fitting else None

    # What must hold.

    @invariant()
    def nothing_is_replaced(self) -> None:
        raise NotImplementedError

    @invariant()
    def a_number_has_one_holder(self) -> None:
        numbers = [(folder, number) for folder, number, _ in self.world.claims]
        assert len(set(numbers)) == len(numbers)

    def begin(self, actor: Actor) -> None:
        raise NotImplementedError

    def came_to_its_end(self, actor: Actor) -> None:
        """What a process that has ended by itself came to."""
        if actor.error is not None:
            raise actor.error

    def check_end(self) -> None:
        for actor in self.world.actors:
            if not actor.is_dead:
                self.came_to_its_end(actor)


class OneStage(Owning):
    """Several processes want one stage, some with its weights, which others drop."""

    def begin(self, actor: Actor) -> None:
        number = sum(map(ord, actor.name)) % 4
        actor.start(self.drop if number == 3 else lambda: self.get(with_weights=number == 2))

    def get(self, with_weights: bool) -> Any:
        found = Store(self.root).get(STAGE, self.compute, with_weights=with_weights)
        return found.manifest

    def compute(self, claim: Claim) -> dict[str, Any]:
        actor = current()
        assert actor is not None
        self.computed += 1
        for name, content in ((WEIGHTS, b"weights"), (HEADS, b"heads")):
            path = claim.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)  # as libraries do
            path.write_bytes(content)
        return {"by": actor.name, "outcome": {}}

    def drop(self) -> None:
        if Store(self.root).has(STAGE):
            Store(self.root).drop_weights(stage_name(STAGE))

    def nothing_is_replaced(self) -> None:
        """A result that was there stays what it was; nobody puts one aside that is whole."""
        folder = self.root / "store" / stage_name(STAGE)
        if not folder.exists():
            return
        assert not list(folder.glob("torn-*")), "something whole was called torn, or hollow"
        for result in folder.glob("result-*"):
            if (result / "DONE").exists():
                manifest = (result / "manifest.json").read_bytes()
                assert self.seen.setdefault(result.name, manifest) == manifest
                assert (result / HEADS).read_bytes() == b"heads"
                if not (result / "DROPPED").exists():
                    assert (result / WEIGHTS).read_bytes() == b"weights"
        if "result-1" in self.seen:
            assert (folder / "result-1" / "DONE").exists(), "a finished stage is never absent"

    def came_to_its_end(self, actor: Actor) -> None:
        super().came_to_its_end(actor)
        if isinstance(actor.value, dict) and "result-1" in self.seen:
            by = actor.value["by"]
            assert f'"by": "{by}"'.encode() in self.seen["result-1"], "all read what was first"


class OldNews(OneStage):
    """The same where a client's cache hides for ever who has taken a lease, as NFS's may for a
    minute: a check is a courtesy, and what is safe is safe without it."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Lease, "_is_taken", lambda lease: False)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.patch.undo()


class BesideGc(OneStage):
    """The same while `gc` deletes stages that no trial names, which nobody has named yet."""

    def begin(self, actor: Actor) -> None:
        number = sum(map(ord, actor.name)) % 3
        actor.start(self.clean if number == 2 else lambda: self.get(with_weights=number == 1))

    def a_number_has_one_holder(self) -> None:
        """Numbers begin anew in a folder that `gc` has deleted."""

    def clean(self) -> None:
        try:
            with cleaning(self.root) as lease:
                delete_all(find_garbage(self.root), lease)
        except (ConfigError, LeaseLost):
            pass  # another gc

    def nothing_is_replaced(self) -> None:
        """What gc deletes is gone as a whole; what is there is whole."""
        folder = self.root / "store" / stage_name(STAGE)
        for result in folder.glob("result-*"):
            if (result / "DONE").exists() and (result / "manifest.json").exists():
                assert (result / HEADS).read_bytes() == b"heads"

    def came_to_its_end(self, actor: Actor) -> None:
        if isinstance(actor.error, StoreError) and not isinstance(actor.error, LeaseLost):
            return  # what it read was deleted while it did: nobody had named it; told, not silent
        if actor.error is not None:
            raise actor.error


SWEEP_POINTS = 4


class TwoDrivers(Owning):
    """Drivers of one sweep: each takes it over when it can, proposes, and tells."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places(self.root, "s")
        for folder in (self.places.sweep, self.places.launches):
            folder.mkdir()
        self.proposed: list[str] = []

    def begin(self, actor: Actor) -> None:
        actor.start(self.drive)

    def drive(self) -> str:
        from ..search.test_proposals import make_sweep

        sweep = make_sweep(SWEEP_POINTS)
        lease = store.Lease(self.places.launches)
        if living([lease]) or not lease.acquire():
            return "refused"
        try:
            with lease.held():
                number = lease.number
                self.places.launch(number).mkdir(exist_ok=True)
                proposals = Proposals(sweep, take_up_journal(self.places, number, lease.check))
                while proposals.ask() is not None:
                    pass
                for value, name in enumerate(proposals.made):
                    proposals.tell(name, float(value))
                lease.check()
                write_json(self.places.launch(number) / KEPT, [str(number)])
        except LeaseLost:
            return "lost"
        return "done"

    def nothing_is_replaced(self) -> None:
        """What the newest launch has written is what is read."""
        kept = [int(one) for one in self.places.latest(KEPT, [])]
        if kept and self.seen.get("kept"):
            assert kept[0] >= int(self.seen["kept"]), "an older driver's word counts again"
        if kept:
            self.seen["kept"] = str(kept[0]).encode()

    def check_end(self) -> None:
        super().check_end()
        last = self.world.actor("here", 0.0)
        last.start(self.drive)
        self.world.run_to_the_end()
        assert last.error is None and last.value == "done", (last.error, last.value)
        newest = next(f for f in self.places.launch_folders() if (f / JOURNAL).exists())
        from ..search.test_proposals import make_sweep

        proposals = Proposals(make_sweep(SWEEP_POINTS), Journal(newest / JOURNAL))
        trials = proposals._study.trials
        points = [str(trial.user_attrs["point"]) for trial in trials]
        assert len(points) == len(set(points)) == SWEEP_POINTS, "no point twice, none left out"
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * SWEEP_POINTS


def until(actor: Actor, is_there: Any) -> None:
    for _ in range(2000):
        if is_there():
            return
        actor.step()
    raise AssertionError("never")


@pytest.mark.parametrize("machine", [OneStage, OldNews])
@pytest.mark.parametrize("moment", ["in its work", "before its rename"])
def test_a_holder_that_was_taken_over_publishes_nothing_hollow_and_replaces_nothing(
    machine: type[OneStage], moment: str
) -> None:
    """The orders that chance seldom finds."""
    case = machine()
    first, second = case.world.actor("here", 0.0), case.world.actor("there", 300.0)
    work = case.root / "store" / stage_name(STAGE)
    for actor in (first, second):
        actor.start(lambda: case.get(with_weights=False))
    if moment == "in its work":
        until(first, lambda: any(work.glob(f"work-*/{WEIGHTS}")) and first.about == "mkdir")
    else:
        until(first, lambda: any(work.glob("work-*/DONE")) and first.about == "pwrite")  # it beats
        until(first, lambda: first.about == "rename")
    first.is_stopped = True
    until(second, lambda: case.world.pass_(1.0) or case.computed == 2)
    first.is_stopped = False
    until(first, lambda: case.nothing_is_replaced() or first.is_idle or first.about == "sleep")
    until(second, lambda: case.nothing_is_replaced() or second.is_idle)
    case.teardown()
    assert first.value == second.value and first.value["by"] == second.name


MACHINES = [OneStage, OldNews, BesideGc, TwoDrivers]


def run(machine: type[Owning], examples: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=examples < 1000,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.parametrize("machine", MACHINES)
def test_whoever_stalls_dies_wakes_and_races(machine: type[Owning]) -> None:
    run(machine, 200)


@pytest.mark.soak
@pytest.mark.parametrize("machine", MACHINES)
def test_whoever_stalls_dies_wakes_and_races_for_long(machine: type[Owning]) -> None:
    run(machine, 3000)
