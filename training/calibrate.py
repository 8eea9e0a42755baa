"""Pure functions from balanced logits on validation pictures to calibrated probabilities and thresholds."""

from dataclasses import dataclass

import numpy as np

from training import metrics

SENSITIVITIES = (0.90, 0.95)
COVERAGES = (0.90, 0.95)


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
        log_probabilities = _log_softmax(logits.astype(np.float64) / self.temperature + self.bias + _log(prior))
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
        return float(-_log_softmax(scaled)[rows, labels].sum() + (parameters**2).sum())

    found = minimize(loss, np.zeros(1 + logits.shape[1])).x
    return Calibration(float(np.exp(found[0])), found[1:])


def _log(prior: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(prior, 1e-300))


def _log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def operating_points(malignant: np.ndarray, score: np.ndarray) -> list[dict[str, float | str]]:
    """Return thresholds on the malignancy score that reach each of SENSITIVITIES, with what else they give.

    Args:
        malignant: bool (n,), the truth.
        score: float (n,), the malignancy score.
    """
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


def prediction_sets(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Return for each of COVERAGES the probability from which a class belongs to the set (split conformal, LAC).

    Source: Sadinle, Lei & Wasserman, J. Am. Stat. Assoc. 114, 223 (2019).
    """
    true = np.sort(probabilities[np.arange(len(labels)), labels])
    places = [max(int(np.floor((len(true) + 1) * (1 - coverage))) - 1, 0) for coverage in COVERAGES]
    return [
        {"coverage": coverage, "threshold": float(true[place])}
        for coverage, place in zip(COVERAGES, places, strict=True)
    ]
