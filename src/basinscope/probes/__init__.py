"""Probes, the measurements around a minimum: one estimator per file."""
