"""Does the tasks of a run in several processes of this machine.

A worker is another Python: it reads orders from its input, a line each, and writes answers to its output. It ends when
its input does, so it never outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import basinscope
from basinscope.runs import handing_out
from basinscope.runs.engine import Progress, Task
from basinscope.runs.handing_out import Request, hand_out
from basinscope.runs.store import RunFolder

_ROOT = str(Path(basinscope.__file__).parents[1])
_WORKER = "import sys; sys.path.append(sys.argv[1]); from basinscope.runs.process_engine import obey; obey()"
"""Appended, so that a package which lies where the driver was started is found, and hides nothing."""


def run_tasks_in_processes(request: Request, folder: RunFolder, progress: Progress, *, jobs: int) -> int:
    """Do the tasks of a run that are not done yet, several at a time.

    A process that is lost costs what its task did since it last kept its state; the task is begun again, up to three
    times. When the caller is interrupted, or a task fails, the other tasks that are at work are stopped; what is
    finished stays.

    Args:
        request: The experiment and how to compute it.
        folder: Where results go.
        progress: Where to show the state.
        jobs: How many tasks at a time.

    Returns:
        How many tasks were done now.

    Raises:
        Exception: What `hand_out` raises.
    """

    @contextmanager
    def hire() -> Iterator[_Processes]:
        workers = _Processes(jobs)
        try:
            yield workers
        finally:
            workers.stop()

    return hand_out(request, folder, progress, hire)


class _Processes:
    """See `Workers`; a thread waits for each process."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="worker")
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._all = [_Process() for _ in range(jobs)]
        for process in self._all:
            self._idle.put(process)
        self._running: dict[Future[str], str] = {}

    def room(self) -> bool:
        return len(self._running) < self._jobs

    def begin(self, task: Task, order: str) -> None:
        self._running[self._threads.submit(self._do, task.name, order)] = task.name

    def _do(self, task: str, order: str) -> str:
        process = self._idle.get()
        try:
            for _ in range(handing_out.MAX_RETRIES + 1):
                answer = process.ask(order)
                if answer is not None:
                    return answer
            raise handing_out.lost(task, why=process.end)
        finally:
            self._idle.put(process)

    def ended(self, seconds: float) -> Mapping[str, str]:
        found, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        return {self._running.pop(future): future.result() for future in found}

    def stop(self) -> None:
        """End all processes, at work or not, and wait for their end; files are whole or not at all."""
        for process in self._all:
            process.kill()
        self._threads.shutdown()
        for process in self._all:
            process.close()


class _Process:
    """One process, which is started when it is first needed and again when it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._guard = threading.Lock()
        self.end = ""
        """How the process that was lost last ended."""

    def ask(self, order: str) -> str | None:
        """Have an order done, and return the answer; nothing if the process was lost over it."""
        with self._guard:
            if self._stopped:
                return None
            process = self._process = self._process or _start()
        with contextlib.suppress(OSError, ValueError):
            orders, answers = process.stdin, process.stdout
            assert orders is not None
            assert answers is not None
            orders.write(order + "\n")
            orders.flush()
            if answer := answers.readline():
                return answer
        code = process.wait()
        self.end = f"signal {-code}" if code < 0 else f"exit code {code}"
        self.close()
        return None

    def kill(self) -> None:
        """End the process for good; `ask` returns nothing from now on."""
        with self._guard:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Wait for the end of a process that is lost or was ended."""
        with self._guard:
            process, self._process = self._process, None
        if process is not None:
            with process, contextlib.suppress(OSError):
                process.communicate()


def _start() -> subprocess.Popen[str]:
    """Start a worker, out of reach of a Ctrl-C at the terminal: its driver ends it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _WORKER, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def obey() -> None:
    """Do orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a library prints must not come between the answers.
    os.dup2(2, 1)
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(line)
        os._exit(0)  # the driver is gone: nobody wants what is at work

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answers.write(handing_out.work(orders.get()) + "\n")
        answers.flush()
