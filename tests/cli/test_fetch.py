import argparse
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from basinscope.cli.fetch import fetch_command
from basinscope.data import download
from basinscope.errors import InputError


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A set of one file, served by this process."""
    content = b"n" * 5000
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "train.mat").write_bytes(content)

    class Handler(SimpleHTTPRequestHandler):
        timeout = 5

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "site"))) as server:
        address = f"http://127.0.0.1:{server.server_port}/train.mat"
        one = download.Download(address, hashlib.md5(content).hexdigest(), len(content))
        monkeypatch.setitem(download.SOURCES, "svhn", download.Source("svhn", (one,)))
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join(5)


def _options(name: str, data_dir: Path | None) -> argparse.Namespace:
    return argparse.Namespace(name=name, data_dir=data_dir)


def test_sizes_are_told_before_and_the_folder_at_the_end(
    served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "data" / "svhn"
    place.mkdir(parents=True)
    (place / f"{download.PARTIAL}1-train.mat").write_bytes(b"left by a process that was killed")
    assert fetch_command(_options("svhn", tmp_path / "data")) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"train.mat: 5,000 bytes from {served}",
        f"5,000 bytes in total, into {place}; complete files are not downloaded again",
        f"svhn: {place}",
    ]
    assert (place / "train.mat").read_bytes() == b"n" * 5000
    assert not list(place.glob(f"{download.PARTIAL}*"))


def test_the_usual_folder_is_taken_when_none_is_named(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASINSCOPE_DATA", str(tmp_path / "usual"))
    assert fetch_command(_options("svhn", None)) == 0
    assert (tmp_path / "usual" / "svhn" / "train.mat").exists()


def test_without_a_terminal_lines_tell_how_far_it_is(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slowly(name: str, folder: Path, *, progress: download.Shown) -> Path:
        for second in range(0, 25, 5):
            monkeypatch.setattr("basinscope.progress.time.monotonic", lambda: 1e6 + second)  # noqa: B023
            progress("train.mat", second * 10e6, 1e9)
        return folder

    monkeypatch.setattr("basinscope.progress.time.monotonic", lambda: 1e6)
    monkeypatch.setattr(download, "fetch", slowly)
    fetch_command(_options("svhn", tmp_path))
    assert capsys.readouterr().err.splitlines() == [
        "svhn: train.mat, 0 % done, about 1 min 40 s left",
        "svhn: train.mat, 10 % done, about 1 min 30 s left",
        "svhn: train.mat, 20 % done, about 1 min 20 s left",
    ]


@pytest.mark.parametrize(
    ("name", "folder", "says"),
    [
        ("cifar", "data", "no data set 'cifar'; did you mean 'cifar10'?"),
        ("svhn", "", "--data-dir is empty; name a folder"),
        ("svhn", "/proc/nowhere", "/proc/nowhere/svhn: cannot write there"),
    ],
)
def test_a_mistake_gets_one_clear_line(name: str, folder: str, says: str) -> None:
    with pytest.raises(InputError) as told:
        fetch_command(_options(name, Path(folder)))
    assert says in str(told.value)
    assert "\n" not in str(told.value)
