"""What the page shows of a batch run: which rows and how, a row, and the counts of all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

PAGE_ROWS = 50
SCORE_BINS = 10
# What a sort key means in SQL. Failed files have no figures and come last when the highest figure comes first.
SORT_KEYS = {
    "number": ("number",),
    "file": ("file COLLATE NOCASE",),
    "diagnosis": ("name",),
    "probability": ("probability",),
    "score": ("score",),
    "status": ("status", "reason"),
}
LAYOUTS = ("table", "gallery")
STATUSES = ("ok", "doubted", "failed", "differs")
"""What rows can be filtered by; `differs` are those whose most probable diagnosis is not the user's label."""
SIDES = ("higher", "lower")


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
    label: str
    thumbnail: bytes | None


@dataclass(frozen=True)
class View:
    """Which rows the page shows and how: order, page (from 0), layout, and filters; an empty one lets all pass."""

    key: str = "number"
    descending: bool = False
    page: int = 0
    layout: str = "table"
    diagnosis: str = ""
    side: str = ""
    status: str = ""

    @property
    def filtered(self) -> bool:
        """Whether some rows may be left out."""
        return bool(self.diagnosis or self.side or self.status)


@dataclass(frozen=True)
class Summary:
    """Counts of a run's rows: by status, by most probable diagnosis, and of scores in SCORE_BINS equal steps."""

    statuses: Mapping[str, int]
    diagnoses: Mapping[str, int]
    scores: tuple[int, ...]
    higher: int

    @property
    def judged(self) -> int:
        """How many rows have figures."""
        return sum(self.diagnoses.values())
