"""What a threshold on the malignancy score gives: sensitivity, specificity, missed lesions and predictive values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from skin_gradio import lesions
from skin_gradio.models import ModelFolder, OperatingPoint

MAX_PICTURES = 10**9
"""A larger count in a model.json is none of pictures, and the sum of some such is no number any more."""


@dataclass(frozen=True)
class ScoreCurve:
    """Sensitivity and specificity, float (k,) and 0 to 1, of k rising thresholds.

    `malignant` and `others` count the pictures of `part` that they were measured on; 0 where model.json does not say.
    `views` says that they were measured with the average over views.
    """

    thresholds: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    part: Literal["test", "validation"]
    malignant: int = 0
    others: int = 0
    views: bool = False

    def missed(self, place: int) -> int:
        """Return how many of the malignant pictures score below the threshold at a place."""
        return round((1 - float(self.sensitivity[place])) * self.malignant)

    def called(self, place: int) -> int:
        """Return how many of the other pictures score at or above the threshold at a place."""
        return round((1 - float(self.specificity[place])) * self.others)

    def place(self, threshold: float) -> int:
        """Return the place of the highest of the curve's thresholds that is not above the given one, at least 0."""
        return max(int(np.searchsorted(self.thresholds, threshold, side="right")) - 1, 0)


def score_curve(model: ModelFolder, careful: bool = False) -> ScoreCurve:
    """Return the curve of the test pictures' scores; of the named operating points alone where model.json has none.

    `careful` asks for the curve of the average over views; where the model has none, it is that of one view.
    """
    if careful and (points := _view_points(model)):
        curve = _from_histogram(model.card.get("metrics_with_views")) or _from_points(points)
        return replace(curve, views=True)
    return _from_histogram(model.card.get("metrics")) or _from_points(model.operating_points)


def operating_points(model: ModelFolder, careful: bool = False) -> tuple[OperatingPoint, ...]:
    """Return a model's operating points; with `careful` those for the average over views, where it has them."""
    return (_view_points(model) if careful else ()) or model.operating_points


def _view_points(model: ModelFolder) -> tuple[OperatingPoint, ...]:
    """Return the operating points for the average over views; none where model.json has none that make sense."""
    try:
        figures = (model.card.get("metrics_with_views") or {}).get("figures") or {}
        return tuple(_point(i, entry, figures) for i, entry in enumerate(model.card["views"]["operating_points"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def _point(number: int, entry: Mapping[str, Any], figures: Mapping[str, Any]) -> OperatingPoint:
    chosen = [float(entry[name]) for name in ("threshold", "sensitivity", "specificity")]
    tested = [figures[name]["value"] for name in (f"sensitivity_{number}", f"specificity_{number}") if name in figures]
    if len(tested) == 1 or not all(0 <= value <= 1 for value in (*chosen, *tested)):
        raise ValueError("an operating point needs figures from 0 to 1")
    return OperatingPoint(str(entry["name"]), *chosen, *tested)


def _from_histogram(metrics: Any) -> ScoreCurve | None:
    """Return the curve of `malignancy_scores` in a model's figures; None where there is none that makes sense."""
    try:
        held = metrics["malignancy_scores"]
        thresholds = np.array(held["thresholds"], float)
        malignant, others = (np.array(held[kind], int) for kind in ("malignant", "benign"))
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    whole = thresholds.ndim == 1 and thresholds.shape == malignant.shape == others.shape and len(thresholds) > 0
    if not whole or not ((thresholds >= 0) & (thresholds <= 1)).all() or not (np.diff(thresholds) > 0).all():
        return None
    if min(malignant.min(), others.min()) < 0 or max(malignant.max(), others.max()) > MAX_PICTURES:
        return None
    if not malignant.sum() or not others.sum():
        return None
    found, called = (counts[::-1].cumsum()[::-1] for counts in (malignant, others))
    total, rest = int(malignant.sum()), int(others.sum())
    return ScoreCurve(thresholds, found / total, 1 - called / rest, "test", total, rest)


def _from_points(points: tuple[OperatingPoint, ...]) -> ScoreCurve:
    ordered = sorted(points, key=lambda point: point.threshold)
    measured = all(point.test_sensitivity is not None and point.test_specificity is not None for point in ordered)
    figures = [
        (point.test_sensitivity, point.test_specificity) if measured else (point.sensitivity, point.specificity)
        for point in ordered
    ]
    sensitivity, specificity = np.array(figures, float).T
    thresholds = np.array([point.threshold for point in ordered])
    return ScoreCurve(thresholds, sensitivity, specificity, "test" if measured else "validation")


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """Return the positive and the negative predictive value, 0 to 1, by Bayes' rule.

    Args:
        sensitivity: share of the malignant lesions that a threshold calls, 0 to 1.
        specificity: share of the others that it does not call, 0 to 1.
        prevalence: share of malignant lesions, 0 to 1.

    A value is None where the threshold calls nothing (positive) or everything (negative).
    """
    called, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    missed, left = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    positive = called / (called + false) if called + false > 0 else None
    negative = left / (missed + left) if missed + left > 0 else None
    return positive, negative


def malignant_share(model: ModelFolder) -> float:
    """Return the share of malignant lesions in the mix of the training collection, 0 to 1."""
    mask = np.array(lesions.malignant_mask(model.codes))
    return float(np.asarray(model.prior)[mask].sum() / sum(model.prior))
