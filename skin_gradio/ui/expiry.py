"""Deletes what was uploaded, and what was made of it, when its time has come.

Gradio knows only of its own uploads and downloads, and goes by the clock on the wall. This also finds the rest,
pictures that came with an MCP request and the CSV files of the endpoints, and goes by a clock that never jumps.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LIFETIME_SECONDS = 3600.0
INTERVAL_SECONDS = 300.0


def keep_doing(name: str, work: Callable[[], None], interval: float = INTERVAL_SECONDS) -> None:
    """Do something now and then, in a thread that ends with the program and outlives what the work raises.

    Args:
        name: the thread's; what the work raises is logged under it.
        work: what is done.
        interval: seconds between one time's end and the next.
    """

    def loop() -> None:
        while True:
            try:
                work()
            except Exception:  # a full disk now is no reason never to delete anything again
                logging.getLogger(__name__).exception("%s failed; it is tried again in %.0f s", name, interval)
            time.sleep(interval)

    threading.Thread(target=loop, name=name, daemon=True).start()


class _Seen(NamedTuple):
    """A file or folder as it was found, and when it was first found like that, monotonic seconds."""

    inode: int
    changed: int
    since: float


class Expiry:
    """The files in a folder, and for how long each has been there unchanged.

    A file's times are of no use for that: when the computer's clock is set right, or the hour changes, every file
    would be too old at once, or would stay for ever.

    Args:
        folder: what lies below it expires; the folder itself stays.
        age: after how many seconds.
        forget: is told the path of each file that is deleted.
    """

    def __init__(
        self, folder: Path, age: float = LIFETIME_SECONDS, forget: Callable[[str], object] = lambda path: None
    ):
        self._folder = folder
        self._age = age
        self._forget = forget
        self._seen: dict[Path, _Seen] = {}

    def sweep(self, now: float | None = None) -> None:
        """Delete the files that have not changed since a sweep at least `age` seconds ago, and such emptied folders.

        Args:
            now: monotonic seconds; those of this moment when None.
        """
        now = time.monotonic() if now is None else now
        seen: dict[Path, _Seen] = {}
        for parent, _, names in os.walk(self._folder, topdown=False):
            found = [Path(parent, name) for name in names]
            for path in found if Path(parent) == self._folder else [*found, Path(parent)]:
                with contextlib.suppress(OSError):  # gone meanwhile, or a folder that is not empty
                    seen[path] = self._looked_at(path, now)
                    if now - seen[path].since >= self._age:
                        _delete(path)
                        self._forget(str(path))
        self._seen = seen

    def _looked_at(self, path: Path, now: float) -> _Seen:
        stat = path.lstat()
        before = self._seen.get(path)
        if before and (before.inode, before.changed) == (stat.st_ino, stat.st_ctime_ns):
            return before
        return _Seen(stat.st_ino, stat.st_ctime_ns, now)

    def watch(self, interval: float = INTERVAL_SECONDS) -> None:
        """Sweep every `interval` seconds, in a thread that ends with the program."""
        keep_doing("expire uploads", self.sweep, interval)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()  # a young empty folder may be about to be filled, so it waits as long as a file
    else:
        path.unlink()
