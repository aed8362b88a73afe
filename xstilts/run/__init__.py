"""Running: stages on disk, one stage, one trial; the same code by hand and under Ray."""
