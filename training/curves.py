"""What a plot is drawn from: reliability bins, ROC and precision-recall curves, with intervals."""

from typing import Any

import numpy as np

from training import metrics
from training.measure import BINS, Sheet

MALIGNANT_BINS = 10
_GRID = np.linspace(0, 1, 51)


def reliability(sheet: Sheet, repeats: int = 1000) -> dict[str, list[dict[str, float]]]:
    """Return bins of stated probability with how often it came true: `top` answer and `malignant` score.

    A bin has `count`, mean `confidence`, and `share` with its 95 % interval `low` to `high`; empty ones are left out.
    """
    top = sheet.probabilities.max(axis=1), sheet.probabilities.argmax(axis=1) == sheet.labels, BINS
    return {
        name: _bins(*what, sheet.groups, repeats)
        for name, what in {"top": top, "malignant": (sheet.score, sheet.positive, MALIGNANT_BINS)}.items()
    }


def _bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int, groups: np.ndarray, repeats: int
) -> list[dict[str, float]]:
    counts, means, shares = metrics.calibration_bins(confidence, correct, bins)

    def resampled(rows: np.ndarray) -> dict[str, float]:
        values = metrics.calibration_bins(confidence[rows], correct[rows], bins)[2]
        return {str(number): float(value) for number, value in enumerate(values)}

    intervals = metrics.lesion_bootstrap(resampled, groups, repeats)
    return [
        {
            "count": int(counts[b]),
            "confidence": round(float(means[b]), 4),
            "share": round(float(shares[b]), 4),
            "low": round(intervals[str(b)][0], 4),
            "high": round(intervals[str(b)][1], 4),
        }
        for b in range(bins)
        if counts[b]
    ]


def curves(sheet: Sheet, repeats: int = 1000) -> dict[str, Any]:
    """Return ROC and precision-recall points of each class that occurs and of the malignancy score.

    `roc` has `false_positive_rate` and `sensitivity` by class, `precision_recall` has `recall` and `precision`; the
    malignancy score is called `malignancy`. `band` is the 95 % interval of its sensitivity along the ROC curve.
    """
    scores = {
        code: (sheet.labels == c, sheet.equal[:, c], sheet.probabilities[:, c]) for c, code in enumerate(sheet.codes)
    }
    scores["malignancy"] = (sheet.positive, sheet.score, sheet.score)
    roc, precision_recall = {}, {}
    for name, (positive, equal, given) in scores.items():
        if positive.all() or not positive.any():
            continue
        rate, sensitivity = metrics.thinned(*metrics.roc_curve(positive, equal))
        recall, precision = metrics.thinned(*metrics.precision_recall_curve(positive, given))
        roc[name] = {"false_positive_rate": rate.round(4).tolist(), "sensitivity": sensitivity.round(4).tolist()}
        precision_recall[name] = {"recall": recall.round(4).tolist(), "precision": precision.round(4).tolist()}
    result: dict[str, Any] = {"roc": roc, "precision_recall": precision_recall}
    if "malignancy" in roc:
        result["band"] = _roc_band(sheet, repeats)
    return result


def _roc_band(sheet: Sheet, repeats: int) -> dict[str, list[float]]:
    positive, score = sheet.positive, sheet.score

    def resampled(rows: np.ndarray) -> dict[str, float]:
        if positive[rows].all() or not positive[rows].any():
            return {}
        along = np.interp(_GRID, *metrics.roc_curve(positive[rows], score[rows]))
        return {str(number): float(value) for number, value in enumerate(along)}

    intervals = metrics.lesion_bootstrap(resampled, sheet.groups, repeats)
    ends = [intervals[str(number)] for number in range(len(_GRID))]
    return {
        "false_positive_rate": _GRID.round(4).tolist(),
        "low": [round(low, 4) for low, _ in ends],
        "high": [round(high, 4) for _, high in ends],
    }
