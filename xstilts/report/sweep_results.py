"""The results of one sweep for a notebook: its tables as pandas frames, predictions, pictures.

A table is read when it is asked for, from the cache of the records (`record_table`); records that
are written later are seen by results that are opened later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xstilts.config.derive import NONE
from xstilts.config.own_tasks import find_task
from xstilts.errors import ConfigError, Problem, StoreError
from xstilts.files import names_in
from xstilts.records import CONFIRM, TrialRecord
from xstilts.report.comparison import best_of, entries_of, grid_of, language_means
from xstilts.report.pictures import Picture, gain_map, heat_map
from xstilts.report.record_table import RecordTable, record_table
from xstilts.report.results import Results, launched, load_results
from xstilts.report.trial_files import columns_of
from xstilts.run.confirmation import plan_of
from xstilts.run.places import Places
from xstilts.run.predictions import read_predictions
from xstilts.run.records import read_record
from xstilts.run.reopen import planner_of, workshop_of
from xstilts.run.store import Store
from xstilts.tasks import suggest
from xstilts.tasks.kinds import IN_TRANSFORMERS

if TYPE_CHECKING:
    import pandas as pd

    from xstilts.plan.plan import Planner
    from xstilts.plan.trial_plan import TrialPlan
    from xstilts.report.verdicts import TargetVerdict
    from xstilts.run.export import Exported
    from xstilts.scores.best import Best
    from xstilts.study.answer import Answer


class SweepResults:
    """The results of a sweep; `xstilts.open_results` and `xstilts.run_sweep` return them.

    Attributes:
        sweep: the sweep, as it was launched last.
        folder: the sweep's folder, `<storage>/sweeps/<name>`.
    """

    def __init__(self, places: Places, with_plugins: bool = False):
        self._places, self._with_plugins = places, with_plugins
        self.sweep, self._launch = launched(places, with_plugins)
        self.folder: Path = places.sweep

    def __repr__(self) -> str:
        return f"<results of {self.sweep.name}: {len(self._table.records)} trials in {self.folder}>"

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.sweep.name

    @property
    def tracking_uri(self) -> str:
        """Where MLflow has the sweep's runs: the declared server, else the storage's file."""
        return self._places.tracking_uri(self.sweep)

    @property
    def scores(self) -> pd.DataFrame:
        """The score table: a row for each trial, target, language, split and metric.

        Columns: `trial`, `config_id` (the trial's configuration, without its seed), `intermediate`,
        `model` (categories), `seed` (Int64), `phase` (category: `search`, `baseline` or `confirm`,
        with fresh seeds, of the baseline too), `target`, `language`, `metric` (categories), `value`
        (float64, 0-100), `n` (Int64: rows or questions scored), `split` (category: `dev` is what
        selects, in the training language), `param/<name>` (what the trial searched), `cell`
        (category: one of the target's configurations), `is_chosen` (bool: the one that the inner
        search kept; only its rows are results).
        """
        return self._scores.copy(deep=False)

    @property
    def best(self) -> pd.DataFrame:
        """The verdict on each target, a row a target that has a best.

        Columns: `target`; `verdict` (`best`, `ties`, `none`, `within noise`, `harms`, of runs with
        fresh seeds alone; else `not confirmed`, of search's); `intermediate`, also as `best`;
        `ties` (a tuple of all that may be the best, empty where not confirmed); `score`, `none`
        (0-100, means over languages and the runs that learnt), `gain`, `low` and `high` (its 95 %
        interval); `config_id`; `lr/intermediate`, `lr/target` (missing where runs chose different
        ones); `dev`, `selected_on`, `spread` (standard deviation over the runs that learnt),
        `seeds`, `configs` (how many search compared); `p_best`, `p_null` (the probabilities to be
        the best, and of a gain as large by chance), `collapsed` (a dict: `best` and `none`, each
        [collapsed, runs]), `runs`, `hours_to_settle`, `command` (that exports it), `trials` (a
        tuple), `rates` (a dict), `budget` (examples of the intermediate), `expected` (what search's
        best of as many configurations as the baseline had would have scored). Numbers are float64,
        counts Int64; what is not known is missing.
        """
        from xstilts.report.frames import best_frame

        return best_frame(self._verdicts, self._table, self.sweep, self._places)

    @cached_property
    def study(self) -> Answer:
        """What the sweep answers to the question of its file: registered, arms, contrasts, what it
        says and what it does not show; plain frozen values, points 0-100, None where not known.

        Raises:
            ConfigError: the file asks none.
        """
        from xstilts.study.analysis import answered  # imports scipy

        return answered(self.details)

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial that has ended.

        Columns: `trial`, `config_id`, `intermediate`, `model`, `seed`, `phase` as in `scores`, and
        `rung` of a race's lower rungs, whose scores are none of those;
        `state` (`finished` or `failed`), `objective` (float64, missing where a race ran the trial
        for some of the targets), `started`, `ended` (UTC),
        `seconds` (of the stages that it computed), `reused_seconds` (of those that it read),
        `wait_s`, `tokens` (trained on), `collapsed`, `undecided` (names, joined by commas),
        `error`, `param/<name>`, `rate/<task>`, `lr/intermediate`, `lr/target/<target>`, `rung`
        (float64: the share of every budget that was trained).
        """
        from xstilts.report.frames import trials_frame

        return trials_frame(self._table, self.sweep)

    @property
    def stages(self) -> pd.DataFrame:
        """A row for each stage of each trial.

        Columns: `trial`, `config_id`, `phase`, `stage` (its folder in the store), `fingerprint`,
        `class` (category: `intermediate`, `target`, `final` or `evaluate`), `seconds` (float64,
        what it took whoever computed it), `tokens` (Int64), `reused` (bool: read, not computed),
        `steps`, `wait_s`, `started` (UTC).
        """
        from xstilts.report.frames import stages_frame

        return stages_frame(self._table)

    def predictions(self, target: str, trial: str | None = None) -> pd.DataFrame:
        """What trials predicted for a target's evaluation, a row an item.

        Columns: `trial`, `language` (categories), `item` (the number of the row; of questions and
        mined pairs, whose are told by ids, the id), `prediction` (a label, an answer, the number of
        a sentence; of tagging a list of tags).

        Args:
            trial: of which; the seeds of the target's best configuration if not given.

        Raises:
            ConfigError: no such target or finished trial.
            StoreError: the predictions are no longer in the store.
        """
        import pandas as pd

        self._check_target(target)
        if trial is not None:
            records = [self._finished(trial)]
        else:
            chosen = [one.best.config for one in self._best if one.target == target]
            trials = (one for one in self._table.trials if target in one.scores)
            own = (one.trial for one in trials if one.config in chosen)
            records = [self._finished(name) for name in own]
        columns: dict[str, list[Any]] = {"trial": [], "language": [], "item": [], "prediction": []}
        for record in records:
            name = record.trial
            for language, path in self._prediction_files(record, target):
                found = read_predictions(path, find_task(self.sweep, target))
                columns["trial"] += [name] * len(found)
                columns["language"] += [language] * len(found)
                columns["item"] += [item for item, _ in found]
                columns["prediction"] += [prediction for _, prediction in found]
        categories = {"trial": "category", "language": "category"}
        return pd.DataFrame(columns).astype(categories)

    def heatmap(self, by: Literal["language", "intermediate"] = "language") -> Picture:
        """Targets by languages, of the best configuration; or targets by intermediates, coloured by
        the gain over the baseline. A notebook shows it; `figure` is matplotlib's.

        Raises:
            ConfigError: `by` is neither.
        """
        if by == "intermediate":
            grid = grid_of(entries_of(self.sweep, self._table.trials))
            have = {name for row in grid.values() for name in row}
            columns = [name for name in ("none", *self.sweep.intermediates) if name in have]
            return gain_map(grid, columns, f"{self.name} (search): best by dev")
        if by != "language":
            raise ConfigError([Problem("by", "is language or intermediate", f'"{by}"')])
        from xstilts.report.frames import score_rows

        scores = self._scores
        grid = {}
        for one in self._best:
            own = (scores["config_id"] == one.best.config) & (scores["target"] == one.target)
            own &= scores["phase"] != CONFIRM
            grid[one.target] = language_means(self.sweep, one.target, score_rows(scores[own]))
        title = f"{self.name} (search): best intermediate by language"
        return heat_map(grid, columns_of(grid), title)

    def warnings(self) -> list[str]:
        """What a reader of the tables must know, a line each."""
        return self.details.warnings()

    @cached_property
    def details(self) -> Results:
        """The whole records, of which the reports of the command line are made; what it holds may
        change with any version."""
        return load_results(self._places, self._with_plugins)

    def export_submission(self, trial: str, folder: Path) -> Exported:
        """Write a finished trial's predictions in XTREME's submission layout.

        Raises:
            ConfigError: there is no such finished trial.
            StoreError: the predictions are no longer in the store.
        """
        record = self._finished(trial)
        from xstilts.run.export import export_submission

        return export_submission(record, self.sweep, Store(self._places.storage), folder)

    def export_labels(self, trial: str, folder: Path) -> Exported:
        """Write the gold of all that a finished trial was scored on, in the same layout.

        Raises:
            ConfigError: there is no such finished trial.
            DataError: rows cannot be read.
        """
        _, planner, plan = self._reopened(trial)
        from xstilts.run.export import export_labels

        return export_labels(plan, planner, workshop_of(planner, self._places), folder)

    def export_model(
        self, trial: str, target: str, folder: Path, tell: Callable[[str], Any] = lambda line: None
    ) -> None:
        """Write the model that a finished trial chose for a target, for `from_pretrained`; weights
        that were dropped are trained again, to the same bytes.

        Args:
            tell: called with a line when that is to be done.

        Raises:
            ConfigError: there is no such finished trial, or it trained no model for the target.
            StageError: its head has no form in transformers.
        """
        self.check_model(trial, target)
        record, planner, _ = self._reopened(trial)
        from xstilts.run.export import export_model

        workshop = workshop_of(planner, self._places)
        export_model(record, planner, workshop, target, folder, tell)

    def export_encoder(
        self, trial: str, folder: Path, tell: Callable[[str], Any] = lambda line: None
    ) -> None:
        """Write the encoder of a finished trial after its intermediate, for `from_pretrained`, as
        `export_model` does.

        Raises:
            ConfigError: there is no such finished trial, or it has no intermediate.
        """
        self.check_encoder(trial)
        record, planner, _ = self._reopened(trial)
        from xstilts.run.export import export_encoder

        export_encoder(record, planner, workshop_of(planner, self._places), folder, tell)

    def best_trial(self, target: str) -> str:
        """The trial that `best` means in `export`: of the verdict's best the first run that learnt,
        of confirmation where it is confirmed; of the baseline where no intermediate is better.

        Raises:
            ConfigError: no such target, or none of its configurations has finished.
        """
        self._check_target(target)
        found = self._verdicts[target].exported
        if found is None:
            rule, repair = "no configuration has finished with all its seeds", "name a trial"
            raise ConfigError([Problem("TRIAL", f"{target}: {rule}", '"best"', repair)])
        return found

    def check_encoder(self, trial: str) -> None:
        """See, before torch is imported, that `export_encoder` has something to write.

        Raises:
            ConfigError: there is no such finished trial, or it has no intermediate.
        """
        if self._finished(trial).intermediate == NONE:
            rule = "a trial of the baseline trains no encoder: it has the pretrained model's"
            repair = "give a trial with an intermediate"
            raise ConfigError([Problem("--encoder", rule, f'"{trial}"', repair)])

    def check_model(self, trial: str, target: str) -> None:
        """See, before torch is imported, that `export_model` has something to write.

        Raises:
            ConfigError: there is no such finished trial, it trained no model for the target, or
                the target's kind has no form in transformers.
        """
        _, _, plan = self._reopened(trial)
        trained = [name for group in plan.target_sets if group.cells for name in group.targets]
        if target not in trained:
            rule, repair = "no target that the trial trained a model for", suggest(target, trained)
            raise ConfigError([Problem("--model", rule, f'"{target}"', repair)])
        if (kind := find_task(self.sweep, target).kind) not in IN_TRANSFORMERS:
            rule = f"transformers has no model of its kind, {kind}"
            repair = "`--encoder D` writes the encoder"
            raise ConfigError([Problem("--model", rule, f'"{target}"', repair)])

    @cached_property
    def _table(self) -> RecordTable:
        return record_table(self.sweep, self._places)

    @cached_property
    def _scores(self) -> pd.DataFrame:
        from xstilts.report.frames import scores_frame

        return scores_frame(self._table)

    @cached_property
    def _best(self) -> list[Best]:
        return best_of(self.sweep, self._table.trials)

    @cached_property
    def _verdicts(self) -> dict[str, TargetVerdict]:
        from xstilts.report.verdicts import target_verdicts  # imports scipy

        return target_verdicts(self.sweep, self._places, self._table.trials, self._table.fresh)

    def _check_target(self, target: str) -> None:
        if target not in self.sweep.targets:
            repair = suggest(target, self.sweep.targets)
            raise ConfigError(
                [Problem("TARGET", f"no target of {self.name}", f'"{target}"', repair)]
            )

    def _finished(self, trial: str) -> TrialRecord:
        """The record of a finished trial that a user named."""
        known = names_in(self._places.trials)
        record = read_record(self._places.trials / trial) if trial in known else None
        # What a lower rung trained says who runs next, and is no result.
        if record is None or record.state != "finished" or record.is_short:
            rule = f"no finished trial of {self.name}"
            raise ConfigError([Problem("TRIAL", rule, f'"{trial}"', suggest(trial, known))])
        return record

    def _reopened(self, trial: str) -> tuple[TrialRecord, Planner, TrialPlan]:
        """A finished trial's record, the sweep's planner and the trial's plan."""
        record = self._finished(trial)
        planner = planner_of(self._places, self._launch, self._with_plugins)
        return record, planner, plan_of(planner, record)

    def _prediction_files(self, record: TrialRecord, target: str) -> list[tuple[str, Path]]:
        """The languages of a target with the files of a trial's predictions."""
        store = Store(self._places.storage)
        split = self.sweep.evaluation.split
        for stage in record.stages:
            result = store.result(stage.name)
            folder = result / "predictions" / target if result else None
            if folder is not None and folder.is_dir():
                paths = sorted(folder.iterdir())
                return [(path.stem.removeprefix(f"{split}-"), path) for path in paths]
        raise StoreError(
            f"{record.trial}: {target}: its predictions are no longer in the store; "
            f"`xstilts run FILE --trial {record.trial}` makes them again"
        )
