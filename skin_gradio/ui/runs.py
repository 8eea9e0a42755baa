"""The batch runs of all sessions: files, rows and results on disk in a folder of each run's own, until it expires."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skin_gradio import batch
from skin_gradio.classifier import Classifier, Prior
from skin_gradio.labels import Labels, Match, match
from skin_gradio.ui.dropzone import Upload
from skin_gradio.ui.expiry import INTERVAL_SECONDS, LIFETIME_SECONDS, keep_doing
from skin_gradio.ui.rows import Rows
from skin_gradio.ui.view import LAYOUTS, PAGE_ROWS, SIDES, SORT_KEYS, STATUSES, View
from skin_gradio.ui.words import language

CSV_SUFFIXES: dict[Prior, str] = {"collection": "training-mix", "equal": "equal-mix"}


class Run:
    """One batch run: its files, the model that answers them, its rows, and how they are looked at.

    The uploads get a second name in the run's folder, so that they stay until the run expires, however long it takes.
    `language` is what its session speaks now: an event that takes long only knows what was spoken when it began.

    Args:
        classifier: the model; the session may choose another one meanwhile, the run keeps this one.
        prior: which mix of diagnoses the shown probabilities are for.
        uploads: what is to be classified.
        lost: how many more files were to be, whose uploads have expired.
    """

    def __init__(self, classifier: Classifier, prior: Prior, uploads: Sequence[Upload] = (), lost: int = 0):
        self.classifier = classifier
        self.point = classifier.operating_point()
        self.folder = Path(tempfile.mkdtemp(prefix="skin-run-"))
        self.rows = Rows(self.folder, classifier.model, prior, self.point.threshold)
        self.uploads = keep_uploads(uploads, self.folder)
        paths, names = [upload.path for upload in self.uploads], [upload.name for upload in self.uploads]
        self.total = batch.count_items(paths, names)
        self.lost = lost
        self.view = View()
        self.language = language()
        self.labels: tuple[Labels, Match] | None = None
        self.finished = False
        self.started = self.used = time.monotonic()
        self.seconds = 0.0
        self.cancelled = threading.Event()
        self.report_stopped = threading.Event()
        self.writing = threading.Lock()
        """Held while a CSV is written."""
        self._begun = threading.Lock()

    def begin(self) -> bool:
        """Say whether the run may begin now; it may once."""
        return self._begun.acquire(blocking=False)

    @property
    def prior(self) -> Prior:
        """The mix of diagnoses that the shown probabilities are for."""
        return self.rows.prior

    def csv(self, prior: Prior) -> Path:
        """Return where the CSV for a mix of diagnoses is written; its name says which."""
        return self.folder / f"skin-lesions-{CSV_SUFFIXES[prior]}.csv"

    @property
    def report(self) -> Path:
        """Where the report for the present mix of diagnoses is written; its name says which."""
        return self.folder / f"skin-lesions-report-{CSV_SUFFIXES[self.prior]}.zip"

    @property
    def pages(self) -> int:
        """How many pages the rows of the view fill so far; at least one."""
        return max(1, -(-self.rows.matching(self.view) // PAGE_ROWS))

    def look(self, wish: dict[str, Any]) -> None:
        """Change the view as a control of the page asks; what makes no sense changes nothing.

        A wish is one of sort, page, layout, diagnosis, side and status with its value. Sorting by the same key again
        turns the order round; figures start with the highest. Any but a page turns to the first page.
        """
        if isinstance(page := wish.get("page"), int):
            self.view = replace(self.view, page=min(max(page, 0), self.pages - 1))
        if (key := wish.get("sort")) in tuple(SORT_KEYS):
            again = key == self.view.key
            down = not self.view.descending if again else key in ("probability", "score")
            self.view = replace(self.view, key=key, descending=down, page=0)
        codes = self.classifier.model.codes
        choices = {"layout": LAYOUTS, "diagnosis": ("", *codes), "side": ("", *SIDES), "status": ("", *STATUSES)}
        for name, allowed in choices.items():
            if wish.get(name) in allowed:
                self.view = replace(self.view, **{name: wish[name], "page": 0})

    def compare(self, labels: Labels) -> None:
        """Set the user's labels against the rows."""
        found = match(labels, self.rows.files())
        self.rows.set_labels(found.codes)
        self.labels = labels, found

    def stop(self) -> None:
        """Stop what the run is doing: classifying, or else making a report. What it has done stays."""
        (self.report_stopped if self.finished else self.cancelled).set()

    def finish(self) -> None:
        """Note that no more rows will come."""
        self.used = time.monotonic()
        self.seconds = self.used - self.started
        self.finished = True

    def delete(self) -> None:
        """Stop the run and delete its folder."""
        self.cancelled.set()
        self.report_stopped.set()
        self.rows.delete()
        shutil.rmtree(self.folder, ignore_errors=True)


def keep_uploads(uploads: Sequence[Upload], folder: Path) -> list[Upload]:
    """Return the uploads under second names in a folder, so that they stay when uploads expire."""
    return [_kept(upload, folder / f"{i}{upload.path.suffix}") for i, upload in enumerate(uploads)]


def _kept(upload: Upload, path: Path) -> Upload:
    """Return the upload under a name that does not go when uploads expire; itself where it has gone already."""
    try:
        os.link(upload.path, path)
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(upload.path, path)
        except OSError:
            return upload
    return replace(upload, path=path)


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
        """Stop what a session's run is doing; what it has done stays."""
        if run := self.of(session):
            run.stop()

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

    def watch(self, interval: float = INTERVAL_SECONDS) -> None:
        """Delete expired runs every `interval` seconds, in a thread that ends with the program."""
        keep_doing("expire runs", self.delete_expired, interval)
