"""How good answers are whose truth is known: pure functions from labels and answers to figures.

Arrays: `labels` and `predicted` int (n,), places in a list of classes; `positive` bool (n,); `score` float (n,).
"""

import numpy as np


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of right answers, 0 to 1; NaN without any."""
    return float((labels == predicted).mean()) if len(labels) else float("nan")


def recalls(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return float (classes,): the share of each class' pictures that got its label; NaN for a class without any."""
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, hits / counts, np.nan)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Return the mean recall over the classes that occur, 0 to 1.

    An answer that names another class is an error like any other.
    """
    return mean_known(recalls(labels, predicted, classes))


def mean_known(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return int (classes, classes): rows are the truth, columns the answer."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def ranked(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int (k,) right and false calls when all from each distinct score on are called, highest score first."""
    order = np.argsort(-score)
    ordered = score[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    right = np.cumsum(positive[order])[last]
    return right, last + 1 - right


def auroc(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve of a score for a boolean label (ties count half); NaN without both kinds."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    right, false = ranked(positive, score)
    steps = np.diff(false, prepend=0)
    return float((steps * (right - np.diff(right, prepend=0) / 2)).sum() / (positives * negatives))


def roc_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false positive rate and sensitivity, float (k + 1,) each, from (0, 0) to (1, 1)."""
    right, false = ranked(positive, score)
    return np.append(0, false) / max(false[-1], 1), np.append(0, right) / max(right[-1], 1)


def thinned(x: np.ndarray, y: np.ndarray, points: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `points` of a curve's points, evenly spread along it, with both ends."""
    if len(x) <= points:
        return x, y
    along = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    places = np.unique(np.searchsorted(along, np.linspace(0, along[-1], points)).clip(0, len(x) - 1))
    return x[places], y[places]
