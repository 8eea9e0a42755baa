"""The rows of a batch run on disk: sorted, filtered, counted, and shown a page at a time.

Nothing here grows in memory with the number of files, but for the labels that a user adds.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skin_gradio import lesions
from skin_gradio.archives import Place
from skin_gradio.batch import Row
from skin_gradio.classifier import Finding, Prior, at_prior
from skin_gradio.input_gate import Doubt
from skin_gradio.models import ModelFolder
from skin_gradio.ui.view import PAGE_ROWS, SCORE_BINS, SORT_KEYS, ShownRow, Summary, View

_AT_ONCE = 500
_NOTHING = np.empty(0, np.float32)
# Figures and pictures lie apart, so that sorting and counting read little.
_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE rows (number INTEGER PRIMARY KEY, file TEXT, path TEXT, entry INTEGER, status TEXT, reason TEXT,
                   doubts TEXT, code TEXT, name TEXT, probability REAL, score REAL, label TEXT DEFAULT '');
CREATE TABLE blobs (number INTEGER PRIMARY KEY, probabilities BLOB, thumbnail BLOB);
"""
_SHOWN = "number, file, status, reason, code, name, probability, score, label, thumbnail"
_ROWS = "rows JOIN blobs USING (number)"


class Rows:
    """The rows of one run; safe to read from one thread while another one adds some. Empty once deleted.

    Args:
        folder: where the database goes.
        model: whose findings the rows hold.
        prior: which mix of diagnoses the shown probabilities are for.
        threshold: of the malignancy score; from it on, a score is a higher one.
    """

    def __init__(self, folder: Path, model: ModelFolder, prior: Prior, threshold: float):
        self.count = 0
        self.failed = 0
        self.prior: Prior = prior
        self.threshold = threshold
        self._codes = model.codes
        self._mix = np.asarray(model.prior, np.float64)
        self._lock = threading.Lock()
        self._deleted = False
        self._table = sqlite3.connect(folder / "rows.sqlite", check_same_thread=False, isolation_level=None)
        self._table.executescript(_SCHEMA)
        self._table.create_function("agree", 2, lesions.agree, deterministic=True)

    def add(self, row: Row) -> None:
        """Keep a row that has just finished; its probabilities must be for the training collection's mix."""
        path, entry = row.place or (None, None)
        figures: tuple[Any, ...] = ("", "", "", None, None)
        probabilities = None
        if finding := row.finding:
            probabilities = np.asarray(finding.probabilities, np.float64)
            doubts = " ".join(doubt.code for doubt in finding.doubts)
            figures = (doubts, *self._top(probabilities), finding.malignancy_score)
        place = (None if path is None else str(path).encode("utf-8", "surrogateescape"), entry)
        with self._lock:
            if self._deleted:
                return
            number = self.count + 1
            self._table.execute(
                "INSERT INTO rows (number, file, path, entry, status, reason, doubts, code, name, probability, score)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, row.file, *place, row.status, row.reason, *figures),
            )
            blob = None if probabilities is None else probabilities.tobytes()
            self._table.execute("INSERT INTO blobs VALUES (?, ?, ?)", (number, blob, row.thumbnail))
            self.count = number
            self.failed += row.status == "failed"

    def _top(self, probabilities: np.ndarray) -> tuple[str, str, float]:
        shown = at_prior(probabilities, self._mix, self.prior)
        place = int(shown.argmax())
        return self._codes[place], lesions.BY_CODE[self._codes[place]].name, float(shown[place])

    def set_prior(self, prior: Prior) -> None:
        """Show every row, and those to come, for another mix of diagnoses."""
        with self._lock:
            if prior == self.prior or self._deleted:
                return
            self.prior = prior
            for first in range(0, self.count, _AT_ONCE):
                kept = self._table.execute(
                    "SELECT number, probabilities FROM blobs"
                    " WHERE number > ? AND number <= ? AND probabilities NOT NULL",
                    (first, first + _AT_ONCE),
                ).fetchall()
                self._table.executemany(
                    "UPDATE rows SET code = ?, name = ?, probability = ? WHERE number = ?",
                    [(*self._top(np.frombuffer(blob)), number) for number, blob in kept],
                )

    def _ask(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._lock:
            return [] if self._deleted else self._table.execute(sql, tuple(values)).fetchall()

    def page(self, view: View) -> list[ShownRow]:
        """Return the rows of the page that a view asks for, at most PAGE_ROWS."""
        return list(self._rows(self._numbers(view, PAGE_ROWS, view.page * PAGE_ROWS)))

    def first(self, view: View, limit: int) -> Iterator[ShownRow]:
        """Yield the first rows that a view's filters let pass, in its order, whatever page it shows."""
        return self._rows(self._numbers(view, limit, 0))

    def shown(self, number: int) -> ShownRow | None:
        """Return the row with a number; None if there is none."""
        return next(self._rows([number]), None)

    def _numbers(self, view: View, limit: int, offset: int) -> list[int]:
        condition, values = self._condition(view)
        order = ", ".join(f"{part} {'DESC' if view.descending else 'ASC'}" for part in SORT_KEYS[view.key])
        sql = f"SELECT number FROM rows WHERE {condition} ORDER BY {order}, number LIMIT ? OFFSET ?"
        return [number for (number,) in self._ask(sql, (*values, limit, offset))]

    def _rows(self, numbers: Iterable[int]) -> Iterator[ShownRow]:
        for number in numbers:
            for found in self._ask(f"SELECT {_SHOWN} FROM {_ROWS} WHERE number = ?", (number,)):
                yield ShownRow(*found)

    def _condition(self, view: View) -> tuple[str, list[Any]]:
        conditions, values = ["1"], list[Any]()
        if view.diagnosis:
            conditions.append("code = ?")
            values.append(view.diagnosis)
        if view.side:
            conditions.append("score >= ?" if view.side == "higher" else "score < ?")
            values.append(self.threshold)
        if view.status == "differs":
            conditions.append("label != '' AND code != '' AND NOT agree(label, code)")
        elif view.status:
            conditions.append("status = ?")
            values.append(view.status)
        return " AND ".join(conditions), values

    def matching(self, view: View) -> int:
        """Return how many rows a view's filters let pass."""
        if not view.filtered:
            return self.count
        condition, values = self._condition(view)
        found = self._ask(f"SELECT COUNT(*) FROM rows WHERE {condition}", values)
        return int(found[0][0]) if found else 0

    def place(self, number: int) -> Place | None:
        """Return where the picture of a row lies; None where it has none."""
        found = self._ask("SELECT path, entry FROM rows WHERE number = ? AND path NOT NULL", (number,))
        return Place(Path(found[0][0].decode("utf-8", "surrogateescape")), found[0][1]) if found else None

    def all(self, prior: Prior) -> Iterator[Row]:
        """Yield every row without its thumbnail in the order of the files, probabilities for a mix of diagnoses."""
        number = 0
        while True:
            chunk = self._ask(
                f"SELECT number, file, status, reason, doubts, probabilities, score FROM {_ROWS} WHERE number > ?"
                " ORDER BY number LIMIT ?",
                (number, _AT_ONCE),
            )
            if not chunk:
                return
            number = chunk[-1][0]
            for _, file, status, reason, doubts, blob, score in chunk:
                finding = None
                if blob is not None:
                    probabilities = at_prior(np.frombuffer(blob), self._mix, prior)
                    named = tuple(Doubt(code, "") for code in doubts.split())
                    finding = Finding(self._codes, probabilities, prior, score, _NOTHING, _NOTHING, named)
                yield Row(file, status, reason, finding, None)

    def summary(self) -> Summary:
        """Return the counts of all rows so far."""
        bins = [0] * SCORE_BINS
        for place, count in self._ask(
            "SELECT MIN(CAST(score * ? AS INTEGER), ?), COUNT(*) FROM rows WHERE score NOT NULL GROUP BY 1",
            (SCORE_BINS, SCORE_BINS - 1),
        ):
            bins[place] = count
        return Summary(
            dict(self._ask("SELECT status, COUNT(*) FROM rows GROUP BY status")),
            dict(self._ask("SELECT code, COUNT(*) FROM rows WHERE code != '' GROUP BY code ORDER BY COUNT(*) DESC")),
            tuple(bins),
            self.matching(View(side="higher")),
        )

    def files(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the name of every file that has figures."""
        number = 0
        while chunk := self._ask(
            "SELECT number, file FROM rows WHERE number > ? AND code != '' ORDER BY number LIMIT ?", (number, _AT_ONCE)
        ):
            number = chunk[-1][0]
            yield from chunk

    def set_labels(self, codes: Mapping[int, str]) -> None:
        """Keep the user's diagnosis of files by their numbers, in place of all earlier ones."""
        with self._lock:
            if not self._deleted:
                self._table.execute("BEGIN")
                self._table.execute("UPDATE rows SET label = ''")
                self._table.executemany(
                    "UPDATE rows SET label = ? WHERE number = ?", ((code, number) for number, code in codes.items())
                )
                self._table.execute("COMMIT")

    def labelled(self) -> list[tuple[str, str, float]]:
        """Return label, most probable diagnosis and malignancy score of every row that has a label."""
        return self._ask("SELECT label, code, score FROM rows WHERE label != '' AND code != ''")

    def delete(self) -> None:
        """Forget everything."""
        with self._lock:
            self._deleted = True
            self._table.close()
