"""The sweep file as pydantic models: strict, frozen, unknown keys refused.

What one key alone can violate is checked here; what needs two keys, the catalogue or the machine
is checked in `check.py` and by the preflight.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    field_validator,
    model_validator,
)

from xstilts.config.budgets import BudgetSpec, SpendingSpec
from xstilts.config.named import BenchmarkSpec, RecipeSpec
from xstilts.config.probes import ProbesSpec
from xstilts.config.search_spec import SearchSpec
from xstilts.config.strict import Languages, Model, PlainName, PositiveInt
from xstilts.config.study import StudySpec
from xstilts.config.task_spec import PoolSpec, TaskSpec
from xstilts.tasks.plugins import Plugin

MODULE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
"""The name of a Python module."""


class ModelSpec(Model):
    """A pretrained encoder: a folder that `from_pretrained` reads, an id of the Hub, or
    `builtin:mini`. A revision is resolved to its commit once."""

    path: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] = "main"


class DataSpec(Model):
    """Where the data sets are: the Hub (null), a folder in its layout, or `builtin:mini`.

    With `hub`, what the folder lacks comes from the Hub.
    """

    root: Annotated[str, Field(min_length=1)] | None = None
    hub: bool = False


class MlmSpec(Model):
    """Languages of the MLM part, sampled with probability proportional to rows ** alpha."""

    languages: Literal["all"] | tuple[str, ...] = "all"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.3


class MatchSpec(Model):
    """An intermediate that costs as much as another, `to`, and teaches nothing that it does.

    It trains MLM, or a target's own English data, for that one's planned steps, or for as many
    examples as have its tokens; with its batch size, learning rate, warm-up, checks and patience.
    """

    to: PlainName
    by: Literal["steps", "tokens"] = "steps"
    with_: Annotated[Literal["mlm", "target"], Field(alias="with")]


class IntermediateSpec(Model):
    """One candidate: tasks, their rates, and the budget.

    Rates are shares of the examples or, with `unit: steps`, of the optimiser's steps, as jiant
    draws a task for every step: tasks of larger batches give more examples then.

    `languages`, `translated`, `examples` (rows a language) and `filter` (column: value) choose
    other training rows of all tasks but MLM; `normalise` brings translated ones to natural text.
    `items` says of several languages that they have the same items (`parallel`), or that each item
    is in one of them alone (`disjoint`); left out, as many rows of each.
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    rates: Literal["proportional", "uniform", "search"] | dict[str, float] = "proportional"
    unit: Literal["examples", "steps"] = "examples"
    cap: PositiveInt | None = None
    temperature: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    budget: BudgetSpec | None = None
    match: MatchSpec | None = None
    mlm: MlmSpec | None = None
    languages: Languages | None = None
    translated: bool = False
    normalise: Literal["detokenise"] | None = None
    examples: PositiveInt | None = None
    items: Literal["parallel", "disjoint"] | None = None
    filter: Annotated[dict[str, str], Field(min_length=1, max_length=1)] | None = None

    @property
    def where(self) -> tuple[str, str] | None:
        """The filter as column and value."""
        return next(iter(self.filter.items())) if self.filter else None


class TranslatedSpec(Model):
    """A target that is trained on its training set as translated to a language, and selected on dev
    rows in it; `normalise` as in intermediates."""

    languages: Languages
    translated: bool
    normalise: Literal["detokenise"] | None = None


Training = Annotated[
    Annotated[tuple[str, ...], Tag("tuple[links]")] | Annotated[TranslatedSpec, Tag("dict[said]")],
    # So that what is wrong is told of what was meant: a mapping, or a list.
    Discriminator(
        lambda given: "dict[said]" if isinstance(given, (dict, Model)) else "tuple[links]"
    ),
]
"""What a target is trained on, instead of what its entry says."""


class EvaluationSpec(Model):
    """Which labels score the trials: the test sets, or the dev sets of every language.

    `examples` caps the rows of each language, `translated` scores them translated to English; what
    is scored so is no official figure.
    """

    split: Literal["test", "validation"] = "test"
    examples: PositiveInt | None = None
    translated: bool = False


class SelectionSpec(Model):
    """What target stages are selected by, and what that shares with what is scored.

    `checkpoint` is what every target stage keeps of its checks: the `best` by dev, the `last`, or
    the `average` of those of its second half; as the recipe says where it is left out, which is
    `best` in most. `pivot` are languages whose dev labels select beside the training language's,
    the mean over languages; scores in them are not zero-shot.

    XQuAD has paragraphs of every article of SQuAD's dev set. `articles: held_out` selects on whole
    articles that are taken out of SQuAD's training set, for intermediates and targets alike;
    `shared` on other paragraphs of the same articles.
    """

    articles: Literal["shared", "held_out"] = "shared"
    checkpoint: Literal["best", "last", "average"] | None = None
    pivot: Languages | None = None


class FinalSpec(Model):
    """What is trained once selection is over.

    `full_data` trains a target's chosen point again with the rows that were cut from its training
    set to select it (never with a published dev set), for as many updates a row as the chosen
    checkpoint had, without early stopping.
    """

    full_data: bool = False


class ConfirmSpec(Model):
    """What is run again with fresh seeds once search has ended: of every target the `top` best
    intermediates by dev, and the baseline.

    `seeds` says how many, which are then counted from `xstilts.config.derive.FIRST_FRESH`, or
    which; three or more, since with two one run that collapses leaves no interval.
    """

    top: PositiveInt = 3
    seeds: PositiveInt | tuple[Annotated[int, Field(ge=0)], ...] = 5


