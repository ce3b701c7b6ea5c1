"""Fetches published image sets, holds them to their published checksums and notes what was fetched."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from basinscope.errors import InputError, check_choice

MANIFEST = "basinscope-manifest.json"
PARTIAL = ".partial-"
"""How the names of files begin that are not whole yet."""
WAIT_SECONDS = 30
"""How long a server may be silent."""
_CHUNK = 2**20
_HAND = "put the files there yourself and pass --data-dir"

Shown = Callable[[str, float, float], object]
"""Called with the file at work, the bytes that have come and the bytes that are to come in all."""


@dataclass(frozen=True)
class Download:
    """One published file."""

    url: str
    md5: str
    num_bytes: int
    members: Mapping[str, int] = field(default_factory=dict)
    """For an archive: the files to take out of it, as they are called inside, and their sizes in bytes."""

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return PurePosixPath(self.url).name

    @property
    def files(self) -> list[str]:
        """Names of the files that are there in the end."""
        return [PurePosixPath(member).name for member in self.members] or [self.file_name]


@dataclass(frozen=True)
class Source:
    """A published set of images."""

    folder: str
    """Where its files lie below the data folder."""
    downloads: tuple[Download, ...]

    @property
    def num_bytes(self) -> int:
        """Size of all downloads."""
        return sum(download.num_bytes for download in self.downloads)


_CIFAR_FOLDER = "cifar-10-batches-bin"
_CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_SVHN = "http://ufldl.stanford.edu/housenumbers"

SOURCES: dict[str, Source] = {
    "cifar10": Source(
        _CIFAR_FOLDER,
        (
            Download(
                # Address and checksum as on https://www.cs.toronto.edu/~kriz/cifar.html.
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
                # 10,000 records of one label byte and 3,072 pixel bytes each.
                {f"{_CIFAR_FOLDER}/{name}": 30_730_000 for name in _CIFAR_FILES},
            ),
        ),
    ),
    # The site publishes no checksums; these are the ones that torchvision's SVHN class holds its downloads to.
    "svhn": Source(
        "svhn",
        (
            Download(f"{_SVHN}/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            Download(f"{_SVHN}/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
            Download(f"{_SVHN}/extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),
        ),
    ),
}
"""What can be fetched, by name."""


def default_folder() -> Path:
    """Where fetched files go when nothing else is said.

    That is `$BASINSCOPE_DATA`, or else `basinscope/data` in the user's cache folder, which on Linux is
    `$XDG_CACHE_HOME` or `~/.cache`.
    """
    if chosen := os.environ.get("BASINSCOPE_DATA"):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The rule of the XDG base directories: what is not absolute does not count.
        caches = caches if caches.is_absolute() else home / ".cache"
    return caches / "basinscope" / "data"


def md5(path: Path) -> str:
    """Checksum by which the sets were published, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(place: Path) -> dict[str, Any]:
    """What the manifest of a folder says about each file; nothing if there is none or it is damaged."""
    try:
        noted = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return noted if isinstance(noted, dict) else {}


def vouched(place: Path, name: str, files: Iterable[str]) -> bool:
    """Whether files are, byte for byte, what `fetch` took from the published downloads.

    Args:
        place: Folder in which files and manifest lie.
        name: A key of `SOURCES`.
        files: Names of the files.
    """
    published = {file: download.md5 for download in SOURCES[name].downloads for file in download.files}
    noted = _noted(place)

    def stands(file: str) -> bool:
        note = noted.get(file)
        if not isinstance(note, dict) or note.get("published_md5") != published.get(file):
            return False
        path = place / file
        return path.is_file() and path.stat().st_size == note.get("bytes") and _sha256(path) == note.get("sha256")

    return all(stands(file) for file in files)


def _is_published(path: Path, download: Download) -> bool:
    return path.is_file() and path.stat().st_size == download.num_bytes and md5(path) == download.md5


def _is_complete(place: Path, name: str, download: Download) -> bool:
    return vouched(place, name, download.files) or (
        not download.members and _is_published(place / download.file_name, download)
    )


