"""The errors that users see: one line each that says where, the rule, what was given, the repair.

Everything below a command raises one of these for a user's mistake or a failed run; a bug in the
package itself stays an ordinary exception with its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class XstiltsError(Exception):
    """Base of all errors that a command prints without a traceback. `exit_status` is 1 or 2."""

    exit_status = 1


_USER = re.compile(r"(?<=://)(?!/)[^\s\"']*@|[^\s\"'/:@]+:[^\s\"'/:@]+@")


def without_user(text: str) -> str:
    """A text whose addresses have lost `user:password@`, which no message may show."""
    return _USER.sub("", text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: `where: rule; got ...; repair`."""

    where: str
    rule: str
    got: str = ""
    repair: str = ""

    def __str__(self) -> str:
        parts = [self.rule]
        if self.got:
            parts.append(f"got {self.got}")
        if self.repair:
            parts.append(self.repair)
        return without_user(f"{self.where}: {'; '.join(parts)}")


class ConfigError(XstiltsError):
    """The input is wrong and nothing was started; holds every problem that was found."""

    exit_status = 2

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(XstiltsError):
    """A data set is missing, unreadable or not what its task declares."""


class StageError(XstiltsError):
    """A stage could not be computed."""


class Diverged(StageError):
    """The training of a stage left the finite numbers."""


class ProcessLost(StageError):
    """One of the processes that train a stage together was killed: no fault of the stage's."""


class Preempted(XstiltsError):
    """A stage was told to stop; it goes on from its checkpoint when it is asked for again."""

    exit_status = 143  # as the shell says of a command that SIGTERM ended


class SweepStopped(XstiltsError):
    """A sweep was stopped by a signal, and goes on where it was when it is launched again.

    Its exit status is what `sysexits.h` calls a temporary failure, which schedulers start again.
    """

    exit_status = 75


class StoreError(XstiltsError):
    """The storage cannot be used as a store of stages."""


class StorageGone(StoreError):
    """The storage is not there any more, or another one is: a mount has vanished."""


class LeaseLost(StoreError):
    """Another process has taken over what this one was doing, or may have; its work is dropped."""


class StorageFull(StoreError):
    """The disk of the storage is full: nothing can go on, and nothing is lost."""


class BundleError(XstiltsError):
    """A bundle is not as it was written, or a number in it does not come from its items."""


class TrackingError(XstiltsError):
    """The tracking server did not take what it was given; training goes on without it."""


class ForeignExperiment(TrackingError):
    """The tracker has an experiment of that name, which is not this sweep's."""

    exit_status = 2
