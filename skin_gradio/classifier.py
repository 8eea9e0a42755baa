"""Images in, findings out: the object that every face of the product uses."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from skin_gradio import lesions
from skin_gradio.engines import SUM_TOLERANCE, Engine, OnnxEngine, Outputs
from skin_gradio.input_gate import Doubt, InputGate
from skin_gradio.models import ModelError, ModelFolder, OperatingPoint, shortened
from skin_gradio.views import Combination, all_views, turned_back

Prior = Literal["collection", "equal"]


MODEL_FAILED = "The model could not classify this picture."


class UnusableAnswer(ValueError):
    """A graph's answer that is none: not finite, or no probabilities. The message is safe to show to a user."""

    code = "model_failed"


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


@dataclass(frozen=True)
class CarefulFinding:
    """The answer for one picture that was looked at in eight views (`skin_gradio.views`).

    `finding` is the calibrated answer of all views together, its heatmaps their mean; its embedding and doubts are the
    upright view's. `views`, float (8, classes), are the answers of the single views at the finding's prior, for their
    spread.
    """

    finding: Finding
    views: np.ndarray


class Classifier:
    """A model and the engine that runs it.

    Raises ModelError where model.json's input gate or the calibration of its views is not usable for this model.
    """

    def __init__(self, model: ModelFolder, engine: Engine):
        self.model = model
        self.engine = engine
        self._prior = np.asarray(model.prior)
        self._malignant = np.array(lesions.malignant_mask(model.codes))
        try:
            self._gate = InputGate.from_card(model.card)
            self._combination = Combination.from_card(model.card)
            if self._gate:
                self._try_gate(self._gate)
        except ValueError as error:
            raise ModelError(f"{model.path}: model.json is not usable: {shortened(str(error))}.") from None

    def _try_gate(self, gate: InputGate) -> None:
        """Let the gate judge a blank picture. Raises ValueError where it does not fit the graph's outputs."""
        blank = np.zeros((1, self.input_size, self.input_size, 3), np.uint8)
        gate.doubts(blank, self.engine.run(blank).embedding)

    def beside_others(self) -> Self:
        """Return this classifier for callers on as many threads as there are cores.

        Alone a picture gets its answer soonest when all cores work on it; where every core has pictures of its own,
        more of them are answered when each keeps to its own.
        """
        beside = copy.copy(self)
        if isinstance(self.engine, OnnxEngine):
            beside.engine = self.engine.beside_others()
        return beside

    @property
    def has_gate(self) -> bool:
        """Whether the model comes with an input gate; without one no finding has doubts."""
        return self._gate is not None

    @property
    def input_size(self) -> int:
        """Side of the pictures that `classify` takes, pixels."""
        return self.model.input_size

    def classify(
        self,
        pictures: np.ndarray | Sequence[np.ndarray],
        prior: Prior = "collection",
        sides: Sequence[int] | None = None,
    ) -> list[Finding]:
        """Return a finding for each picture.

        Args:
            pictures: uint8 (n, input_size, input_size, 3) RGB; `skin_gradio.images.read_picture(...).resized(...)`
                makes one.
            prior: the mix of cases that the probabilities are for.
            sides: the shorter side of each original, pixels, by which the input gate knows pictures that were enlarged;
                without it none counts as too small.

        Raises ValueError for an array of another shape or type, another number of sides, or an unknown prior, and
        UnusableAnswer where the graph answers any picture with something else than probabilities.
        """
        batch = self._checked(pictures, sides)
        if not len(batch):
            return []
        outputs = self._run(batch)
        return self._findings(outputs, prior, self._doubts(batch, outputs, sides))

    def classify_carefully(
        self,
        pictures: np.ndarray | Sequence[np.ndarray],
        prior: Prior = "collection",
        sides: Sequence[int] | None = None,
    ) -> list[CarefulFinding]:
        """Return a finding for each picture from eight views of it, at eight times the cost of `classify`.

        Arguments and errors are those of `classify`.
        """
        batch = self._checked(pictures, sides)
        # One picture's views at a time: they fill a forward pass, and memory does not grow with the number of pictures.
        return [
            self._carefully(picture, prior, None if sides is None else sides[place : place + 1])
            for place, picture in enumerate(batch)
        ]

    def _carefully(self, picture: np.ndarray, prior: Prior, side: Sequence[int] | None) -> CarefulFinding:
        views = np.ascontiguousarray(all_views(picture))
        outputs = self._run(views)
        together = Outputs(
            self._combination.probabilities(outputs.probabilities[:, None], self._prior),
            turned_back(outputs.heatmaps).mean(axis=0, keepdims=True),
            outputs.embedding[:1],
        )
        doubts = self._doubts(picture[None], together, side)
        finding = self._findings(together, prior, doubts)[0]
        return CarefulFinding(finding, at_prior(outputs.probabilities, self._prior, prior))

    def _run(self, batch: np.ndarray) -> Outputs:
        """Return the graph's outputs. Raises UnusableAnswer where any picture's are no numbers or do not add up."""
        outputs = self.engine.run(batch)
        usable = np.isfinite(outputs.embedding).all(axis=1) & (outputs.probabilities >= 0).all(axis=1)
        usable &= np.abs(outputs.probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE
        if not usable.all():
            raise UnusableAnswer(MODEL_FAILED)
        return outputs

    def _checked(self, pictures: np.ndarray | Sequence[np.ndarray], sides: Sequence[int] | None) -> np.ndarray:
        batch = np.ascontiguousarray(pictures)
        expected = (self.input_size, self.input_size, 3)
        if batch.ndim != 4 or batch.shape[1:] != expected or batch.dtype != np.uint8:
            raise ValueError(f"pictures must be uint8 (n, {expected}). Received: {batch.dtype} {batch.shape}")
        if sides is not None and len(sides) != len(batch):
            raise ValueError(f"sides must be one number for each of {len(batch)} pictures. Received: {len(sides)}")
        return batch

    def _doubts(self, batch: np.ndarray, outputs: Outputs, sides: Sequence[int] | None) -> list[tuple[Doubt, ...]]:
        return self._gate.doubts(batch, outputs.embedding, sides) if self._gate else [()] * len(batch)

    def _findings(self, outputs: Outputs, prior: Prior, doubts: list[tuple[Doubt, ...]]) -> list[Finding]:
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
                doubts=doubts[i],
            )
            for i in range(len(probabilities))
        ]

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """Return the malignancy operating point of that name; the model's first when none is given."""
        points = self.model.operating_points
        return next((point for point in points if point.name == name), points[0])
