"""The same figures for parts of the pictures: by sex, age, body site and way of confirmation."""

from typing import Any

import numpy as np
import pandas as pd

from training import metrics
from training.measure import Sheet, with_intervals

MIN_LESIONS = 30
"""Groups with fewer lesions get no figures: an interval would span most of the range."""
MIN_OF_EACH = 10
"""Malignant and benign lesions that a group needs for an AUROC."""
COLUMNS = ("sex", "age", "site", "confirmation")
_AGES = ((0, 30), (30, 45), (45, 60), (60, 75), (75, 200))


def subgroups(sheet: Sheet, table: pd.DataFrame, repeats: int = 1000) -> dict[str, list[dict[str, Any]]]:
    """Return by column that the table has, the groups with their size and figures.

    A group has `name`, `pictures`, `lesions`, `malignant` (pictures), `classes` (how many occur in it) and `figures`:
    `equal_balanced_accuracy` over the classes that occur, `accuracy`, and `malignant_auroc` where there are MIN_OF_EACH
    lesions of both kinds. A group of fewer than MIN_LESIONS lesions has no figures.

    Args:
        sheet: the answers.
        table: the rows they belong to, in order.
        repeats: bootstrap resamples.
    """
    result = {}
    for column in COLUMNS:
        if column not in table.columns:
            continue
        names = age_bands(table[column]) if column == "age" else _named(table[column])
        if set(names) != {"unknown"}:
            result[column] = [_group(sheet, names == name, name, repeats) for name in _ordered(column, names)]
    return result


def age_bands(ages: pd.Series) -> np.ndarray:
    """Return each picture's age band in years, such as `45-59`, or `unknown`."""
    years = pd.to_numeric(ages, errors="coerce").to_numpy(dtype=float)
    bands = np.full(len(years), "unknown", dtype=object)
    for low, high in _AGES:
        bands[(years >= low) & (years < high)] = _band(low, high)
    return bands.astype(str)


def _band(low: int, high: int) -> str:
    return f"under {high}" if low == 0 else f"{low} and over" if high == _AGES[-1][1] else f"{low}-{high - 1}"


def _named(values: pd.Series) -> np.ndarray:
    text = values.astype("string").str.strip().fillna("")
    return text.where(text != "", "unknown").to_numpy(dtype=str)


def _ordered(column: str, names: np.ndarray) -> list[str]:
    """Return the groups: ages in order, others by size; `unknown` last."""
    kinds, counts = np.unique(names, return_counts=True)
    size = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    bands = [_band(*ends) for ends in _AGES]
    return sorted(size, key=lambda name: (name == "unknown", bands.index(name) if name in bands else -size[name], name))


def _group(sheet: Sheet, chosen: np.ndarray, name: str, repeats: int) -> dict[str, Any]:
    rows = np.flatnonzero(chosen)
    labels, groups, positive = sheet.labels[rows], sheet.groups[rows], sheet.positive[rows]
    entry: dict[str, Any] = {
        "name": name,
        "pictures": len(rows),
        "lesions": len(np.unique(groups)),
        "malignant": int(positive.sum()),
        "classes": len(np.unique(labels)),
        "figures": {},
    }
    if entry["lesions"] < MIN_LESIONS:
        return entry
    equal, given, score = sheet.equal[rows].argmax(1), sheet.probabilities[rows].argmax(1), sheet.score[rows]
    of_each = min(len(np.unique(groups[positive])), len(np.unique(groups[~positive])))

    def figures(drawn: np.ndarray) -> dict[str, float]:
        found = {
            "equal_balanced_accuracy": metrics.balanced_accuracy(labels[drawn], equal[drawn], len(sheet.codes)),
            "accuracy": float((given[drawn] == labels[drawn]).mean()),
        }
        if of_each >= MIN_OF_EACH:
            found["malignant_auroc"] = metrics.auroc(positive[drawn], score[drawn])
        return found

    values = figures(np.arange(len(rows)))
    entry["figures"] = with_intervals(values, metrics.lesion_bootstrap(figures, groups, repeats))
    return entry
