"""Runs the tasks of a run in several worker processes on this machine.

A worker is another Python process: it reads one order a line from stdin and writes answers to stdout. It exits when
stdin closes, so it never outlives the driver.
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
"""Appends the package's folder to `sys.path`: it becomes importable, and shadows nothing."""


def run_tasks_in_processes(request: Request, folder: RunFolder, progress: Progress, *, jobs: int) -> int:
    """Run the unfinished tasks of a run, several at a time.

    If a process dies, its task restarts from its last checkpoint, up to three times. If the caller is interrupted or a
    task fails, all running tasks are stopped; finished results remain.

    Args:
        request: The experiment and how to compute it.
        folder: The run's folder.
        progress: Progress display.
        jobs: Tasks at a time.

    Returns:
        Number of tasks run by this call.

    Raises:
        Exception: See `hand_out`.
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
    """A pool of processes, with one waiting thread each; see `Workers`."""

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
        finished, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        return {self._running.pop(future): future.result() for future in finished}

    def stop(self) -> None:
        """Kill all processes and wait until they exit; safe, because files are written atomically."""
        for process in self._all:
            process.kill()
        self._threads.shutdown()
        for process in self._all:
            process.close()


class _Process:
    """One worker process, started on first use and restarted if it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._guard = threading.Lock()
        self.end = ""
        """How the last process that died ended."""

    def ask(self, order: str) -> str | None:
        """Send an order and return the answer; None if the process died."""
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
        """Kill the process for good; `ask` returns None from now on."""
        with self._guard:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Wait until a dead or killed process has exited."""
        with self._guard:
            process, self._process = self._process, None
        if process is not None:
            with process, contextlib.suppress(OSError):
                process.communicate()


def _start() -> subprocess.Popen[str]:
    """Start a worker in a session of its own: Ctrl-C reaches only the driver, which stops it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _WORKER, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def obey() -> None:
    """Worker loop: run tasks from stdin until it closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Redirect stdout to stderr: prints of libraries must not mix with the answers.
    os.dup2(2, 1)
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(line)
        os._exit(0)  # the driver is gone: abandon the running task

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answers.write(handing_out.work(orders.get()) + "\n")
        answers.flush()
