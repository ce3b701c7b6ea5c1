"""Labelled samples: one file a source."""
