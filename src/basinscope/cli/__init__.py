"""The command line: `basinscope list | run | status | plot | report`."""

from basinscope.cli.main import main

__all__ = ["main"]
