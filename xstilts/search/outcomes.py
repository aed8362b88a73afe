"""How a trial's process says that it ended: what the trainable reports and the searcher reads."""

ENDED = ("finished", "failed")
"""The states of a record, after which a trial is over; after any other outcome it goes on later."""

STOPPED = "stopped"
"""It was told to stop, by its sweep, its node or a signal, or one of its processes was killed."""

HALT = "halt"
"""What stops all trials, as a full disk; the result's `reason` says what."""
