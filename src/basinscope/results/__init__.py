"""Labelled results: schema of each kind, and conversion from torch to xarray."""
