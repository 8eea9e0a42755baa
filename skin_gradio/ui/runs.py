"""What a batch run leaves behind: rows and thumbnails on disk in a folder of its own, until it expires.

Nothing here grows in memory with the number of files; the page asks for one sorted page of rows at a time.
"""

import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from skin_gradio import lesions
from skin_gradio.classifier import Prior, at_prior

PAGE_ROWS = 50
CSV_SUFFIXES: dict[Prior, str] = {"collection": "training-mix", "equal": "equal-mix"}
LIFETIME_SECONDS = 3600.0
# What a sort key means in SQL. Failed files have no figures and come last when the highest figure comes first.
SORT_KEYS = {
    "number": ("number",),
    "file": ("file COLLATE NOCASE",),
    "diagnosis": ("name",),
    "probability": ("probability",),
    "score": ("score",),
    "status": ("status", "reason"),
}
_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE rows (number INTEGER PRIMARY KEY, file TEXT, status TEXT, reason TEXT, code TEXT, name TEXT,
                   probability REAL, score REAL, thumbnail BLOB, probabilities BLOB)
"""


class ShownRow(NamedTuple):
    """A row as the page shows it; a failed file has a reason and neither diagnosis nor figures."""

    number: int
    file: str
    status: str
    reason: str
    code: str
    name: str
    probability: float | None
    score: float | None
    thumbnail: bytes | None


class KeptRow(NamedTuple):
    """What is kept of a row: `probabilities` float64 (classes,) at the collection's prior, None if it failed."""

    file: str
    status: Literal["ok", "failed"]
    reason: str
    probabilities: np.ndarray | None
    score: float | None
    thumbnail: bytes | None


@dataclass
class View:
    """Which rows the page shows: a sort key, its direction and the page, from 0."""

    key: str = "number"
    descending: bool = False
    page: int = 0


