"""Data: one way to read, identity by content, encoded rows on disk, batches from a seed."""
