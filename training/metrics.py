"""Pure functions from labels and probabilities to figures.

Arrays: `labels` int (n,), `probabilities` float (n, classes) with rows that sum to 1, `groups` (n,) lesion names.
"""

from collections.abc import Callable, Mapping

import numpy as np

from skin_gradio.scoring import (
    auroc,
    mean_known,
    ranked,
    recalls,
)
from skin_gradio.scoring import balanced_accuracy as balanced_accuracy
from skin_gradio.scoring import confusion_matrix as confusion_matrix
from skin_gradio.scoring import roc_curve as roc_curve
from skin_gradio.scoring import thinned as thinned


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the mean precision over the steps of recall, without interpolation; NaN without positives.

    A score that tells nothing has the share of positives as its average precision.
    """
    if not positive.any():
        return float("nan")
    right, false = ranked(positive, score)
    return float((np.diff(right, prepend=0) * right / (right + false)).sum() / right[-1])


def precision_recall_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision, float (k,) each, by falling score."""
    right, false = ranked(positive, score)
    return right / max(right[-1], 1), right / (right + false)


def sensitivity_at_specificity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    """Return the best sensitivity of a threshold with at least this specificity; NaN without both kinds."""
    if positive.all() or not positive.any():
        return float("nan")
    negatives = np.sort(score[~positive])
    # The small number undoes binary rounding: 0.95 * 20 is 19 pictures, not a hair more.
    below = int(np.ceil(specificity * len(negatives) - 1e-9))
    return float((score[positive] > negatives[below - 1]).mean()) if below else 1.0


def specificity_at_sensitivity(positive: np.ndarray, score: np.ndarray, sensitivity: float) -> float:
    """Return the best specificity of a threshold with at least this sensitivity; NaN without both kinds."""
    return sensitivity_at_specificity(~positive, -score, sensitivity)


def class_aurocs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return float (classes,): each class against all others; NaN for a class without pictures."""
    return np.array([auroc(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])])


def macro_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of the one-against-rest AUROCs of the classes that occur."""
    return mean_known(class_aurocs(labels, probabilities))


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, bins: int) -> tuple[np.ndarray, ...]:
    """Return counts, mean confidence and share of right ones, float (bins,) each, in equal-width bins; NaN in empty."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins).astype(float)
    with np.errstate(invalid="ignore"):
        means = np.bincount(place, weights=confidence, minlength=bins) / counts
        shares = np.bincount(place, weights=correct, minlength=bins) / counts
    return counts, means, shares


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Return the ECE of the top class over equal-width bins (Guo et al., arXiv:1706.04599), 0 to 1."""
    correct = probabilities.argmax(axis=1) == labels
    counts, means, shares = calibration_bins(probabilities.max(axis=1), correct, bins)
    return float(np.nansum(counts * np.abs(shares - means)) / len(labels))


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and the one-hot truth, 0 to 2."""
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


def precisions(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return float (classes,): the share of right answers among each class' answers; 0 for one never given."""
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    return hits / np.maximum(np.bincount(predicted, minlength=classes), 1)


def f1_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return float (classes,): the harmonic mean of precision and recall; NaN for a class without pictures."""
    precision, recall = precisions(labels, predicted, classes), recalls(labels, predicted, classes)
    with np.errstate(invalid="ignore"):
        return np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), recall * 0)


def sensitivity_and_specificity(positive: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the shares of positives at or above the threshold and of negatives below it; NaN where there are none."""
    called = score >= threshold
    positives = int(positive.sum())
    negatives = len(positive) - positives
    right, spared = int((called & positive).sum()), int((~called & ~positive).sum())
    return right / positives if positives else float("nan"), spared / negatives if negatives else float("nan")


def threshold_for_sensitivity(positive: np.ndarray, score: np.ndarray, sensitivity: float) -> float:
    """Return the highest threshold at which at least this share of positives scores as high or higher."""
    ordered = np.sort(score[positive])[::-1]
    return float(ordered[max(int(np.ceil(sensitivity * len(ordered))) - 1, 0)])


Figures = Mapping[str, float]


def lesion_bootstrap(
    figures: Callable[[np.ndarray], Figures], groups: np.ndarray, repeats: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return each figure's 95 % interval: percentiles over resamples of whole lesions (Efron & Tibshirani, 1993).

    Args:
        figures: from int positions (k,) of pictures, drawn with repetition, to named figures.
        groups: the lesion of each picture.
        repeats: number of resamples.
        seed: of the resampling.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group_of))[:-1])
    rng = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {}
    for _ in range(repeats):
        drawn = rng.integers(0, len(members), len(members))
        for name, value in figures(np.concatenate([members[i] for i in drawn])).items():
            samples.setdefault(name, []).append(value)
    return {name: _percentiles(np.array(values)) for name, values in samples.items()}


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the resamples that had a value; NaN where none had."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
