"""Downloads published image datasets, verifies their checksums and records them in a manifest."""

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
"""Prefix of incomplete files."""
WAIT_SECONDS = 30
"""Time limit for a server's answer."""
_CHUNK = 2**20
_HAND = "put the files there yourself and pass --data-dir"

Shown = Callable[[str, float, float], object]
"""Called with the current file, the bytes received and the total number of bytes."""


@dataclass(frozen=True)
class Download:
    """One published file."""

    url: str
    md5: str
    num_bytes: int
    members: Mapping[str, int] = field(default_factory=dict)
    """For an archive: names of the members to extract, and their sizes in bytes."""

    @property
    def file_name(self) -> str:
        """Last part of the URL."""
        return PurePosixPath(self.url).name

    @property
    def files(self) -> list[str]:
        """Names of the final files."""
        return [PurePosixPath(member).name for member in self.members] or [self.file_name]


@dataclass(frozen=True)
class Source:
    """A published image dataset."""

    folder: str
    """Subfolder of the data folder for its files."""
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
                # URL and checksum as on https://www.cs.toronto.edu/~kriz/cifar.html.
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
                # 10,000 records of one label byte and 3,072 pixel bytes each.
                {f"{_CIFAR_FOLDER}/{name}": 30_730_000 for name in _CIFAR_FILES},
            ),
        ),
    ),
    # The site publishes no checksums; these are the ones that torchvision's SVHN class checks.
    "svhn": Source(
        "svhn",
        (
            Download(f"{_SVHN}/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            Download(f"{_SVHN}/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
            Download(f"{_SVHN}/extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),
        ),
    ),
}
"""Datasets that can be downloaded, by name."""


def default_folder() -> Path:
    """Default folder of downloaded files.

    It is `$BASINSCOPE_DATA`, or else `basinscope/data` in the user's cache folder, which on Linux is
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
        # The XDG specification says to ignore relative paths.
        caches = caches if caches.is_absolute() else home / ".cache"
    return caches / "basinscope" / "data"


def md5(path: Path) -> str:
    """MD5 checksum of a file, in hexadecimal, as published for the datasets."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(place: Path) -> dict[str, Any]:
    """Entries of a folder's manifest by file; empty if there is none or it is damaged."""
    try:
        entries = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return entries if isinstance(entries, dict) else {}


def vouched(place: Path, name: str, files: Iterable[str]) -> bool:
    """Whether files are, byte for byte, those that `fetch` took from the published downloads.

    Args:
        place: Folder of the files and the manifest.
        name: A key of `SOURCES`.
        files: Names of the files.
    """
    published = {file: download.md5 for download in SOURCES[name].downloads for file in download.files}
    entries = _manifest(place)

    def matches(file: str) -> bool:
        entry = entries.get(file)
        if not isinstance(entry, dict) or entry.get("published_md5") != published.get(file):
            return False
        path = place / file
        return path.is_file() and path.stat().st_size == entry.get("bytes") and _sha256(path) == entry.get("sha256")

    return all(matches(file) for file in files)


def _is_published(path: Path, download: Download) -> bool:
    return path.is_file() and path.stat().st_size == download.num_bytes and md5(path) == download.md5


def _is_complete(place: Path, name: str, download: Download) -> bool:
    return vouched(place, name, download.files) or (
        not download.members and _is_published(place / download.file_name, download)
    )


def require_writable(place: Path) -> None:
    """Create a folder and check that it is writable.

    Raises:
        InputError: It cannot be created or written to.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(
            f"{place}: cannot write there ({error.strerror}); name another folder with --data-dir"
        ) from error


def fetch(name: str, folder: Path, *, progress: Shown | None = None) -> Path:
    """Download a published dataset; complete files are not downloaded again.

    Each file is downloaded under a temporary name and renamed once its checksum matches, so that a file with its final
    name is complete. A manifest beside the files records each one's SHA-256 and origin.

    Args:
        name: `cifar10` or `svhn`.
        folder: The data folder; the files are put into a subfolder.
        progress: Called with the progress, see `Shown`.

    Returns:
        The folder of the files.

    Raises:
        InputError: There is no such dataset, the folder cannot be written or has not enough room, the server cannot be
            reached, or a downloaded file is not the published one.
        ModuleNotFoundError: pooch is not installed.

    Example:
        `fetch("cifar10", default_folder())` returns `~/.cache/basinscope/data/cifar-10-batches-bin` on Linux.
    """
    check_choice("name", name, tuple(SOURCES))
    source = SOURCES[name]
    place = folder / source.folder
    require_writable(place)
    incomplete = [download for download in source.downloads if not _is_complete(place, name, download)]
    # Users who download an archive by hand often put it into the data folder itself.
    archives = {download.url: _archive_by_hand((folder, place), download) for download in incomplete}
    to_download = [download for download in incomplete if archives[download.url] is None]
    _require_room(place, incomplete, to_download)
    total, received = sum(download.num_bytes for download in to_download), 0
    for download in source.downloads:
        archive = archives.get(download.url)
        if archive is not None:
            _unpack(archive, download, place)
        elif download in to_download:
            _get(download, place, received, total, progress)
            received += download.num_bytes
        if download in incomplete or any(file not in _manifest(place) for file in download.files):
            _add_to_manifest(place, download)
    return place


def _archive_by_hand(folders: Iterable[Path], download: Download) -> Path | None:
    """Path of an archive that the user downloaded by hand; `None` if there is none."""
    paths = [folder / download.file_name for folder in folders] if download.members else []
    return next((path for path in paths if _is_published(path, download)), None)


def _require_room(place: Path, incomplete: Iterable[Download], to_download: Iterable[Download]) -> None:
    needed = sum(download.num_bytes for download in to_download) + sum(sum(one.members.values()) for one in incomplete)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{place}: {needed:,} bytes are needed, {free:,} are free; free some space or change --data-dir"
        )


class _Counter:
    """Progress bar for pooch."""

    def __init__(self, download: Download, received: int, total: int, progress: Shown | None) -> None:
        self._download, self._come, self._all, self._progress = download, received, total, progress
        self._done = 0

    @property
    def total(self) -> int:
        return self._download.num_bytes

    @total.setter
    def total(self, announced: int) -> None:
        # Set by pooch before it writes anything; 0 if the server does not report a size.
        if announced not in (0, self._download.num_bytes):
            raise InputError(
                f"{self._download.url}: the server offers {announced:,} bytes, {self._download.num_bytes:,} were "
                f"published; try again later, or {_HAND}"
            )

    def update(self, num: int) -> None:
        # pooch counts the last chunk as a full one.
        self._done = min(self._done + num, self.total)
        if self._progress is not None:
            self._progress(self._download.file_name, self._come + self._done, self._all)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _get(download: Download, place: Path, received: int, total: int, progress: Shown | None) -> None:
    """Download one file into `place`; unpack it if it is an archive."""
    partial = place / f"{PARTIAL}{os.getpid()}-{download.file_name}"
    try:
        _transfer(download, partial, _Counter(download, received, total, progress))
        if not _is_published(partial, download):
            raise InputError(
                f"{download.url}: the downloaded file is not the published one (its MD5 is not {download.md5}) "
                f"and was removed; try again, or {_HAND}"
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
        # The checksum is that of the published file: ask the server not to compress it again.
        headers={"Accept-Encoding": "identity"},
        # pooch leaves the connection open if a transfer is interrupted.
        hooks={"response": lambda answer, **_: answers.append(answer)},
    )
    try:
        transfer(download.url, str(partial), None)
    except RequestException as error:
        raise InputError(f"{download.url}: {_reason(error)}; try again, or {_HAND}") from error
    except OSError as error:
        # The system's error for a full disk lacks the file name.
        raise OSError(error.errno, error.strerror, str(partial.parent)) from error
    finally:
        for answer in answers:
            answer.close()


def _reason(error: Exception) -> str:
    """Short description of why a request failed."""
    from requests.exceptions import HTTPError, Timeout

    if isinstance(error, HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, Timeout):
        return f"no answer within {WAIT_SECONDS} s"
    innermost: BaseException = error
    while inner := innermost.__cause__ or innermost.__context__:
        innermost = inner
    reason = getattr(innermost, "strerror", None) or type(innermost).__name__
    return f"the connection failed ({reason})"


def _unpack(archive: Path, download: Download, place: Path) -> None:
    """Extract the expected files from an archive, and nothing else.

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
                if member.size != missing.pop(member.name) or not _extract(tar, member, path):
                    raise InputError(f"{download.url}: {member.name} in it is not the published file; {_HAND}")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{download.url}: the archive cannot be unpacked ({error}); {_HAND}") from error
    if missing:
        raise InputError(f"{download.url}: {', '.join(missing)} not in the archive; {_HAND}")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bool:
    """Write a member's content to `path`; return False without writing if it is not a plain file."""
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


def _add_to_manifest(place: Path, download: Download) -> None:
    """Add a download's files to the manifest."""
    entries = _manifest(place)
    for file in download.files:
        path = place / file
        entries[file] = {
            "sha256": _sha256(path),
            "bytes": path.stat().st_size,
            "source": download.url,
            "published_md5": download.md5,
        }
    text = json.dumps({"files": entries}, indent=1, sort_keys=True) + "\n"
    partial = place / f"{PARTIAL}{os.getpid()}-{MANIFEST}"
    partial.write_text(text, encoding="utf-8")
    partial.replace(place / MANIFEST)
