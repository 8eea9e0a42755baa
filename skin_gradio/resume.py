"""A CSV of an earlier, unfinished batch -> which of its files need not be classified again."""

import csv
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skin_gradio import lesions
from skin_gradio.classifier import Prior
from skin_gradio.csv_rows import csv_columns, written
from skin_gradio.models import ModelFolder


class NotResumable(ValueError):
    """A CSV that a batch cannot go on with; the message names it, says why and what to do."""


class Finished:
    """The rows that a CSV has; their names are kept on disk, as there may be any number of them.

    Attributes:
        rows: how many there are.
        failed: how many of them failed.
        end: bytes of the file up to the end of the last whole row.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.failed = 0
        self.end = 0
        self._names = sqlite3.connect("")  # a database of its own in a file that goes with it
        self._names.execute("CREATE TABLE names (name BLOB PRIMARY KEY, rows INTEGER) WITHOUT ROWID")

    def add(self, name: str, failed: bool) -> None:
        """Note a row; `name` is as the CSV has it."""
        self.rows += 1
        self.failed += failed
        self._names.execute(
            "INSERT INTO names VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET rows = rows + 1", (name.encode(),)
        )

    def take(self, name: str) -> bool:
        """Say whether a file has a row, and use that row up: two files of one name need two.

        Args:
            name: the file's name as its row has it, before the CSV's own escapes.
        """
        taken = self._names.execute(
            "UPDATE names SET rows = rows - 1 WHERE name = ? AND rows > 0", (written(name).encode(),)
        )
        return taken.rowcount > 0


def read_finished(path: Path, model: ModelFolder, prior: Prior) -> Finished:
    """Return the rows of a CSV that `skin_gradio.csv_rows.CsvWriter` wrote, perhaps not to its end.

    What follows the last whole row, cut off by a crash, is not counted: `Finished.end` is where to go on.

    Args:
        path: the file.
        model: the model that shall go on.
        prior: the mix of cases that its probabilities shall be for.

    Raises NotResumable when the file has other columns, or rows of another model or for another mix of cases.
    """
    finished = Finished()
    columns = csv_columns(model.codes)
    with open(path, "rb") as handle:
        try:
            for number, (fields, end) in enumerate(_records(handle)):
                if number == 0 and fields != columns:
                    raise NotResumable(f"{path} has other columns than this model's CSV; {_ADVICE}")
                if len(fields) != len(columns):
                    raise NotResumable(f"{path} has a row of {len(fields)} instead of {len(columns)} cells; {_ADVICE}")
                if number:
                    row = dict(zip(columns, fields, strict=True))
                    _check(path, row, model, prior)
                    finished.add(row["file"], row["status"] == "failed")
                finished.end = end
        except csv.Error as error:
            raise NotResumable(f"{path} is damaged after row {finished.rows} ({error}); {_ADVICE}") from None
        handle.seek(0)
        if not finished.end and not ",".join(columns).startswith(
            handle.read(10_000).decode("utf-8", "replace").rstrip()
        ):
            raise NotResumable(f"{path} is no CSV of this command; {_ADVICE}")
    return finished


_ADVICE = "name another file, or give --fresh to write it anew."


def _records(handle: Iterator[bytes]) -> Iterator[tuple[list[str], int]]:
    """Yield the whole records of a CSV file and where each ends, in bytes; csv.Error where one before the last is not.

    A file that is cut off anywhere has a last record without its line's end, or that ends inside quotes.
    """
    end, last, read = 0, b"", False

    def lines() -> Iterator[str]:
        nonlocal end, last, read
        for last in handle:
            end += len(last)
            yield last.decode("utf-8", errors="replace")
        read = True

    records = csv.reader(lines(), strict=True)
    try:
        for fields in records:
            if not last.endswith(b"\r\n"):
                return
            yield fields, end
    except csv.Error:
        if not read:
            raise


def _check(path: Path, row: dict[str, str], model: ModelFolder, prior: Prior) -> None:
    if (row["model_name"], row["model_revision"]) != (model.name, model.revision):
        raise NotResumable(
            f"{path} holds rows of {row['model_name']} ({row['model_revision']}), and this is {model.name}"
            f" ({model.revision}); {_ADVICE}"
        )
    if row["status"] == "failed":
        return
    try:
        probabilities = np.array([float(row[code]) for code in model.codes])
        score = float(row["malignancy_score"])
    except ValueError:
        raise NotResumable(f"{path} has a row without figures for {row['file']}; {_ADVICE}") from None
    if not _holds_for(prior, probabilities, score, model):
        raise NotResumable(f"{path} holds probabilities for another mix of diagnoses than {prior!r}; {_ADVICE}")


def _holds_for(prior: Prior, probabilities: np.ndarray, score: float, model: ModelFolder) -> bool:
    """Say whether probabilities are for a mix of cases.

    The malignancy score is the malignant diagnoses' share in the training collection's mix, whatever the mix of the
    probabilities, so it tells that mix.
    """
    weights = probabilities * np.asarray(model.prior) if prior == "equal" else probabilities
    share = weights[lesions.malignant_mask(model.codes)].sum() / max(weights.sum(), 1e-12)
    return bool(np.isclose(share, score, rtol=1e-3, atol=1e-5))
