"""Scores: the official metrics, the score table, its averages, best intermediates."""
