"""Checkpoints of networks: points in the space of their parameters, and files."""
