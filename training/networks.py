"""Backbones and heads by name. A training model takes uint8 pictures of any size and returns logits at equal priors."""

import importlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

STARTING_WEIGHTS = "STARTING_WEIGHTS_DIR"


@dataclass(frozen=True)
class Backbone:
    """A convolutional network without its top: how Keras calls it and how it wants its pictures scaled."""

    application: str
    scale: float
    offset: float

    def build(self, weights: str | None) -> keras.Model:
        """Return the network without top for pictures of any size."""
        module, name = self.application.split(".")
        builder: Callable[..., keras.Model] = getattr(importlib.import_module(f"keras.applications.{module}"), name)
        return builder(include_top=False, weights=weights, input_shape=(None, None, 3))


BACKBONES = {
    "mobilenet_v2": Backbone("mobilenet_v2.MobileNetV2", scale=1 / 127.5, offset=-1.0),
}


def build(network: str, classes: int, hidden_units: int, dropout: float, start: str) -> keras.Model:
    """Return a training model: uint8 (n, h, w, 3) RGB -> float32 logits (n, classes).

    Args:
        network: a name in BACKBONES.
        classes: number of classes.
        hidden_units: width of the head's dense ReLU layer; 0 leaves it out.
        dropout: rate before the last layer.
        start: `imagenet`, `random` or the path of a `.weights.h5` file for the backbone.

    Raises ValueError for an unknown network and FileNotFoundError for a weights file that does not exist.
    """
    if network not in BACKBONES:
        raise ValueError(f"network must be one of {sorted(BACKBONES)}. Received: {network}")
    spec = BACKBONES[network]

    # Layers
    backbone = _started(spec, network, start)
    rescale = keras.layers.Rescaling(spec.scale, spec.offset, name="rescale")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    normalise = keras.layers.BatchNormalization(name="normalise")
    drop = keras.layers.Dropout(dropout, name="drop")
    last = keras.layers.Dense(classes, kernel_initializer="zeros", name="logits")

    # Functional model
    pictures = keras.Input((None, None, 3), dtype="uint8", name="pictures")
    x = normalise(pool(backbone(rescale(pictures))))
    if hidden_units:
        x = keras.layers.Dense(hidden_units, activation="relu", name="hidden")(x)
        last.kernel_initializer = keras.initializers.GlorotUniform()
    return keras.Model(pictures, last(drop(x)), name=network)


def _started(spec: Backbone, network: str, start: str) -> keras.Model:
    if start == "random":
        backbone = spec.build(None)
    else:
        file = starting_file(network) if start == "imagenet" else Path(start)
        if file is None:
            backbone = spec.build("imagenet")
        else:
            if not file.is_file():
                raise FileNotFoundError(f"start names a weights file that does not exist: {file}")
            backbone = spec.build(None)
            backbone.load_weights(file, skip_mismatch=True)
    backbone.name = "backbone"
    return backbone


def starting_file(network: str) -> Path | None:
    """Return the local file of a network's ImageNet weights, or None where Keras is to download them."""
    folder = os.environ.get(STARTING_WEIGHTS)
    if not folder:
        return None
    file = Path(folder) / f"{network}.weights.h5"
    if not file.is_file():
        warnings.warn(f"{file} does not exist; Keras will download the ImageNet weights instead.", stacklevel=2)
        return None
    return file
