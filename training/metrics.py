"""Pure functions from labels and probabilities to figures.

Arrays: `labels` int (n,), `probabilities` float (n, classes) with rows that sum to 1, `groups` (n,) lesion names.
"""

from collections.abc import Callable, Mapping

import numpy as np


def recalls(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return float (classes,): the share of each class' pictures that got its label; NaN for a class without any."""
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, hits / counts, np.nan)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Return the mean recall over the classes that occur, 0 to 1."""
    return float(np.nanmean(recalls(labels, predicted, classes)))


def auroc(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve of a score for a boolean label (ties count half); NaN without both kinds."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def class_aurocs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return float (classes,): each class against all others; NaN for a class without pictures."""
    return np.array([auroc(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])])


def macro_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of the one-against-rest AUROCs of the classes that occur."""
    return float(np.nanmean(class_aurocs(labels, probabilities)))


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Return the ECE of the top class over equal-width bins (Guo et al., arXiv:1706.04599), 0 to 1."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


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


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return int (classes, classes): rows are the truth, columns the answer."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def sensitivity_and_specificity(positive: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the shares of positives at or above the threshold and of negatives below it."""
    called = score >= threshold
    return float(called[positive].mean()), float((~called[~positive]).mean())


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
    return {
        name: (float(np.nanpercentile(values, 2.5)), float(np.nanpercentile(values, 97.5)))
        for name, values in samples.items()
    }
