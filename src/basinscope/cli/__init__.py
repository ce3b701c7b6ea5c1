"""The command line: arguments, commands, progress and exit codes."""

from basinscope.cli.main import main

__all__ = ["main"]
