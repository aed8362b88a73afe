"""Packed sequences: no padding, and only what is read of the last layer."""
