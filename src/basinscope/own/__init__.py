"""Surveys of your own networks: probes around each checkpoint, figures and one table of numbers."""
