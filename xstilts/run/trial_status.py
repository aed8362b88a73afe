"""Where a running trial is, for whoever watches."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xstilts.files import write_json
from xstilts.records import Status
from xstilts.run.records import STATUS

STATUS_EVERY_S = 0.5


@dataclass
class TrialStatus:
    """What a running trial is doing, for whoever watches; written at most twice a second."""

    folder: Path
    num_stages: int
    started: float = field(default_factory=time.time)
    done_stages: int = 0
    _written: float = 0.0

    def at(self, stage: str, share: float = 0.0) -> None:
        """Note the stage that the trial is in and the share of it that is done."""
        now = time.time()
        if share and now - self._written < STATUS_EVERY_S:
            return
        self._written = now
        done = (self.done_stages + share) / max(1, self.num_stages)
        status = Status(stage, min(done, 1.0), self.started, now)
        write_json(self.folder / STATUS, asdict(status), is_durable=False)
