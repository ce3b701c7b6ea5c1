"""Entry point: parse, do the verb, turn errors into one line and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import traceback

from basinscope.cli.arguments import parse
from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143


_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Terminated(KeyboardInterrupt):
    """The system asked the process to end."""


def _turn_terminate_into_interrupt() -> None:
    """Let SIGTERM end a run as cleanly as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        raise _Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: the run failed. 2: the request cannot be met. 3: a claim does not hold and `--strict` was given.
    130: interrupted. 143: terminated.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _turn_terminate_into_interrupt()
        options = parse(words)
        from basinscope.cli import verbs

        return verbs.VERBS[options.verb](options)
    except KeyboardInterrupt as stop:
        code = EXIT_TERMINATED if isinstance(stop, _Terminated) else EXIT_INTERRUPTED
        return _fail("stopped; finished work is kept, the same command goes on from there", code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("rich", "jinja2", "sklearn", "threadpoolctl"):
            raise
        return _fail(f"{error.name} is missing; pip install 'basinscope[paper]'", EXIT_INPUT)
    except (InputError, DamagedResultError, TrainingDivergedError, OSError) as error:
        if "--debug" in words:
            traceback.print_exc()
        return _fail(_one_line(error), EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED)
    except Exception as error:  # a fault of ours: still one line, and the way to the whole story
        if "--debug" in words:
            traceback.print_exc()
        kind = type(error).__name__
        return _fail(f"internal error, {kind}: {_one_line(error)}; --debug shows where, please report it", EXIT_FAILED)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        advice = "; free some space and run again" if error.errno in _FULL else ""
        return f"{error.filename}: {error.strerror}{advice}"
    return " ".join(str(error).split())


def _fail(message: str, code: int) -> int:
    print(f"basinscope: {message}", file=sys.stderr)
    return code
