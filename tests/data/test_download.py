import errno
import hashlib
import io
import json
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from basinscope.data import download
from basinscope.data.download import MANIFEST, PARTIAL, Download, Source, fetch, vouched
from basinscope.errors import InputError


@dataclass
class Site:
    """A server in this process, what it serves, and what it was asked for."""

    folder: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)

    def offer(self, name: str, content: bytes, members: dict[str, int] | None = None) -> Download:
        (self.folder / name).write_bytes(content)
        return Download(f"{self.address}/{name}", hashlib.md5(content).hexdigest(), len(content), members or {})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site")
    site.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            site.asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site.folder))) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join(5)


def _tar(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return content.getvalue()


def _serve(monkeypatch: pytest.MonkeyPatch, name: str, *downloads: Download) -> None:
    monkeypatch.setitem(download.SOURCES, name, Source("below", downloads))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


ONE, TWO = b"one" * 100, b"second" * 50


@pytest.fixture
def archive(site: Site, monkeypatch: pytest.MonkeyPatch) -> Download:
    packed = _tar(
        ("inside/readme.html", b"hello"), ("inside/a.bin", ONE), ("../../escaped", b"x"), ("inside/b.bin", TWO)
    )
    offered = site.offer("set.tar.gz", packed, {"inside/a.bin": len(ONE), "inside/b.bin": len(TWO)})
    _serve(monkeypatch, "cifar10", offered)
    return offered


def test_only_the_expected_members_are_unpacked_and_the_manifest_vouches_for_them(
    site: Site, archive: Download, tmp_path: Path
) -> None:
    place = fetch("cifar10", tmp_path / "data")
    assert place == tmp_path / "data" / "below"
    assert (place / "a.bin").read_bytes() == ONE
    assert (place / "b.bin").read_bytes() == TWO
    assert _names(tmp_path / "data") == {"a.bin", "b.bin", MANIFEST}
    assert not list(tmp_path.rglob("escaped"))
    noted = json.loads((place / MANIFEST).read_text())["files"]
    assert noted["a.bin"] == {
        "sha256": hashlib.sha256(ONE).hexdigest(),
        "bytes": len(ONE),
        "source": archive.url,
        "published_md5": archive.md5,
    }
    assert vouched(place, "cifar10", ["a.bin", "b.bin"])
    assert not vouched(place, "cifar10", ["a.bin", "readme.html"])
    (place / "b.bin").write_bytes(TWO[:-1] + b"!")
    assert not vouched(place, "cifar10", ["a.bin", "b.bin"])


def test_what_is_whole_is_not_fetched_again_and_what_is_not_is_made_good(
    site: Site, archive: Download, tmp_path: Path
) -> None:
    place = fetch("cifar10", tmp_path)
    fetch("cifar10", tmp_path)
    assert len(site.asked) == 1
    (place / "a.bin").write_bytes(ONE[:7])
    fetch("cifar10", tmp_path)
    assert len(site.asked) == 2
    assert (place / "a.bin").read_bytes() == ONE


@pytest.mark.parametrize("below", ["", "below"])
def test_an_archive_laid_there_by_hand_is_unpacked_and_kept(
    site: Site, archive: Download, tmp_path: Path, below: str
) -> None:
    folder = tmp_path / "data" / below
    folder.mkdir(parents=True)
    shutil.copy(site.folder / "set.tar.gz", folder)
    place = fetch("cifar10", tmp_path / "data")
    assert site.asked == []
    assert vouched(place, "cifar10", ["a.bin", "b.bin"])
    assert (folder / "set.tar.gz").exists()


def test_plain_files_come_one_by_one_and_the_sum_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contents = {"train.mat": b"t" * 3000, "test.mat": b"e" * 500, "extra.mat": b"x" * (2**20 + 5)}
    _serve(monkeypatch, "svhn", *(site.offer(name, content) for name, content in contents.items()))
    place = tmp_path / "below"
    place.mkdir()
    (place / "test.mat").write_bytes(contents["test.mat"])
    told: list[tuple[str, float, float]] = []
    assert fetch("svhn", tmp_path, progress=lambda *state: told.append(state)) == place
    assert site.asked == ["/train.mat", "/extra.mat"]
    assert {name: (place / name).read_bytes() for name in contents} == contents
    total = 3000 + 2**20 + 5
    assert {state[2] for state in told} == {total}
    come = [state[1] for state in told]
    assert come == sorted(come)
    assert ("train.mat", 3000, total) in told
    assert told[-1] == ("extra.mat", total, total)
    # What lay there already is vouched for, too.
    assert set(json.loads((place / MANIFEST).read_text())["files"]) == set(contents)


def test_a_first_file_that_came_is_kept_when_the_second_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = site.offer("train.mat", b"t" * 30), site.offer("test.mat", b"e" * 50)
    _serve(monkeypatch, "svhn", first, second)
    (site.folder / "test.mat").unlink()
    with pytest.raises(InputError, match=r"test\.mat: the server answered 404"):
        fetch("svhn", tmp_path)
    assert vouched(tmp_path / "below", "svhn", ["train.mat"])
    (site.folder / "test.mat").write_bytes(b"e" * 50)
    fetch("svhn", tmp_path)
    assert site.asked == ["/train.mat", "/test.mat", "/test.mat"]


def _told(folder: Path, name: str = "svhn") -> str:
    """The one line that `fetch` gives up with; nothing half-done may be left."""
    with pytest.raises(InputError) as told:
        fetch(name, folder)
    assert "\n" not in str(told.value)
    assert not [file for file in _names(folder) if file.startswith(PARTIAL)]
    return str(told.value)


def test_another_content_is_removed(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = site.offer("train.mat", b"t" * 3000)
    _serve(monkeypatch, "svhn", offered)
    (site.folder / "train.mat").write_bytes(b"u" * 3000)
    line = _told(tmp_path / "data")
    assert line.startswith(f"{offered.url}: the downloaded file is not the published one (its MD5 is not ")
    assert f"{offered.md5}) and was removed; try again, or put the files there yourself and pass --data-dir" in line
    assert _names(tmp_path / "data") == set()
    (site.folder / "train.mat").write_bytes(b"a page of a hotel")
    assert f"{offered.url}: the server offers 17 bytes, 3,000 were published" in _told(tmp_path / "data")


def test_a_dead_server_is_told_with_its_address(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/train.mat"
        _serve(monkeypatch, "svhn", Download(address, "0" * 32, 10))
        line = _told(tmp_path)
    assert line == (
        f"{address}: the connection failed (Connection refused); try again, or put the files there yourself and pass "
        "--data-dir"
    )


def test_a_connection_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/train.mat"
        _serve(monkeypatch, "svhn", Download(address, "0" * 32, 1000))
        line = _told(tmp_path)
        thread.join(5)
    assert line.startswith(f"{address}: the connection failed (")


def test_a_silent_server_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/train.mat"
        _serve(monkeypatch, "svhn", Download(address, "0" * 32, 1000))
        assert _told(tmp_path).startswith(f"{address}: no answer within 0.2 s; try again")


def test_too_small_a_disk_is_told_before_anything_is_fetched(
    site: Site, archive: Download, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needed = archive.num_bytes + len(ONE) + len(TWO)

    def with_free(num_bytes: int) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=num_bytes)
        monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)

    with_free(needed - 1)
    line = _told(tmp_path, "cifar10")
    assert f"{tmp_path / 'below'}: {needed:,} bytes are needed, {needed - 1:,} are free" in line
    assert site.asked == []
    with_free(needed)
    fetch("cifar10", tmp_path)
    with_free(0)
    fetch("cifar10", tmp_path)


def test_a_disk_that_fills_up_names_the_folder(
    archive: Download, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    with pytest.raises(OSError, match="No space left") as told:
        fetch("cifar10", tmp_path)
    assert told.value.filename == str(tmp_path / "below")
    assert told.value.errno == errno.ENOSPC


def _link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (_tar(_link("inside/a.bin", "/etc/hostname")), "inside/a.bin in it is not the published file"),
        (_tar(("inside/a.bin", ONE + b"!")), "inside/a.bin in it is not the published file"),
        (_tar(("a.bin", ONE)), "inside/a.bin not in the archive"),
        (_tar(("inside/a.bin", ONE))[:-20], "the archive cannot be unpacked"),
        (b"not an archive at all", "the archive cannot be unpacked"),
    ],
    ids=["link", "longer", "elsewhere", "cut", "other"],
)
def test_an_archive_with_other_things_in_it_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, packed: bytes, says: str
) -> None:
    offered = site.offer("set.tar.gz", packed, {"inside/a.bin": len(ONE)})
    _serve(monkeypatch, "cifar10", offered)
    line = _told(tmp_path / "data", "cifar10")
    assert line.startswith(f"{offered.url}: {says}")
    assert not (tmp_path / "data" / "below" / MANIFEST).exists()
    assert not (tmp_path / "data" / "below" / "a.bin").is_symlink()


def test_a_folder_that_cannot_be_written_is_told(archive: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"below: cannot write there \(Not a directory\); name another folder"):
        fetch("cifar10", tmp_path / "file")


def test_an_unknown_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'cifar100': choose from cifar10, svhn"):
        fetch("cifar100", tmp_path)


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download.sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BASINSCOPE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert download.default_folder() == tmp_path / ".cache" / "basinscope" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert download.default_folder() == tmp_path / ".cache" / "basinscope" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert download.default_folder() == tmp_path / "caches" / "basinscope" / "data"
    monkeypatch.setenv("BASINSCOPE_DATA", "~/sets")
    assert download.default_folder() == tmp_path / "sets"


def test_the_published_archive_holds_what_the_reader_reads() -> None:
    from basinscope.data import cifar10, svhn

    cifar = download.SOURCES["cifar10"].downloads[0]
    assert cifar.files == [*cifar10.TRAIN_FILES, cifar10.TEST_FILE]
    assert set(cifar.members.values()) == {10_000 * cifar10.RECORD_BYTES}
    names = [one.file_name for one in download.SOURCES["svhn"].downloads]
    assert names == [svhn.TRAIN_FILE, svhn.TEST_FILE, svhn.EXTRA_FILE]
