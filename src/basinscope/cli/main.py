"""Entry point: parse, do the verb, turn errors into one line and an exit code."""

from __future__ import annotations

import sys
import traceback

from basinscope.cli.arguments import parse
from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: the run failed. 2: the request cannot be met. 3: a claim does not hold and `--strict` was given.
    130: interrupted.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = parse(words)
        from basinscope.cli import verbs

        return verbs.VERBS[options.verb](options)
    except KeyboardInterrupt:
        return _fail("stopped; finished work is kept, the same command goes on from there", EXIT_INTERRUPTED)
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
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _fail(message: str, code: int) -> int:
    print(f"basinscope: {message}", file=sys.stderr)
    return code
