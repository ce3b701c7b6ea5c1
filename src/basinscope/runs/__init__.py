"""Runs that lose nothing: atomic files, a store of finished tasks, and the engine that does the rest."""