class Run:
    """One batch run's files and state; safe to read from one thread while another one adds rows.

    Args:
        codes: the model's diagnoses, in order.
        mix: how common each was in the training collection.
        prior: which mix of diagnoses the shown probabilities are for.
        total: how many files there are.
    """

    def __init__(self, codes: Sequence[str], mix: Sequence[float], prior: Prior, total: int):
        self.codes = tuple(codes)
        self.prior: Prior = prior
        self.total = total
        self.done = 0
        self.failed = 0
        self.finished = False
        self.started = self.used = time.monotonic()
        self.seconds = 0.0
        self.view = View()
        self.cancelled = threading.Event()
        self.folder = Path(tempfile.mkdtemp(prefix="skin-run-"))
        self._mix = np.asarray(mix, np.float64)
        self._lock = threading.Lock()
        self.writing = threading.Lock()
        """Held while a CSV is written."""
        self._deleted = False
        self._table = sqlite3.connect(self.folder / "rows.sqlite", check_same_thread=False, isolation_level=None)
        self._table.executescript(_SCHEMA)

    def csv(self, prior: Prior) -> Path:
        """Return where the CSV for a mix of diagnoses is written; its name says which."""
        return self.folder / f"skin-lesions-{CSV_SUFFIXES[prior]}.csv"

    @property
    def pages(self) -> int:
        """How many pages the rows fill so far; at least one."""
        return max(1, -(-self.done // PAGE_ROWS))

    def add(self, row: KeptRow) -> None:
        """Keep a row that has just finished."""
        blob = None if row.probabilities is None else np.asarray(row.probabilities, np.float64).tobytes()
        with self._lock:
            if self._deleted:
                return
            figures = ("", "", None) if row.probabilities is None else self._top(row.probabilities)
            self._table.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self.done + 1, row.file, row.status, row.reason, *figures, row.score, row.thumbnail, blob),
            )
            self.done += 1
            self.failed += row.status != "ok"

    def set_prior(self, prior: Prior) -> None:
        """Show every row, and those to come, for another mix of diagnoses."""
        with self._lock:
            if prior == self.prior or self._deleted:
                return
            self.prior = prior
            for first in range(0, self.done, 1000):
                kept = self._table.execute(
                    "SELECT number, probabilities FROM rows"
                    " WHERE number > ? AND number <= ? AND probabilities NOT NULL",
                    (first, first + 1000),
                ).fetchall()
                self._table.executemany(
                    "UPDATE rows SET code = ?, name = ?, probability = ? WHERE number = ?",
                    [(*self._top(np.frombuffer(blob)), number) for number, blob in kept],
                )

    def at_prior(self, probabilities: np.ndarray, prior: Prior) -> np.ndarray:
        """Return probabilities that hold for the training collection's mix for another one instead."""
        return at_prior(probabilities, self._mix, prior)

    def _top(self, probabilities: np.ndarray) -> tuple[str, str, float]:
        shown = self.at_prior(probabilities, self.prior)
        place = int(shown.argmax())
        return self.codes[place], lesions.BY_CODE[self.codes[place]].name, float(shown[place])

    def rows(self) -> list[ShownRow]:
        """Return the rows of the page that `view` asks for, at most PAGE_ROWS."""
        view = self.view
        order = ", ".join(f"{part} {'DESC' if view.descending else 'ASC'}" for part in SORT_KEYS[view.key])
        with self._lock:
            if self._deleted:
                return []
            found = self._table.execute(
                "SELECT number, file, status, reason, code, name, probability, score, thumbnail FROM rows"
                f" ORDER BY {order}, number LIMIT ? OFFSET ?",
                (PAGE_ROWS, view.page * PAGE_ROWS),
            ).fetchall()
        return [ShownRow(*values) for values in found]

    def kept_rows(self, prior: Prior) -> Iterator[KeptRow]:
        """Yield every row without its thumbnail in the order of the files, probabilities for a mix of diagnoses."""
        number = 0
        while True:
            with self._lock:
                if self._deleted:
                    return
                chunk = self._table.execute(
                    "SELECT number, file, status, reason, probabilities, score FROM rows WHERE number > ?"
                    " ORDER BY number LIMIT 500",
                    (number,),
                ).fetchall()
            if not chunk:
                return
            number = chunk[-1][0]
            for _, file, status, reason, blob, score in chunk:
                probabilities = None if blob is None else self.at_prior(np.frombuffer(blob), prior)
                yield KeptRow(file, status, reason, probabilities, score, None)

    def sort(self, key: str) -> None:
        """Sort by a key; by the same key again, turn the order round. Figures start with the highest."""
        if key in SORT_KEYS:
            again = key == self.view.key
            self.view = View(key, not self.view.descending if again else key in ("probability", "score"))

    def turn_to(self, page: int) -> None:
        """Show another page, the nearest one there is."""
        self.view.page = min(max(page, 0), self.pages - 1)

    def finish(self) -> None:
        """Note that no more rows will come."""
        self.used = time.monotonic()
        self.seconds = self.used - self.started
        self.finished = True

    def delete(self) -> None:
        """Stop the run and delete its folder."""
        self.cancelled.set()
        with self._lock:
            self._deleted = True
            self._table.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Runs:
    """The latest run of every browser session; nobody gets at another session's."""

    def __init__(self, lifetime: float = LIFETIME_SECONDS):
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def keep(self, session: str, run: Run) -> None:
        """Make a run its session's; the session's earlier one is stopped and deleted."""
        with self._lock:
            earlier = self._runs.pop(session, None)
            self._runs[session] = run
        if earlier:
            earlier.delete()

    def of(self, session: str) -> Run | None:
        """Return a session's run, if it has one."""
        with self._lock:
            run = self._runs.get(session)
            if run:
                run.used = time.monotonic()
            return run

    def cancel(self, session: str) -> None:
        """Stop a session's run; what it has done stays."""
        if run := self.of(session):
            run.cancelled.set()

    def delete_expired(self) -> None:
        """Delete the runs that have ended and that nobody has looked at for the lifetime."""
        limit = time.monotonic() - self._lifetime
        with self._lock:
            old = [
                session
                for session, run in self._runs.items()
                if run.used < limit and (run.finished or run.cancelled.is_set())
            ]
            runs = [self._runs.pop(session) for session in old]
        for run in runs:
            run.delete()

    def delete_all(self) -> None:
        """Stop and delete every run."""
        with self._lock:
            runs, self._runs = list(self._runs.values()), {}
        for run in runs:
            run.delete()

    def watch(self, interval: float = 300.0) -> None:
        """Delete expired runs every `interval` seconds, in a thread that ends with the program."""

        def loop() -> None:
            while True:
                time.sleep(interval)
                self.delete_expired()

        threading.Thread(target=loop, name="expire-runs", daemon=True).start()
