"""The mirror: brings the tracker up to date while a sweep runs, one writer for all trials.

The records in the sweep's folder are the truth. A tracker that is down is tried again later and
costs the trials nothing; workers never talk to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from xstilts.errors import TrackingError
from xstilts.report.publish import publish_trial, publish_views
from xstilts.report.results import Results
from xstilts.run.records import read_record
from xstilts.run.trial_states import TrialState
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
        self._has_views = False
        self.trouble = ""

    def step(self, states: Sequence[TrialState]) -> None:
        """Write what is new since the last step."""
        if time.monotonic() < self._not_before:
            return
        try:
            if not self._has_views:
                publish_views(self._tracker, self._results)
                self._has_views = True
                # From here on it is asked for the sweep and its places alone.
                self._results = replace(self._results, records=())
            for state in states:
                self._follow(state)
            self.trouble = ""
        except TrackingError as error:
            self.trouble = str(error)
            self._not_before = time.monotonic() + RETRY_AFTER_S
            logger.warning("MLflow: %s; trials go on, trying again in a minute", error)

    def _follow(self, state: TrialState) -> None:
        if state.ended is None:
            if state.trial not in self._begun:
                self._tracker.write(running_run(state.trial, state.started))
                self._begun.add(state.trial)
        elif self._ended.get(state.trial) != state.ended:
            record = read_record(self._results.places.trials / state.trial)
            if record is not None:
                publish_trial(self._tracker, self._results, record)
            self._ended[state.trial] = state.ended
