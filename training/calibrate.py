"""Pure functions from balanced logits on validation pictures to calibrated probabilities and thresholds."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_gradio.views import Average, balanced_logits
from training import metrics
from training.command import UserError

SENSITIVITIES = (0.90, 0.95)
COVERAGES = (0.90, 0.95)
MIN_OWN = 40
"""Validation pictures from which a class has thresholds of its own: coverage then varies by some 5 % between draws."""
MIN_SHARED = 19
"""Fewest pictures that a 95 % quantile can be taken of."""


@dataclass(frozen=True)
class Calibration:
    """How balanced logits become probabilities: softmax(logits / temperature + bias + log prior).

    The prior is added last, so that dividing it out again gives the answer at equal priors exactly.
    """

    temperature: float
    bias: np.ndarray
    """float (classes,)"""

    def probabilities(self, logits: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """Return float64 (n, classes), the probabilities for a mix of classes `prior`, float (classes,)."""
        log_probabilities = log_softmax(logits.astype(np.float64) / self.temperature + self.bias + _log(prior))
        return np.exp(log_probabilities)


def fit(logits: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> Calibration:
    """Return the bias-corrected temperature scaling with the lowest negative log likelihood.

    Source: Alexandari, Kundaje & Shrikumar, ICML 2020, arXiv:1901.06852, who show that a bias per class makes a change
    to another prior more accurate. Rare classes have some 20 validation pictures, so a weak Gaussian prior (variance
    1/2) holds the biases, and the temperature's logarithm, near zero: a few pictures that are all told apart would
    otherwise make every answer certain.

    Args:
        logits: float (n, classes), at equal priors.
        labels: int (n,).
        prior: float (classes,) or (n, classes), the mix of classes that the pictures, or each of them, come from. A
            class with the share 0 is one that the picture's collection does not hold; it leaves the softmax.
    """
    from scipy.optimize import minimize

    rows, offset = np.arange(len(labels)), _log(prior)

    def loss(parameters: np.ndarray) -> float:
        scaled = logits * np.exp(-parameters[0]) + parameters[1:] + offset
        return float(-log_softmax(scaled)[rows, labels].sum() + (parameters**2).sum())

    found = minimize(loss, np.zeros(1 + logits.shape[1])).x
    return Calibration(float(np.exp(found[0])), found[1:])


def fit_shares(logits: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return float (members,), the shares of an average of logits with the lowest negative log likelihood; sum 1.

    A temperature is fitted along, so that a sharper or softer average is no reason for a share. A weak Gaussian prior
    (variance 1/2) on the shares' logarithms, before they are normalised, holds them near equal ones.

    Args:
        logits: float (members, n, classes), at equal priors.
        labels: int (n,).
        prior: float (classes,) or (n, classes), as in `fit`.
    """
    from scipy.optimize import minimize

    rows, offset = np.arange(len(labels)), _log(prior)

    def loss(parameters: np.ndarray) -> float:
        averaged = np.tensordot(np.exp(log_softmax(parameters[1:])), logits, axes=1)
        scaled = averaged * np.exp(-parameters[0]) + offset
        return float(-log_softmax(scaled)[rows, labels].sum() + (parameters**2).sum())

    found = minimize(loss, np.zeros(1 + len(logits))).x
    return np.exp(log_softmax(found[1:]))


def _log(prior: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(prior, 1e-300))


def log_softmax(values: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax over the last axis, float, of the same shape."""
    shifted = values - values.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def fit_views(
    views: np.ndarray, labels: np.ndarray, priors: np.ndarray, prior: np.ndarray, average: Average
) -> tuple[Calibration, float]:
    """Return the calibration of an average over views, and the mean negative log likelihood that it leaves.

    Args:
        views: float (8, n, classes), the graph's probabilities for each view, at `prior`.
        labels: int (n,).
        priors: float (n, classes), the mix of classes that each picture comes from.
        prior: float (classes,), that of the graph's probabilities.
        average: what is averaged.
    """
    logits = balanced_logits(views, prior, average)
    calibration = fit(logits, labels, priors)
    right = calibration.probabilities(logits, priors)[np.arange(len(labels)), labels]
    return calibration, float(-np.log(np.maximum(right, 1e-300)).mean())


def require_both(malignant: np.ndarray) -> None:
    """Raise UserError unless there are malignant and benign pictures, bool (n,), to choose operating points on."""
    if malignant.all() or not malignant.any():
        found = "malignant" if len(malignant) and malignant.all() else "benign"
        raise UserError(
            f"The first collection's {len(malignant)} validation pictures are all {found}; both are needed."
        )


def operating_points(malignant: np.ndarray, score: np.ndarray) -> list[dict[str, float | str]]:
    """Return thresholds on the malignancy score that reach each of SENSITIVITIES, with what else they give.

    Args:
        malignant: bool (n,), the truth.
        score: float (n,), the malignancy score.

    Raises UserError unless there are malignant and benign pictures.
    """
    require_both(malignant)
    points: list[dict[str, float | str]] = []
    for wanted in SENSITIVITIES:
        # Rounded down, so that the picture which set the threshold stays above it.
        threshold = np.floor(metrics.threshold_for_sensitivity(malignant, score, wanted) * 1e5) / 1e5
        sensitivity, specificity = metrics.sensitivity_and_specificity(malignant, score, threshold)
        points.append(
            {
                "name": f"sensitivity {wanted:.0%}",
                "threshold": float(threshold),
                "sensitivity": sensitivity,
                "specificity": specificity,
            }
        )
    return points


def prediction_sets(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Return for each of COVERAGES the probabilities from which classes belong to the set (split conformal, LAC).

    `threshold`, the same for every class, makes sets that hold the truth that often over the whole mix of cases, and
    mostly over its common classes. `thresholds`, one for each class in their order, make sets that hold it that often
    within each class: a class with at least MIN_OWN pictures has its own, and the rarer ones share one, chosen on their
    pictures together. Fewer than MIN_SHARED of these, and they keep `threshold`.

    Source: Sadinle, Lei & Wasserman, J. Am. Stat. Assoc. 114, 223 (2019), whose class-conditional sets are Vovk's
    label-conditional predictors.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
    """
    true = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    rare = counts[labels] < MIN_OWN
    sets: list[dict[str, Any]] = []
    for coverage in COVERAGES:
        threshold = _conformal(true, coverage)
        shared = _conformal(true[rare], coverage) if rare.sum() >= MIN_SHARED else threshold
        thresholds = [
            _conformal(true[labels == c], coverage) if count >= MIN_OWN else shared for c, count in enumerate(counts)
        ]
        sets.append({"coverage": coverage, "threshold": threshold, "thresholds": thresholds})
    return sets


def _conformal(true: np.ndarray, coverage: float) -> float:
    """Return the threshold that the probabilities of the true classes, float (n,), reach with that coverage."""
    # 1 - 0.9 is a little less than a tenth; a tenth of the pictures must not come out as one fewer.
    place = max(int(np.floor((len(true) + 1) * (1 - coverage) + 1e-9)) - 1, 0)
    return float(np.sort(true)[place])
