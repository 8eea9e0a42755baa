"""A user's own labels: a CSV of file names and diagnoses -> the diagnosis of each file of a batch."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skin_gradio import lesions

MAX_BYTES = 50_000_000
NAME_COLUMNS = ("image", "file", "image_id", "filename", "file_name", "name")
LABEL_COLUMNS = ("label", "dx", "diagnosis", "class")
_BY_TEXT = {text.lower(): code for code, d in lesions.BY_CODE.items() for text in (code, d.name)}


class UnusableLabels(ValueError):
    """A labels file that cannot be used; the message says why and what would be right."""


@dataclass(frozen=True)
class Labels:
    """Diagnosis codes by the names that a labels file has for pictures, and what in it could not be used.

    `unknown` counts labels that name no diagnosis; `contradictory` are names with several diagnoses.
    """

    codes: Mapping[str, str]
    unknown: Mapping[str, int]
    contradictory: tuple[str, ...]

    def key(self, file: str) -> str | None:
        """Return the name under which a file of a batch is labelled; None if it is not.

        `visit/more.zip/a.jpg` is labelled by that, by its last parts down to `a.jpg`, or by one of these without the
        extension; the longest one counts.
        """
        parts = PurePosixPath(file.replace("\\", "/")).parts
        for first in range(len(parts)):
            name = "/".join(parts[first:])
            for candidate in (name, name.rpartition(".")[0]):
                if candidate in self.codes:
                    return candidate
        return None


@dataclass(frozen=True)
class Match:
    """Which labels belong to which files.

    Attributes:
        codes: the diagnosis code of each labelled file, by its number.
        missing: how many files have no label.
        unused: names in the labels file that are no file's.
        ambiguous: names that fit several files, which therefore count as having none.
    """

    codes: Mapping[int, str]
    missing: int
    unused: tuple[str, ...]
    ambiguous: tuple[str, ...]


def read_labels(path: Path) -> Labels:
    """Return the labels of a CSV with a column for the file (image, file, ...) and one for the label (label, dx, ...).

    Cells are separated by commas, semicolons or tabs. Labels are diagnosis codes or names, in any case.

    Raises UnusableLabels when the file is no such CSV.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnusableLabels(f"The labels file has more than {MAX_BYTES / 1e6:.0f} MB.")
    codes: dict[str, str] = {}
    unknown: Counter[str] = Counter()
    contradictory: set[str] = set()
    for name, label in _pairs(_text(path)):
        code = _BY_TEXT.get(label.lower())
        if code is None:
            unknown[label] += 1
        elif codes.setdefault(name, code) != code:
            contradictory.add(name)
    for name in contradictory:
        del codes[name]
    return Labels(codes, unknown, tuple(sorted(contradictory)))


def _text(path: Path) -> str:
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UnusableLabels("The labels file is no text; a CSV is expected.")


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the label of each line."""
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        columns = [column.strip().lower() for column in next(rows, [])]
        name, label = _place(columns, NAME_COLUMNS), _place(columns, LABEL_COLUMNS)
        if name is None or label is None:
            raise UnusableLabels(
                f"The labels file needs a column {' or '.join(NAME_COLUMNS[:2])} and a column"
                f" {' or '.join(LABEL_COLUMNS[:2])}. Received: {', '.join(columns)[:200] or 'an empty file'}"
            )
        for row in rows:
            if len(row) > max(name, label) and row[name].strip():
                yield row[name].strip().replace("\\", "/"), row[label].strip()
    except csv.Error as error:
        raise UnusableLabels(f"The labels file is no CSV: {error}.") from None


def _place(columns: list[str], names: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def match(labels: Labels, files: Iterable[tuple[int, str]]) -> Match:
    """Return which label belongs to which of the numbered files."""
    found: dict[str, list[int]] = {}
    missing = 0
    for number, file in files:
        if key := labels.key(file):
            found.setdefault(key, []).append(number)
        else:
            missing += 1
    ambiguous = tuple(key for key, numbers in found.items() if len(numbers) > 1)
    return Match(
        {numbers[0]: labels.codes[key] for key, numbers in found.items() if len(numbers) == 1},
        missing,
        tuple(name for name in labels.codes if name not in found),
        ambiguous,
    )
