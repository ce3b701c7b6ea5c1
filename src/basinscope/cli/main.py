"""Entry point: parses arguments, runs the command, turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from basinscope.cli.arguments import parse
from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143
EXIT_PIPE = 141


_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Terminated(KeyboardInterrupt):
    """Raised on SIGTERM."""


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C while the context is open."""

    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: the run failed. 2: invalid request. 3: a claim does not hold and `--strict` was given.
    130: interrupted. 141: the reader of the output has exited. 143: terminated.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = parse(words)
        from basinscope.cli import verbs

        with _terminate_as_interrupt():
            return verbs.VERBS[options.verb](options)
    except KeyboardInterrupt as stop:
        code = EXIT_TERMINATED if isinstance(stop, _Terminated) else EXIT_INTERRUPTED
        return _fail("stopped; finished work is saved, run the same command to resume", code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("rich", "jinja2", "sklearn", "threadpoolctl", "pooch"):
            raise
        return _fail(f"{error.name} is missing; pip install 'basinscope[paper]'", EXIT_INPUT)
    except BrokenPipeError:  # the reader of the output has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except (InputError, DamagedResultError, TrainingDivergedError, OSError) as error:
        if "--debug" in words:
            traceback.print_exc()
        return _fail(_one_line(error), EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED)
    except Exception as error:  # a bug: still one line, with a hint to the traceback
        if "--debug" in words:
            traceback.print_exc()
        kind = type(error).__name__
        return _fail(f"internal error, {kind}: {_one_line(error)}; report it with the output of --debug", EXIT_FAILED)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        advice = "; free some space and run again" if error.errno in _FULL else ""
        return f"{error.filename}: {error.strerror}{advice}"
    return " ".join(str(error).split())


def _fail(message: str, code: int) -> int:
    print(f"basinscope: {message}", file=sys.stderr)
    return code
