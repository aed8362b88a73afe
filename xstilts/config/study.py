"""What a study asks, as a sweep file states it before anything runs: arms, contrasts, their tests.

    study:
      question: Does intermediate data in a rich language help rich targets more than English does?
      arms:
        english: {intermediates: [mnli_en]}
        rich: {intermediates: [mnli_sw, mnli_tr]}
      contrasts:
        rich_over_english: {arms: [rich, english], differ_in: [languages], targets: [udpos]}
      primary: [rich_over_english]

An arm is chosen by names, a contrast is one arm less another on languages that the table of
languages chooses. `study_arms` says what an arm is, `study_checks` what the sweep cannot answer.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xstilts.config.strict import Languages, Model, PlainName, PositiveFloat

LEAST_SEEDS = 3

Test = Literal["difference", "equivalence", "non_inferiority", "slope", "interaction"]

Aspect = Literal[
    "tasks",
    "languages",
    "translated",
    "normalise",
    "examples",
    "filter",
    "rates",
    "budget",
    "mlm",
    "match",
    "items",
    "models",
    "intermediate",
    "recipe",
    "steps",
]
"""What arms can differ in: keys of an intermediate; the models; `intermediate`, all those keys
together, as a task against none; `recipe`, what their stages are trained by; `steps`, how many
their intermediate stages have, which only a plan knows."""

_CONDITION = re.compile(r"(<=|>=|<|>|==|!=)\s*(\S.*)")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}


class ArmSpec(Model):
    """Runs that are one arm: of intermediates, names or patterns as `mnli_*`, `none` among them,
    of models, by default all, and of some values of searched parameters, by default any
    (`parameters: {adapt.intermediate: [layer_decay]}`)."""

    intermediates: Annotated[tuple[str, ...], Field(min_length=1)]
    models: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    parameters: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}


class ContrastSpec(Model):
    """One arm less another: `arms` are the two, `differ_in` the factor in which they are meant to
    differ, `confounds` what they differ in besides, which the answer then lists.

    `targets`, by default all, in `languages`, by default theirs, of those for which every condition
    of `where` on a column of the table of languages holds (`joshi_class: "<= 2"`); with `match`
    only those that the first arm's intermediates are in, or are not. `covariate` is the column
    whose slope or interaction is tested; `strata` a column by whose groups differences are also
    shown, or `tercile` of the covariate.
    """

    arms: tuple[str, str]
    differ_in: Annotated[tuple[Aspect, ...], Field(min_length=1)]
    confounds: tuple[Aspect, ...] = ()
    test: Test = "difference"
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    languages: Languages | None = None
    where: dict[str, str | int | float] = {}
    match: Literal["intermediate language", "other languages"] | None = None
    covariate: str | None = None
    strata: str | None = None

    @model_validator(mode="after")
    def _covariate_where_it_is_tested(self) -> ContrastSpec:
        if self.test in ("slope", "interaction") and self.covariate is None:
            raise ValueError(f"test: {self.test} needs a covariate; as covariate: c_wals")
        if self.strata == "tercile" and self.covariate is None:
            raise ValueError("strata: tercile needs a covariate; as covariate: c_wals")
        return self


class StudySpec(Model):
    """A question, its arms, its contrasts; `primary` names the contrasts that share one error
    `alpha`, all others are exploratory. `margin`, in points, is that of equivalence and
    non-inferiority. `seeds` is how many a claim needs, three or more. `models` names parts of the
    study, of which a launch may run one: those models alone (`screen: [xlmr_base]`)."""

    question: Annotated[str, Field(min_length=1)]
    arms: Annotated[dict[PlainName, ArmSpec], Field(min_length=2)]
    contrasts: Annotated[dict[PlainName, ContrastSpec], Field(min_length=1)]
    primary: Annotated[tuple[str, ...], Field(min_length=1)]
    margin: PositiveFloat = 1.0
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    seeds: Annotated[int, Field(ge=LEAST_SEEDS)] = 5
    models: dict[PlainName, Annotated[tuple[str, ...], Field(min_length=1)]] = {}


def condition(said: str | int | float) -> tuple[str, str | float]:
    """A condition of `where` as its operator and its value; one without an operator is equality.
    What reads as a number is one."""
    if not isinstance(said, str):
        return "==", float(said)
    found = _CONDITION.fullmatch(said.strip())
    sign, value = found.groups() if found else ("==", said.strip())
    try:
        return sign, float(value)
    except ValueError:
        return sign, value
