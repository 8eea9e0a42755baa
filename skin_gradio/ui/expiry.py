"""Deletes what was uploaded, and what was made of it, when its time has come.

Gradio deletes the uploads and downloads that it knows of; this also finds the rest: pictures that came with an MCP
request, and the CSV files of the endpoints.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

from skin_gradio.ui.runs import LIFETIME_SECONDS

INTERVAL_SECONDS = 300.0


def delete_expired(folder: Path, age: float = LIFETIME_SECONDS, now: float | None = None) -> None:
    """Delete the files in a folder that were last changed more than `age` seconds before `now`, and emptied folders."""
    limit = (time.time() if now is None else now) - age
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.lstat().st_ctime < limit:
                    path.unlink()
        if Path(parent) != folder:
            with contextlib.suppress(OSError):  # not empty
                _remove_if_old(Path(parent), limit)


def _remove_if_old(folder: Path, limit: float) -> None:
    # A young empty folder may be about to be filled.
    if folder.stat().st_ctime < limit:
        folder.rmdir()


def watch(folder: Path, interval: float = INTERVAL_SECONDS) -> None:
    """Delete a folder's expired files every `interval` seconds, in a thread that ends with the program."""

    def loop() -> None:
        while True:
            time.sleep(interval)
            delete_expired(folder)

    threading.Thread(target=loop, name="expire uploads", daemon=True).start()
