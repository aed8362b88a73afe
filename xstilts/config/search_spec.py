"""What a sweep file says of its search: the space, who proposes, and who is run.

The dimensions themselves are in `space.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xstilts.config.space import Choice, Float, Int
from xstilts.config.strict import Model, PositiveFloat, PositiveInt


class ParameterSpec(Model):
    """One dimension of a search space; exactly one of choice, float, int, simplex."""

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    float_: Annotated[tuple[float, float] | None, Field(alias="float")] = None
    int_: Annotated[tuple[int, int] | None, Field(alias="int")] = None
    simplex: Literal[True] | None = None
    log: bool = False
    levels: Annotated[int, Field(ge=1, le=1000)] | None = None
    step: PositiveInt | PositiveFloat | None = None
    when: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_dimension(self) -> ParameterSpec:
        given = [
            name
            for name, value in (
                ("choice", self.choice),
                ("float", self.float_),
                ("int", self.int_),
                ("simplex", self.simplex),
            )
            if value is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "a parameter has exactly one of choice, float, int, simplex; "
                f"got {', '.join(given) or 'none'}"
            )
        allowed = {"choice": set(), "float": {"log", "levels"}, "int": {"step"}}.get(
            given[0], {"step"}
        )
        used = {
            name
            for name, value in (("log", self.log), ("levels", self.levels), ("step", self.step))
            if value
        }
        if used - allowed:
            raise ValueError(f"`{min(used - allowed)}` does not go with `{given[0]}`")
        for bounds in (self.float_, self.int_):
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"the lower bound {bounds[0]} is above the upper {bounds[1]}")
        if self.log and self.float_ is not None and self.float_[0] <= 0:
            raise ValueError("a log scale needs a lower bound above 0")
        if self.choice is not None and len(set(map(repr, self.choice))) < len(self.choice):
            raise ValueError("a choice names a value twice")
        if self.int_ is not None and self.step is not None and not isinstance(self.step, int):
            raise ValueError("the step of an int is a whole number")
        if self.simplex:
            step = self.simplex_step
            if not 0 < step <= 1 or abs(round(1 / step) * step - 1) > 1e-6:
                raise ValueError(f"the step of a simplex divides 1 evenly; got {step}")
        return self

    @property
    def simplex_step(self) -> float:
        """The step of the rates."""
        return float(self.step or 0.125)

    def values(self) -> list[Any]:
        """All values of a choice or of an int."""
        if self.choice is not None:
            return list(self.choice)
        assert self.int_ is not None, "a float has no list of values"
        return list(range(self.int_[0], self.int_[1] + 1, int(self.step or 1)))

    def dimension(self) -> Choice | Float | Int:
        """The dimension that this declares; a simplex needs its tasks and is built by `check`."""
        if self.choice is not None:
            return Choice(self.choice)
        if self.float_ is not None:
            return Float(*self.float_, log=self.log, levels=self.levels)
        assert self.int_ is not None
        return Int(*self.int_, step=int(self.step or 1))


class SamplerSpec(Model):
    """Who proposes: `tpe`, `random`, or `grid`, which ends when it is exhausted."""

    name: Literal["tpe", "random", "grid"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class EncoderSearchSpec(Model):
    """The outer search: each proposal, with each seed, is one trial."""

    trials: PositiveInt = 1
    sampler: SamplerSpec = SamplerSpec()
    space: dict[str, ParameterSpec] = {}


class TargetSearchSpec(Model):
    """The inner search: for each encoder and target, `trials` points, the best by dev."""

    trials: PositiveInt = 1
    space: dict[str, ParameterSpec] = {}


class SearchSpec(Model):
    """Both searches, and who runs: with `strategy: all` every configuration for every target with
    every seed, with `race` those for whom a target's answer is still open.

    `confidence` is that of a race when it says of a configuration that it is not the best. `rungs`
    are the shares of every budget, of the intermediate's and the targets', that its runs train,
    rising to the whole; none where each is whole. `signals` of its encoders, of which `retrieval`
    reads the text of the task `parallel`, and the finished sweeps of its storage, where that is its
    `prior`, order its candidates.
    """

    strategy: Literal["all", "race"] = "all"
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    rungs: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    signals: tuple[Literal["retrieval", "probe"], ...] = ()
    parallel: str | None = None
    prior: Literal["storage"] | None = None
    encoder: EncoderSearchSpec = EncoderSearchSpec()
    target: TargetSearchSpec = TargetSearchSpec()

    @property
    def is_race(self) -> bool:
        """Whether runs go where a target's answer is still open."""
        return self.strategy == "race"

    @property
    def lower_rungs(self) -> tuple[float, ...]:
        """The rungs below the whole, the lowest first."""
        return self.rungs[:-1]

    @property
    def alpha(self) -> float:
        """The error that `confidence` leaves, by default 0.05."""
        return 1 - (0.95 if self.confidence is None else self.confidence)

    @model_validator(mode="after")
    def _of_a_race(self) -> SearchSpec:
        for name in ("confidence", "signals", "parallel", "prior"):
            if getattr(self, name) and not self.is_race:
                raise ValueError(f"`{name}` goes with strategy: race; leave it out")
        if len(set(self.signals)) < len(self.signals):
            raise ValueError("`signals` names one twice")
        if "retrieval" in self.signals and self.parallel is None:
            raise ValueError(
                "the signal retrieval needs the name of a task with parallel text; "
                "write parallel: TASK"
            )
        if self.parallel is not None and "retrieval" not in self.signals:
            raise ValueError("`parallel` goes with the signal retrieval; leave it out")
        return self

    @model_validator(mode="after")
    def _rungs_of_a_race(self) -> SearchSpec:
        if not self.rungs:
            return self
        if not self.is_race:
            raise ValueError("`rungs` go with strategy: race; leave them out")
        rising = sorted({*self.rungs, 1.0})
        if list(self.rungs) != rising:
            raise ValueError(
                f"rungs rise, and the last is 1; got {list(self.rungs)}; write {rising}"
            )
        return self
