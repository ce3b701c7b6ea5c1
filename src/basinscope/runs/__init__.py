"""Resumable runs: atomic files, a store of finished tasks, provenance, and the engines that execute tasks."""
