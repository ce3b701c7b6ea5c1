"""Labelled samples: one file per data source."""
