import threading
import time
from pathlib import Path

from basinscope.runs import lock
from basinscope.runs.lock import exclusive


def test_one_at_a_time_and_the_waiting_one_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "_LOOK_SECONDS", 0.01)
    story: list[str] = []
    held = threading.Event()

    def first() -> None:
        with exclusive(tmp_path / "new", lambda: story.append("first waits")):
            held.set()
            time.sleep(0.2)
            story.append("first leaves")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with exclusive(tmp_path / "new", lambda: story.append("second waits")):
        story.append("second holds")
    thread.join()
    assert story == ["second waits", "first leaves", "second holds"]


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        try:
            with exclusive(tmp_path, lambda: (_ for _ in ()).throw(AssertionError("still held"))):
                raise RuntimeError
        except RuntimeError:
            pass


def test_a_file_system_without_locks_is_used_all_the_same(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    entered = []
    with exclusive(tmp_path, lambda: None):
        entered.append(True)
    assert entered
