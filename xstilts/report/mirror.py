"""The mirror: brings the tracker up to date while a sweep runs, one writer for all trials.

The records in the sweep's folder are the truth. A tracker that is down is tried again later and
costs the trials nothing; workers never talk to it.
"""

from __future__ import annotations

import logging
import time

from xstilts.errors import TrackingError
from xstilts.files import read_json
from xstilts.report.publish import publish_trial
from xstilts.report.results import Results
from xstilts.run.trial import STATUS, read_record
from xstilts.tracking.runs import running_run
from xstilts.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 60.0


class Mirror:
    """Follows the trials of one sweep."""

    def __init__(self, tracker: Tracker, results: Results):
        self._tracker = tracker
        self._results = results
        self._begun: set[str] = set()
        self._ended: dict[str, float] = {}
        self._not_before = 0.0
        self.trouble = ""

    def step(self) -> None:
        """Write what is new since the last step."""
        if time.monotonic() < self._not_before:
            return
        try:
            for folder in sorted(self._results.places.trials.glob("*")):
                self._follow(folder.name)
            self.trouble = ""
        except TrackingError as error:
            self.trouble = str(error)
            self._not_before = time.monotonic() + RETRY_AFTER_S
            logger.warning("MLflow: %s; trials go on, trying again in a minute", error)

    def _follow(self, trial: str) -> None:
        folder = self._results.places.trials / trial
        try:
            status = read_json(folder / STATUS)
        except (OSError, ValueError):
            return
        record = read_record(folder)
        if record is None or record["ended"] < status["started"]:
            if trial not in self._begun:
                self._tracker.write(running_run(trial, status["started"]))
                self._begun.add(trial)
        elif self._ended.get(trial) != record["ended"]:
            publish_trial(self._tracker, self._results, record)
            self._ended[trial] = record["ended"]
