"""Labelled results: what each kind holds, and the only place where torch meets xarray."""