def require_writable(place: Path) -> None:
    """Make a folder.

    Raises:
        InputError: It cannot be made, or nothing can be written into it.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(
            f"{place}: cannot write there ({error.strerror}); name another folder by --data-dir"
        ) from error


def fetch(name: str, folder: Path, *, progress: Shown | None = None) -> Path:
    """Fetch a published set; files that are there already and whole are left alone.

    Each file arrives under another name and is renamed once its checksum is the published one, so that a file with
    its proper name is whole. A note of every file's SHA-256 and of where it came from is written beside them.

    Args:
        name: `cifar10` or `svhn`.
        folder: The data folder; the files lie in a folder of their own in it.
        progress: Told what has come, see `Shown`.

    Returns:
        The folder in which the files lie.

    Raises:
        InputError: There is no such set, the folder cannot be written or has not enough room, the server cannot be
            reached, or what came is not what was published.
        ModuleNotFoundError: pooch is not installed.

    Example:
        `fetch("cifar10", default_folder())` returns `~/.cache/basinscope/data/cifar-10-batches-bin` on Linux.
    """
    check_choice("name", name, tuple(SOURCES))
    source = SOURCES[name]
    place = folder / source.folder
    require_writable(place)
    left = [download for download in source.downloads if not _is_complete(place, name, download)]
    # By hand, an archive is most likely put into the data folder itself.
    laid = {download.url: _laid_by_hand((folder, place), download) for download in left}
    coming = [download for download in left if laid[download.url] is None]
    _require_room(place, left, coming)
    total, come = sum(download.num_bytes for download in coming), 0
    for download in source.downloads:
        archive = laid.get(download.url)
        if archive is not None:
            _unpack(archive, download, place)
        elif download in coming:
            _get(download, place, come, total, progress)
            come += download.num_bytes
        if download in left or any(file not in _noted(place) for file in download.files):
            _note(place, download)
    return place


def _laid_by_hand(folders: Iterable[Path], download: Download) -> Path | None:
    """Where the user has put an archive; `None` if nowhere."""
    paths = [folder / download.file_name for folder in folders] if download.members else []
    return next((path for path in paths if _is_published(path, download)), None)


def _require_room(place: Path, left: Iterable[Download], coming: Iterable[Download]) -> None:
    needed = sum(download.num_bytes for download in coming) + sum(sum(one.members.values()) for one in left)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{place}: {needed:,} bytes are needed, {free:,} are free; make room or name another folder by --data-dir"
        )


class _Counter:
    """What pooch takes for a progress bar."""

    def __init__(self, download: Download, come: int, total: int, progress: Shown | None) -> None:
        self._download, self._come, self._all, self._progress = download, come, total, progress
        self._done = 0

    @property
    def total(self) -> int:
        return self._download.num_bytes

    @total.setter
    def total(self, announced: int) -> None:
        # Told before anything is written; 0 where the server does not say.
        if announced not in (0, self._download.num_bytes):
            raise InputError(
                f"{self._download.url}: the server offers {announced:,} bytes, {self._download.num_bytes:,} were "
                f"published; try again later, or {_HAND}"
            )

    def update(self, num: int) -> None:
        # The last piece is counted as if it were as long as the others.
        self._done = min(self._done + num, self.total)
        if self._progress is not None:
            self._progress(self._download.file_name, self._come + self._done, self._all)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _get(download: Download, place: Path, come: int, total: int, progress: Shown | None) -> None:
    """Fetch one file into `place`, unpacked if it is an archive."""
    partial = place / f"{PARTIAL}{os.getpid()}-{download.file_name}"
    try:
        _transfer(download, partial, _Counter(download, come, total, progress))
        if not _is_published(partial, download):
            raise InputError(
                f"{download.url}: what came is not the published file (its MD5 is not {download.md5}) and was removed; "
                f"try again, or {_HAND}"
            )
        if download.members:
            _unpack(partial, download, place)
        else:
            partial.replace(place / download.file_name)
    finally:
        partial.unlink(missing_ok=True)


def _transfer(download: Download, partial: Path, counter: Any) -> None:
    import pooch
    from requests import Response
    from requests.exceptions import RequestException

    answers: list[Response] = []
    transfer = pooch.HTTPDownloader(
        progressbar=counter,
        chunk_size=_CHUNK,
        timeout=WAIT_SECONDS,
        # The checksum is that of the file as published, so the server is asked not to pack it once more.
        headers={"Accept-Encoding": "identity"},
        # pooch leaves the connection open when a transfer is broken off.
        hooks={"response": lambda answer, **_: answers.append(answer)},
    )
    try:
        transfer(download.url, str(partial), None)
    except RequestException as error:
        raise InputError(f"{download.url}: {_reason(error)}; try again, or {_HAND}") from error
    except OSError as error:
        # A full disk is told by the system without the name of the file.
        raise OSError(error.errno, error.strerror, str(partial.parent)) from error
    finally:
        for answer in answers:
            answer.close()


def _reason(error: Exception) -> str:
    """Why a request failed, in few words."""
    from requests.exceptions import HTTPError, Timeout

    if isinstance(error, HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, Timeout):
        return f"no answer within {WAIT_SECONDS} s"
    innermost: BaseException = error
    while inner := innermost.__cause__ or innermost.__context__:
        innermost = inner
    told = getattr(innermost, "strerror", None) or type(innermost).__name__
    return f"the connection failed ({told})"


def _unpack(archive: Path, download: Download, place: Path) -> None:
    """Take the expected files out of an archive; nothing else in it is touched.

    Raises:
        InputError: The archive is damaged, a file is missing from it, or one is not a plain file of the expected size.
    """
    missing = dict(download.members)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name not in missing:
                    continue
                path = place / PurePosixPath(member.name).name
                if member.size != missing.pop(member.name) or not _take(tar, member, path):
                    raise InputError(f"{download.url}: {member.name} in it is not the published file; {_HAND}")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{download.url}: the archive cannot be unpacked ({error}); {_HAND}") from error
    if missing:
        raise InputError(f"{download.url}: {', '.join(missing)} not in the archive; {_HAND}")


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bool:
    """Write a member's content to `path`; False, and nothing written, if it is not a plain file."""
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        return False
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        with content, partial.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _note(place: Path, download: Download) -> None:
    """Add a download's files to the manifest."""
    noted = _noted(place)
    for file in download.files:
        path = place / file
        noted[file] = {
            "sha256": _sha256(path),
            "bytes": path.stat().st_size,
            "source": download.url,
            "published_md5": download.md5,
        }
    text = json.dumps({"files": noted}, indent=1, sort_keys=True) + "\n"
    partial = place / f"{PARTIAL}{os.getpid()}-{MANIFEST}"
    partial.write_text(text, encoding="utf-8")
    partial.replace(place / MANIFEST)
