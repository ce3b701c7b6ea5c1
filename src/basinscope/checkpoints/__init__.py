"""Checkpoints of networks: points in the space of their parameters, files, and a recorder for training loops."""
