"""Fixtures that several tests share."""

import numpy as np
import pytest

from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.engines import Outputs
from skin_gradio.models import ModelFolder, OperatingPoint

PRIOR = (0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02)


class MeanColourEngine:
    """Answers by a picture's mean colour, so that every picture has its own answer: dark is melanoma, bright nevus."""

    name = "mean colour"

    def run(self, pictures):
        red, green, blue = pictures.reshape(len(pictures), -1, 3).mean(axis=1).T / 255
        zero = np.zeros_like(red)
        weights = np.stack([red, green, blue, zero, 2 - green - blue, green + blue, zero], axis=1) + 0.01
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        count = len(pictures)
        return Outputs(
            probabilities.astype(np.float32),
            np.ones((count, 7, 7, 7), np.float32),
            np.ones((count, 1280), np.float32),
        )


@pytest.fixture
def classifier(tmp_path):
    """A classifier that needs no model; its input is 32 px."""
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    model = ModelFolder(tmp_path, "tiny", "abc123", lesions.CODES, PRIOR, 32, (point,), {})
    return Classifier(model, MeanColourEngine())