WEIGHTED = "dev/weighted"


class ObjectiveSpec(Model):
    """What the outer search maximises: `dev/TARGET`, `dev/avg`, the plain mean of the targets' dev
    scores, or `dev/weighted`, in which a target counts as much as it can tell candidates apart."""

    metric: str = WEIGHTED
    mode: Literal["max", "min"] = "max"


class ResourcesSpec(Model):
    """What one trial is allocated and how it computes.

    CPUs are threads. Several GPUs train a stage together, a process each; on CPUs
    `processes_per_trial` do, and share its threads. GPUs train in bf16, CPUs in fp32; what is
    scored is computed alike, or in `evaluation_precision`. A running stage writes a checkpoint
    every `checkpoint_minutes`. `gradient_checkpointing` computes activations again instead of
    keeping them: less memory, about a third more time. `compile` has torch compile the encoder's
    training passes, on GPUs. Of the fine-tuned models of every target, those of the best
    `keep_target_weights` trials by dev stay on disk.
    """

    gpus_per_trial: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    cpus_per_trial: PositiveInt = 1
    processes_per_trial: PositiveInt | None = None
    evaluation_precision: Literal["fp32", "bf16"] | None = None
    checkpoint_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10
    gradient_checkpointing: bool = False
    compile: bool = False
    keep_target_weights: Annotated[int, Field(ge=0)] = 1

    @property
    def processes(self) -> int:
        """Processes that train a stage together."""
        return self.processes_per_trial or max(1, int(self.gpus_per_trial))

    @property
    def training_precision(self) -> str:
        """The encoder's precision while a stage trains."""
        return "bf16" if self.gpus_per_trial else "fp32"

    @property
    def scoring_precision(self) -> str:
        """The encoder's precision in evaluations."""
        return self.evaluation_precision or self.training_precision

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_or_fraction(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"is 0, a fraction of one GPU, or a whole number; got {gpus:g}")
        return gpus

    @model_validator(mode="after")
    def _a_process_a_gpu(self) -> ResourcesSpec:
        if self.gpus_per_trial and self.processes != max(1, int(self.gpus_per_trial)):
            raise ValueError(
                f"processes_per_trial is one a GPU; got {self.processes} with "
                f"gpus_per_trial {self.gpus_per_trial:g}; leave it out"
            )
        if self.compile and not self.gpus_per_trial:
            raise ValueError(
                "compile is for GPUs, a CPU would be slower; got true with gpus_per_trial 0; "
                "leave it out"
            )
        if self.processes > self.cpus_per_trial:
            raise ValueError(
                f"cpus_per_trial is at least one a process; got {self.cpus_per_trial} with "
                f"{self.processes} processes"
            )
        return self


class TrackingSpec(Model):
    """The MLflow server; null is an SQLite file beside the storage."""

    uri: str | None = None

    @field_validator("uri")
    @classmethod
    def _without_a_user(cls, uri: str | None) -> str | None:
        scheme, separator, rest = (uri or "").partition("://")
        # What begins with a third slash is a path.
        if "@" in (rest if separator else scheme) and not rest.startswith("/"):
            raise ValueError(
                "names a server without a user, for it is written into the storage; give user and "
                "password in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, those of a "
                "database as its client reads them (PGPASSWORD)"
            )
        return uri


class Sweep(Model):
    """One sweep file.

    `train` names, by target, the tasks that it is fine-tuned on one after the other, where they are
    not those of its entry, or the language that its training set is translated to.
    """

    name: PlainName
    benchmark: BenchmarkSpec
    recipe: RecipeSpec
    models: Annotated[dict[PlainName, ModelSpec], Field(min_length=1)]
    data: DataSpec = DataSpec()
    plugins: tuple[Annotated[str, Field(pattern=MODULE)], ...] = ()
    tasks: dict[PlainName, TaskSpec] = {}
    pools: dict[PlainName, PoolSpec] = {}
    intermediates: dict[PlainName, IntermediateSpec] = {}
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    train: dict[str, Training] = {}
    languages: Literal["all"] | Languages | dict[str, Languages] = "all"
    evaluation: EvaluationSpec = EvaluationSpec()
    selection: SelectionSpec = SelectionSpec()
    final: FinalSpec = FinalSpec()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    search: SearchSpec = SearchSpec()
    confirm: ConfirmSpec | None = None
    budget: SpendingSpec | None = None
    objective: ObjectiveSpec = ObjectiveSpec()
    resources: ResourcesSpec = ResourcesSpec()
    study: StudySpec | None = None
    probes: ProbesSpec | None = None
    storage: Annotated[str, Field(min_length=1)] = "./runs"
    tracking: TrackingSpec = TrackingSpec()
    _recalled: tuple[Plugin, ...] | None = PrivateAttr(None)

    @property
    def recalled(self) -> tuple[Plugin, ...] | None:
        """The plugins of a sweep that is read from its storage, as they were described there; None
        where modules are imported."""
        return self._recalled

    def recalling(self, plugins: tuple[Plugin, ...] | None) -> Sweep:
        """The sweep with its plugins as they were described."""
        sweep = self.model_copy()
        sweep._recalled = plugins
        return sweep

    @field_validator("storage")
    @classmethod
    def _a_folder(cls, storage: str) -> str:
        if "://" in storage:
            raise ValueError(
                f'is a folder; got "{storage}"; an object store creates no file atomically, so '
                "that two trials could train one stage: name a folder on a shared file system"
            )
        return storage
