"""Rows of a batch -> a CSV file, written as they come."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from skin_gradio.batch import Row
from skin_gradio.models import ModelFolder

# What a spreadsheet may take for a formula, also behind white space or invisible characters; and the same signs in the
# widths of East Asian typography.
_FORMULA = re.compile("[\\s\x00-\x1f\u200b\ufeff]*[=+\\-@\t\r\n\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20]")


def csv_columns(codes: Sequence[str]) -> list[str]:
    """Return the columns of the CSV for a model's class codes."""
    after = ("malignancy_score", "top_diagnosis", "doubts", "model_name", "model_revision")
    return ["file", "status", "reason", *codes, *after]


class CsvWriter:
    """A context manager that writes rows to a CSV file (RFC 4180, UTF-8), readable at any time.

    Text that a spreadsheet could take for a formula gets a leading apostrophe. All text is in quotes, so that a
    spreadsheet which splits at semicolons finds no cell inside a name. Numbers have 6 significant digits.

    Args:
        path: the file.
        model: the model that made the findings.
        append: go on behind the rows of a file that has its heading; else the file is written anew.
    """

    def __init__(self, path: str | Path, model: ModelFolder, append: bool = False):
        self._path = path
        self._model = model
        self._append = append

    def __enter__(self) -> Self:
        mode = "a" if self._append else "w"
        self._file = open(self._path, mode, newline="", encoding="utf-8", errors="backslashreplace")
        self._rows = csv.writer(self._file, quoting=csv.QUOTE_NONNUMERIC)
        if not self._append:
            csv.writer(self._file).writerow(csv_columns(self._model.codes))
            self._file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, row: Row) -> None:
        """Append one row; it is in the file when this returns."""
        figures: list[float | str] = [""] * (len(self._model.codes) + 1)
        if row.finding:
            figures = [float(f"{p:.6g}") for p in (*row.finding.probabilities, row.finding.malignancy_score)]
        top = row.finding.top if row.finding else ""
        doubts = " ".join(doubt.code for doubt in row.finding.doubts) if row.finding else ""
        texts = (row.file, row.status, row.reason), (top, doubts, self._model.name, self._model.revision)
        before, after = ([written(text) for text in part] for part in texts)
        self._rows.writerow([*before, *figures, *after])
        self._file.flush()


def written(text: str) -> str:
    """Return text as the CSV has it, with an apostrophe before what a spreadsheet could take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
