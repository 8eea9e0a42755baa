"""The same model as most projects serve it: Keras' predict on TensorFlow, one picture at a time.

    python benchmarks/rivals/keras_predict.py weights/mobilenet_v2/model.keras FILE.jpg ...

Prints pictures per second and the most memory, MB, as JSON.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from one_at_a_time import report
from PIL import Image

model = keras.saving.load_model(sys.argv[1], compile=False)
size = model.inputs[0].shape[1]


def classify(path: str) -> np.ndarray:
    """Return the probabilities for one file, float32 (classes,)."""
    picture = np.asarray(Image.open(path).convert("RGB").resize((size, size)))
    return np.asarray(model.predict(picture[None], verbose=0)["probabilities"][0])


report(classify, sys.argv[2:])
