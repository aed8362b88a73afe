"""Tracking: records as runs of an experiment tracker, a mirror that may be absent or fail."""
