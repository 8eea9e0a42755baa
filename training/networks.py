"""Backbones and heads by name. A training model takes uint8 pictures of any size and returns logits at equal priors."""

import importlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.command import UserError

STARTING_WEIGHTS = "STARTING_WEIGHTS_DIR"


_IMAGENET_MEAN, _IMAGENET_DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications` without its top, and how it wants its pictures scaled."""

    application: str
    scale: float | Sequence[float] = 1 / 127.5
    offset: float | Sequence[float] = -1.0
    blue_first: bool = False
    """Its ImageNet weights are for BGR; the first kernel is turned round, so that the network takes RGB."""
    branch: int | None = None
    """Place of the residual branch, the other is the shortcut, in its additions; None where it has none that may be
    skipped."""

    def build(self, weights: str | None) -> keras.Model:
        """Return the network without top for pictures of any size."""
        module, name = self.application.split(".")
        builder: Callable[..., keras.Model] = getattr(importlib.import_module(f"keras.applications.{module}"), name)
        return builder(include_top=False, weights=weights, input_shape=(None, None, 3))


@dataclass(frozen=True)
class Stack:
    """A Sequential network of convolutions and pooling, trained from scratch: one block for each entry of `filters`."""

    filters: tuple[int, ...]
    convolutions: int = 1
    """Convolutions of a block."""
    batch_norm: bool = True
    scale: float = 1 / 127.5
    offset: float = -1.0
    blue_first: bool = False
    branch: int | None = None

    def build(self, weights: str | None) -> keras.Model:
        """Return the network without top for pictures of any size. It has no ImageNet weights.

        Raises UserError when some are asked for.
        """
        if weights is not None:
            raise UserError(f"A network of this kind has no {weights} weights; set start to random.")
        layers: list[keras.Layer] = [keras.Input((None, None, 3))]
        for block, filters in enumerate(self.filters):
            if block:
                layers.append(keras.layers.MaxPooling2D())
            for _ in range(self.convolutions):
                layers.append(keras.layers.Conv2D(filters, 3, padding="same", use_bias=not self.batch_norm))
                if self.batch_norm:
                    layers.append(keras.layers.BatchNormalization())
                layers.append(keras.layers.ReLU())
        return keras.Sequential(layers)


BACKBONES: dict[str, Backbone | Stack] = {
    "densenet121": Backbone(
        "densenet.DenseNet121",
        scale=tuple(1 / 255 / _IMAGENET_DEVIATION),
        offset=tuple(-_IMAGENET_MEAN / _IMAGENET_DEVIATION),
    ),
    "efficientnet_b4": Backbone("efficientnet.EfficientNetB4", scale=1.0, offset=0.0),
    "inception_v3": Backbone("inception_v3.InceptionV3"),
    "mobilenet_v2": Backbone("mobilenet_v2.MobileNetV2", branch=1),
    "resnet50": Backbone("resnet.ResNet50", scale=1.0, offset=(-123.68, -116.779, -103.939), blue_first=True, branch=1),
    "resnet50_v2": Backbone("resnet_v2.ResNet50V2", branch=1),
    "xception": Backbone("xception.Xception", branch=0),
    "cnn_94": Stack((32, 64, 96, 128, 192), convolutions=2),
    "cnn_binary": Stack((32, 64, 128, 128)),
}


def build(
    network: str, classes: int, hidden_units: int, dropout: float, start: str, stochastic_depth: float = 0.0
) -> keras.Model:
    """Return a training model: uint8 (n, h, w, 3) RGB -> float32 logits (n, classes).

    Args:
        network: a name in BACKBONES.
        classes: number of classes.
        hidden_units: width of the head's dense ReLU layer; 0 leaves it out.
        dropout: rate before the last layer.
        start: `imagenet`, `random`, the path of a `.weights.h5` file for the backbone, or the folder of a run of the
            same network, whose best weights are taken whole.
        stochastic_depth: share of the pictures that skip the last residual branch in training; see `skipping`.

    Raises UserError for an unknown network, a folder without a run of this one, or stochastic depth in a network
    without residual branches; FileNotFoundError for a weights file that does not exist.
    """
    if network not in BACKBONES:
        raise UserError(f"network must be one of {sorted(BACKBONES)}. Received: {network}")
    spec = BACKBONES[network]

    # Layers
    run = Path(start) if Path(start).is_dir() else None
    backbone = skipping(_started(spec, network, "random" if run else start), spec.branch, stochastic_depth)
    rescale = keras.layers.Rescaling(spec.scale, spec.offset, name="rescale")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    normalise = keras.layers.BatchNormalization(name="normalise")
    drop = keras.layers.Dropout(dropout, name="drop")
    last = keras.layers.Dense(classes, kernel_initializer="zeros", dtype="float32", name="logits")

    # Functional model
    pictures = keras.Input((None, None, 3), dtype="uint8", name="pictures")
    x = normalise(pool(backbone(rescale(pictures))))
    if hidden_units:
        x = keras.layers.Dense(hidden_units, activation="relu", name="hidden")(x)
        last.kernel_initializer = keras.initializers.GlorotUniform()
    model = keras.Model(pictures, last(drop(x)), name=network)
    if run:
        _continue_from(model, run)
    return model


def _continue_from(model: keras.Model, run: Path) -> None:
    """Load the best weights of a run of the same network. Raises UserError when the folder holds none."""
    progress = run / "progress.json"
    if not progress.is_file():
        raise UserError(f"start names the folder {run}, which holds no run: there is no progress.json.")
    best = json.loads(progress.read_text())["best_file"]
    try:
        model.load_weights(run / best)
    except ValueError as error:
        raise UserError(f"start: {run / best} does not fit {model.name} with this head: {error}") from None


def _started(spec: Backbone | Stack, network: str, start: str) -> keras.Model:
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
        if start == "imagenet" and spec.blue_first:
            first = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D))
            kernel, *others = first.get_weights()
            first.set_weights([np.ascontiguousarray(kernel[:, :, ::-1]), *others])
    backbone.name = "backbone"
    return backbone


class _SkippingAdd(keras.layers.Add):
    """The addition of a shortcut and a residual branch that some pictures, by chance, skip in training."""

    def __init__(self, branch: int, rate: float, **options: Any):
        super().__init__(**options)
        self._branch = branch
        self._drop = keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1))

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """Return the sum; in training, of what the branch is where it is not skipped, enlarged to the same mean."""
        added = list(inputs)
        added[self._branch] = self._drop(added[self._branch], training=training)
        return super().call(added)

    def compute_output_spec(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """Return the sum's shape and type, which Keras asks for with the arguments of `call`."""
        return super().compute_output_spec(inputs)


def skipping(backbone: keras.Model, branch: int | None, rate: float) -> keras.Model:
    """Return the network with stochastic depth: the same layers and weights, but additions that skip branches.

    The layers keep their order, so that files of weights fit a network with and without it.

    Args:
        backbone: a network with residual additions.
        branch: place of the residual branch in these.
        rate: probability that a picture skips the last branch; the n-th of N is skipped with n / N of it.

    Raises UserError for a rate above 0 where there is no branch.
    """
    if not rate:
        return backbone
    if branch is None:
        able = ", ".join(name for name, spec in BACKBONES.items() if spec.branch is not None)
        raise UserError(f"stochastic_depth wants a network whose residual branches can be skipped: {able}.")
    additions = [layer.name for layer in backbone.layers if isinstance(layer, keras.layers.Add)]

    def replaced(layer: keras.Layer) -> keras.Layer:
        if layer.name not in additions:
            return layer
        own_rate = rate * (additions.index(layer.name) + 1) / len(additions)
        return _SkippingAdd(branch, own_rate, name=layer.name, dtype=layer.dtype_policy)

    skipped = keras.models.clone_model(backbone, clone_function=replaced)
    skipped.name = backbone.name
    return skipped


def set_trainable(model: keras.Model, trains: str, freeze_batch_norm: bool) -> None:
    """Choose what learns: `all` layers or the `head` alone; frozen batch normalisation keeps its statistics as well."""
    backbone = model.get_layer("backbone")
    backbone.trainable = trains == "all"
    if trains == "all" and freeze_batch_norm:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


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
