"""The answer to a study, as numbers and words: what its report shows and its bundle is checked by.

Everything that a page, a table or a picture of a study says stands here, so that whoever computes
an answer again compares this one value. Plain frozen values, read and written as JSON by pydantic.
All scores and differences are in points, 0-100. What could not be computed is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xstilts.config.study import Test

Standing = Literal["primary", "exploratory"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval at the study's confidence, 1 - alpha."""

    value: float
    low: float | None
    high: float | None
    dof: float | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm as it was run: its members, how many runs each gave by seed, what it trained.

    `examples` and `steps` are those of its intermediate stages, None where members differ;
    `collapsed` is how many of `runs` did not learn a target that the study reads.
    """

    name: str
    intermediates: tuple[str, ...]
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: int
    collapsed: int
    examples: int | None
    steps: int | None
    score: float | None
    """The mean over cells that all arms of the study have, None where there is none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A difference of two arms on a target in a language, mean over pairs of runs; `covariate` is
    the language's, where the contrast has one and the table knows it."""

    target: str
    language: str
    points: float
    low: float | None
    high: float | None
    covariate: float | None
    family: str


@dataclass(frozen=True, slots=True)
class Group:
    """Mean difference over the cells of a group: a stratum, a third of the covariate, a family."""

    kind: Literal["stratum", "third", "family", "target"]
    name: str
    points: float
    low: float | None
    high: float | None
    languages: tuple[str, ...]
    cells: int


@dataclass(frozen=True, slots=True)
class Line:
    """The fitted line of a slope with its band, for a picture: difference by covariate of targets,
    of an interaction for intermediates of the `side`'s third of theirs."""

    side: str
    covariate: tuple[float, ...]
    points: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm less another, by the test that the study states.

    `difference` is the mean over cells. `effect` is what is tested: the difference itself, or for a
    slope or an interaction the points between the outer thirds of the covariate; None where
    `withheld` says why nothing is tested. `p` is that of the test, `adjusted` what it is among its
    kind (Holm over primary contrasts, Benjamini and Hochberg over others), `holds` at alpha.
    `detectable` is the smallest effect that the design would have shown with a probability of 80 %;
    of a slope or an interaction None where the effect is clear.
    """

    name: str
    standing: Standing
    test: Test
    arms: tuple[str, str]
    differ_in: tuple[str, ...]
    confounds: tuple[str, ...]
    covariate: str | None
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    runs: tuple[int, int]
    difference: Interval | None
    effect: Interval | None
    p: float | None
    adjusted: float | None
    holds: bool
    detectable: float | None
    seeds_needed: int | None
    """Of equivalence and non-inferiority: seeds of each arm at the spread that was seen."""
    withheld: str
    unknown: tuple[str, ...]
    """Languages that were left out, as the covariate is not known of them."""
    cells: tuple[Cell, ...]
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    variances: dict[str, float]
    """Variance components of the fitted model, points squared, by the term's name."""
    by_intermediate: Interval | None
    permutation_p: float | None
    items_p: float | None
    """By items alone: it speaks of these checkpoints, not of the method."""
    says: str
    """One sentence: the answer with its interval."""
    collapsed: tuple[str, ...] = ()
    """Runs of either arm that did not learn a target, by name."""
    learnt: Interval | None = None
    """The difference without the seeds of those; None where none collapsed, or two seeds are not
    left."""
    losing: int | None = None
    """Languages that lose more than a point, means over targets; None where withheld."""
    worst: float | None = None
    """The mean over the five languages with the lowest differences, or all where they are fewer;
    chosen by the same runs, and so too low."""
    by_items: Interval | None = None
    """The effect by least squares over cells, with the interval of a joint bootstrap of items: of
    these checkpoints. None where items are not known, too few, or nothing is tested."""
    by_items_and_languages: Interval | None = None
    """The same in other languages like these, by cluster-robust errors of differences by item."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe says of an arm's encoders in a language, None for the mean over languages:
    `before` of its pretrained models, `after` of what it trained, None where one of them lacks it.
    In the probe's own unit (`xstilts.scores.probes.UNITS`)."""

    arm: str
    probe: str
    language: str | None
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Registered:
    """The pre-registration that an answer stands on: when it was written, what it holds.

    `changed` names what differs now from what was registered; contrasts that it touches are
    exploratory.
    """

    written: str
    digest: str
    trials_before: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A study answered: `says` is the answer in one sentence, `limits` what it does not show,
    `missing` which runs it lacks."""

    sweep: str
    question: str
    alpha: float
    margin: float
    seeds: int
    registered: Registered | None
    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    says: str
    limits: tuple[str, ...]
    missing: tuple[str, ...]
    probes: tuple[Probed, ...] = ()
    """Of every arm, where the sweep asks for probes."""
    unprobed: tuple[str, ...] = ()
    """What probes could not be read of, and why."""


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """What a logistic mixed model gives for an arm: `log_odds` and its standard `error`;
    `deviations` of its random terms in log odds, `arm|item` that of what an arm does to an item."""

    log_odds: float
    error: float
    deviations: dict[str, float]
    has_converged: bool


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """A contrast's arms by a logistic mixed model of its items, right or wrong: exploratory.

    `items` of `of_items`, each in a language, were read in all runs: `rows` whose digest is
    `table_sha256`. `fit` is None where `without` says why; `ratio` are the odds under the first arm
    by those under the second, with `p` of no difference, by Wald's z."""

    contrast: str
    formula: str
    runs: tuple[int, int]
    items: int
    of_items: int
    rows: int
    table_sha256: str
    fit: LogisticFit | None = None
    without: str = ""
    ratio: Interval | None = None
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Odds:
    """Odds ratios that stand beside an answer where R with lme4 is there. They are no part of it:
    an answer is the same wherever it is computed."""

    r: str
    lme4: str
    contrasts: tuple[OddsRatio, ...]
