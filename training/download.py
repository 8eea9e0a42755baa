"""Downloads that go on where they were cut off and are never taken for whole before they are checked.

A file grows as NAME.partial and gets its name only when it is complete and its checksums are right. Libraries for this
(pooch, torchvision, kagglehub's own) start a file of gigabytes over after a cut, or resume from their own host alone;
so HTTP is httpx' and the few lines of resuming are here.
"""

import contextlib
import email.utils
import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from skin_gradio import __version__
from training.command import UserError

ATTEMPTS = 6
"""Failures in a row, none of which brought a byte, after which a download is given up."""
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for a longer pause gets this one."""
_CHUNK_BYTES = 1 << 20
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT)

Report = Callable[[str, int, int | None, str], None]
"""Called with what is going on, how much is done, of how much (None where nobody knows), and in what unit."""
T = TypeVar("T")


class DownloadError(UserError):
    """A file cannot be had, or is not the one that was published."""


class _Interrupted(Exception):
    """A fault that may pass; `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0):
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Remote:
    """A file to download; checksums are hexadecimal, empty where none was published."""

    name: str
    url: str
    md5: str = ""
    sha256: str = ""
    size: int | None = None
    """Bytes."""


def open_client() -> httpx.Client:
    """Return an HTTP client that follows redirects and gives up on a silent server after a minute."""
    agent = f"skin-gradio/{__version__} (training.prepare)"
    return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(60, connect=20), headers={"User-Agent": agent})


def fetch(remote: Remote, folder: Path, client: httpx.Client, report: Report | None = None) -> str:
    """Download a file into `folder`, unless it is there, check it and return its sha256.

    Two processes must not fetch one file at once; `exclusive` keeps the second out. Raises DownloadError for a server
    that refuses or keeps failing, a full disk, and a file that is not what `remote` says; that one is removed.
    """
    path, partial = folder / remote.name, folder / f"{remote.name}.partial"
    if not path.exists():
        with full_disk_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _insist(lambda: _receive(remote, partial, client, report), lambda: _size(partial))
    found = path if path.exists() else partial
    sha256 = _check(found, remote)
    found.replace(path)
    _validator(partial).unlink(missing_ok=True)
    return sha256


def get_json(url: str, client: httpx.Client) -> Any:
    """Return what an address answers, read as JSON. Raises DownloadError as `fetch` does."""

    def get() -> Any:
        with _passing_faults(url):
            response = client.get(url)
        _refuse(response)
        return response.json()

    try:
        return _insist(get, lambda: 0)
    except ValueError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"{url} did not answer with JSON.") from error


def digests(path: Path) -> dict[str, str]:
    """Return a file's md5 and sha256, hexadecimal."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes that prepare the same folder waiting until the block is left."""
    import filelock

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"Another process is preparing {folder}; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left" into a DownloadError that says where and how much."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL and "requested and" not in str(error):  # NumPy's words, without the number
            raise
        raise _full(folder) from error


def require_space(folder: Path, needed: int) -> None:
    """Raise DownloadError unless the disk of `folder`, which exists, has `needed` bytes left."""
    if needed > shutil.disk_usage(folder).free:
        raise _full(folder, needed)


def _full(folder: Path, needed: int | None = None) -> DownloadError:
    free = shutil.disk_usage(folder).free
    more = f"{needed / 1e9:.1f} GB more are needed and " if needed else ""
    return DownloadError(
        f"The disk is full: {more}{free / 1e9:.1f} GB are free at {folder}. Make room, or name another place with"
        " --data; what is already there is kept, run the same command again."
    )


def _insist(attempt: Callable[[], T], reached: Callable[[], int]) -> T:
    """Repeat an attempt until it succeeds, waiting longer each time; what gets further starts counting anew."""
    failures, farthest = 0, reached()
    while True:
        try:
            return attempt()
        except _Interrupted as fault:
            failures = 1 if reached() > farthest else failures + 1
            farthest = max(farthest, reached())
            if failures >= ATTEMPTS:
                raise DownloadError(f"{fault} Gave up after {ATTEMPTS} attempts; run it again to go on.") from fault
            wait = min(LONGEST_WAIT, max(fault.wait, 2.0 ** (failures - 1)))
            print(f"{fault} Trying again in {wait:.0f} s.", flush=True)
            time.sleep(wait)


def _receive(remote: Remote, partial: Path, client: httpx.Client, report: Report | None) -> None:
    """Bring a partial file to its end, from where it is if the server still has the same file."""
    have, headers = 0, {"Accept-Encoding": "identity"}
    if _size(partial) and _validator(partial).exists():
        have = _size(partial)
        headers |= {"Range": f"bytes={have}-", "If-Range": _validator(partial).read_text(encoding="utf-8")}
    with _passing_faults(remote.url), client.stream("GET", remote.url, headers=headers) as response:
        start, end = _extent(response)
        if response.status_code == 416 and end == have:
            return
        if response.status_code == 416 or (response.status_code == 206 and start != have):
            partial.unlink()
            raise _Interrupted(f"{remote.name} cannot be continued at byte {have}.")
        _refuse(response)
        if "text/html" in response.headers.get("content-type", ""):
            raise DownloadError(
                f"{remote.url} answered with a web page, not with {remote.name}: it may want a browser. Download it"
                " there and use --from."
            )
        resumed = response.status_code == 206
        require_space(partial.parent, (end or 0) - (have if resumed else 0))
        with partial.open("ab" if resumed else "wb") as file:
            if not resumed:
                _remember_validator(response, partial)
            for chunk in response.iter_raw():  # a chunk size would hold back bytes that a cut then loses
                file.write(chunk)
                if report:
                    report(remote.name, file.tell(), end, "bytes")
    if end is not None and _size(partial) != end:
        raise _Interrupted(f"{remote.name} was cut off at byte {_size(partial)} of {end}.")


def _extent(response: httpx.Response) -> tuple[int, int | None]:
    """Return the byte at which an answer starts and the whole file's length, where it is told."""
    if match := re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("content-range", "")):
        return int(match[1] or 0), None if match[2] == "*" else int(match[2])
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isdigit() and response.status_code == 200 else None


def _validator(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _remember_validator(response: httpx.Response, partial: Path) -> None:
    """Keep what tells this version of a file from another; without it a cut download starts over."""
    etag = response.headers.get("etag", "")
    mark = etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", "")
    if mark:
        _validator(partial).write_text(mark, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


@contextlib.contextmanager
def _passing_faults(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise _Interrupted(f"{url.partition('?')[0]}: {str(error) or type(error).__name__}.") from error


def _refuse(response: httpx.Response) -> None:
    """Raise for an answer that is no file: _Interrupted where it may pass, else DownloadError."""
    if response.status_code in (200, 206):
        return
    url = response.request.url.copy_with(query=None)
    message = f"{url} answered {response.status_code} {response.reason_phrase}."
    if response.status_code in _PASSING:
        raise _Interrupted(message, _retry_after(response))
    raise DownloadError(message)


def _retry_after(response: httpx.Response) -> float:
    """Return the pause a server asks for, in seconds: it names them, or a time of day."""
    text = response.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    with contextlib.suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _check(path: Path, remote: Remote) -> str:
    """Return the file's sha256; where it is not the file that was published, remove it and raise DownloadError."""
    found, size = digests(path), path.stat().st_size
    expected = {"md5": remote.md5, "sha256": remote.sha256}
    wrong = [
        f"{kind} {found[kind]} instead of {value}" for kind, value in expected.items() if value not in ("", found[kind])
    ]
    if remote.size not in (None, size):
        wrong.append(f"{size} bytes instead of {remote.size}")
    if wrong:
        path.unlink()
        _validator(path).unlink(missing_ok=True)
        raise DownloadError(
            f"{path.parent / remote.name} is not the expected file: {', '.join(wrong)}. It was removed; run it again to"
            f" download it from {remote.url}."
        )
    return found["sha256"]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
