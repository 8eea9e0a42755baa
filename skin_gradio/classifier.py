"""Images in, findings out: the object that every face of the product uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from skin_gradio import lesions
from skin_gradio.engines import Engine
from skin_gradio.input_gate import Doubt
from skin_gradio.models import ModelFolder, OperatingPoint

Prior = Literal["collection", "equal"]


def at_prior(probabilities: np.ndarray, collection: np.ndarray, prior: Prior) -> np.ndarray:
    """Return probabilities that hold for the mix of cases that `prior` names, by Bayes' rule.

    Args:
        probabilities: float (..., classes), for the training collection's mix.
        collection: float (classes,), that mix.
        prior: the mix that is wanted.

    Raises ValueError for an unknown prior.
    """
    if prior not in ("collection", "equal"):
        raise ValueError(f"prior must be 'collection' or 'equal'. Received: {prior!r}")
    weighted = probabilities if prior == "collection" else probabilities / collection
    return weighted / weighted.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Finding:
    """The answer for one picture.

    `probabilities`, float (classes,), sum to 1 and hold for the mix of cases that `prior` names: as common as in the
    training collection, or each equally common. `malignancy_score`, 0 to 1, is the probability of a malignant diagnosis
    in the training collection's mix, whatever `prior` is. `heatmaps`, float32 (h, w, classes), are class activation
    maps; `embedding`, float32 (d,), the pooled features. `doubts` say why the picture may not be one that the model can
    judge; none where it is.
    """

    codes: tuple[str, ...]
    probabilities: np.ndarray
    prior: Prior
    malignancy_score: float
    heatmaps: np.ndarray
    embedding: np.ndarray
    doubts: tuple[Doubt, ...] = ()

    @property
    def top(self) -> str:
        """The code of the most probable diagnosis."""
        return self.codes[int(self.probabilities.argmax())]

    def heatmap(self, code: str) -> np.ndarray:
        """Return one diagnosis' activation map, float32 (h, w)."""
        return self.heatmaps[..., self.codes.index(code)]


class Classifier:
    """A model and the engine that runs it."""

    def __init__(self, model: ModelFolder, engine: Engine):
        self.model = model
        self.engine = engine
        self._prior = np.asarray(model.prior)
        self._malignant = np.array(lesions.malignant_mask(model.codes))

    @property
    def input_size(self) -> int:
        """Side of the pictures that `classify` takes, pixels."""
        return self.model.input_size

    def classify(self, pictures: np.ndarray | Sequence[np.ndarray], prior: Prior = "collection") -> list[Finding]:
        """Return a finding for each picture.

        Args:
            pictures: uint8 (n, input_size, input_size, 3) RGB; `skin_gradio.images.read_picture(...).resized(...)`
                makes one.
            prior: the mix of cases that the probabilities are for.

        Raises ValueError for an array of another shape or type, or an unknown prior.
        """
        batch = np.ascontiguousarray(pictures)
        expected = (self.input_size, self.input_size, 3)
        if batch.ndim != 4 or batch.shape[1:] != expected or batch.dtype != np.uint8:
            raise ValueError(f"pictures must be uint8 (n, {expected}). Received: {batch.dtype} {batch.shape}")
        if not len(batch):
            return []
        outputs = self.engine.run(batch)
        malignancy = outputs.probabilities[:, self._malignant].sum(axis=1)
        probabilities = at_prior(outputs.probabilities, self._prior, prior)
        return [
            Finding(
                codes=self.model.codes,
                probabilities=probabilities[i],
                prior=prior,
                malignancy_score=float(np.clip(malignancy[i], 0, 1)),
                heatmaps=outputs.heatmaps[i],
                embedding=outputs.embedding[i],
            )
            for i in range(len(batch))
        ]

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """Return the malignancy operating point of that name; the model's first when none is given."""
        points = self.model.operating_points
        return next((point for point in points if point.name == name), points[0])
