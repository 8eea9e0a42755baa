"""Test-time augmentation: a picture in eight views, flipped and turned, and their eight answers made one.

A lesion has no upright side, so a dermatoscopic picture shows the same thing in each view; what the answers differ by
is the model's doing. Their average is a little better than one answer, and their spread tells how steady it is.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

COUNT = 8
Average = Literal["probabilities", "log_probabilities"]
TEMPERATURES = (0.01, 100.0)
"""No calibration ends beyond these; a temperature next to 0 would make every answer an overflow."""


def all_views(picture: np.ndarray) -> np.ndarray:
    """Return (8, size, size, ...), a picture's views: four quarter turns, then those of its mirror image.

    Args:
        picture: (size, size, ...); the first view is the picture as it is.
    """
    return np.stack([np.rot90(side, turns) for side in (picture, picture[:, ::-1]) for turns in range(4)])


def turned_back(views: np.ndarray) -> np.ndarray:
    """Return (8, size, size, ...) as it would be had each view been upright: the inverse of `all_views`."""
    upright = [np.rot90(view, -(place % 4)) for place, view in enumerate(views)]
    return np.stack([view if place < 4 else view[:, ::-1] for place, view in enumerate(upright)])


@dataclass(frozen=True)
class Combination:
    """How the answers to eight views become one answer.

    They are averaged, as probabilities or as their logarithms (a geometric mean), and the average is calibrated for
    itself by a temperature and a bias for each class, float (classes,): an average is less sure than each of its parts.
    """

    average: Average = "probabilities"
    temperature: float = 1.0
    bias: np.ndarray | float = 0.0

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Self:
        """Return what model.json says under `views`; the plain average where it says nothing.

        Raises ValueError where that is no usable calibration for the model's classes.
        """
        if (entry := card.get("views")) is None:
            return cls()
        try:
            average, temperature = entry["average"], float(entry["temperature"])
            bias = np.asarray(entry["bias"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the calibration of its views cannot be read: {error}") from None
        if average not in get_args(Average):
            raise ValueError(f"its views can be averaged as {' or '.join(get_args(Average))}, not as {average!r}")
        low, high = TEMPERATURES
        if bias.shape != (len(card["classes"]),) or not np.isfinite(bias).all() or not low <= temperature <= high:
            raise ValueError(
                f"its views need a temperature from {low:g} to {high:g} and one finite bias for each class"
            )
        return cls(average, temperature, bias)

    def probabilities(self, views: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """Return float64 (n, classes), one calibrated answer for each picture.

        Args:
            views: float (8, n, classes), the graph's probabilities for each view.
            prior: float (classes,), the mix of classes that these, and the result, hold for.
        """
        logits = balanced_logits(views, prior, self.average) / self.temperature + self.bias + np.log(prior)
        likelihood = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return likelihood / likelihood.sum(axis=-1, keepdims=True)


def balanced_logits(views: np.ndarray, prior: np.ndarray, average: Average) -> np.ndarray:
    """Return float64 (n, classes), the logarithm of the averaged answers, with the prior taken out of it.

    Args:
        views: float (8, n, classes), probabilities of each view for the mix `prior`.
        prior: float (classes,).
        average: what is averaged.
    """
    # A float32 softmax may say 0, whose logarithm would outvote the other seven views.
    answers = np.maximum(views.astype(np.float64), 1e-7)
    mean = np.log(answers).mean(axis=0) if average == "log_probabilities" else np.log(answers.mean(axis=0))
    return mean - np.log(prior)
