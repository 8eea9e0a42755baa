"""Pure functions from balanced logits on validation pictures to calibrated probabilities and thresholds."""

import numpy as np

from training import metrics

SENSITIVITIES = (0.90, 0.95)
COVERAGES = (0.90, 0.95)


def probabilities_at(logits: np.ndarray, prior: np.ndarray, temperature: float) -> np.ndarray:
    """Return float64 (n, classes): softmax(logits / temperature + log prior).

    The prior is added after the temperature, so that dividing it out again gives the network's own answer at equal
    priors whatever the temperature is.
    """
    scaled = logits.astype(np.float64) / temperature + np.log(prior)
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> float:
    """Return the temperature with the lowest negative log likelihood (Guo et al., arXiv:1706.04599).

    Args:
        logits: float (n, classes), at equal priors.
        labels: int (n,).
        prior: float (classes,), the mix of classes that the pictures come from.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        chosen = probabilities_at(logits, prior, np.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


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
