"""Sweeps on clusters: what their nodes run, and jobs of Slurm."""
