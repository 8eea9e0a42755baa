"""The graph of an average: several models' networks in one, up to a common last layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from skin_gradio.models import ModelFolder
from training import calibrate
from training.half_precision import rounded


@dataclass(frozen=True)
class Member:
    """A model's network without its last layer, and that layer with the prior taken out of it.

    `network` takes uint8 (n, size, size, 3) and returns `hidden` (n, d), `heatmaps` and `embedding`; the logits at
    equal priors are hidden times `kernel`, float (d, classes), plus `bias`, float (classes,).
    """

    network: Any
    size: int
    kernel: np.ndarray
    bias: np.ndarray


def open_member(model: ModelFolder, name: str) -> Member:
    """Return a model's network, called `name`, and its last layer."""
    import keras

    graph = keras.saving.load_model(model.file("model.keras"), compile=False, safe_mode=True)
    last = graph.get_layer("probabilities")
    outputs = {"hidden": last.input, **{key: graph.output[key] for key in ("heatmaps", "embedding")}}
    network = keras.Model(graph.input, outputs, name=name)
    kernel, bias = (np.asarray(values, np.float64) for values in last.get_weights())
    return Member(network, model.input_size, kernel, bias - np.log(model.prior))


def open_members(models: Sequence[ModelFolder]) -> list[Member]:
    """Return the models' networks, each with a name of its own."""
    return [open_member(model, f"member_{place}") for place, model in enumerate(models)]


def in_half_precision(member: Member) -> Member:
    """Return a member whose network's large arrays hold float16 values."""
    return replace(member, network=rounded(member.network))


def mean_of_weights(members: Sequence[Member], shares: np.ndarray) -> Member:
    """Return one network whose weights are the members' mean.

    Args:
        members: models of one network, that went on from one start: between others lies nothing that works.
        shares: float (members,), sum 1.

    Raises ValueError where the members are not of one network.
    """
    import keras

    first = members[0]
    weights = [member.network.get_weights() for member in members]
    shapes = [[array.shape for array in each] + [member.size] for each, member in zip(weights, members, strict=True)]
    if any(one != shapes[0] for one in shapes):
        raise ValueError("their networks or input sizes differ")
    network = keras.models.clone_model(first.network)
    network.set_weights([sum(s * a for s, a in zip(shares, each, strict=True)) for each in zip(*weights, strict=True)])
    kernel = np.tensordot(shares, np.stack([member.kernel for member in members]), axes=1)
    bias = np.tensordot(shares, np.stack([member.bias for member in members]), axes=1)
    return Member(network, first.size, kernel, bias)


def average_model(
    members: Sequence[Member],
    shares: np.ndarray,
    prior: np.ndarray,
    calibration: calibrate.Calibration,
    name: str,
) -> Any:
    """Return the shipped graph, like `training.export.inference_model`: `probabilities`, `heatmaps` and `embedding`.

    The members' last layers become one on top of all their features, so shares, calibration and prior cost nothing. The
    maps are the average of the members', on the finest member's grid; the embedding is theirs side by side.

    Args:
        members: the models.
        shares: float (members,), sum 1.
        prior: float (classes,), the mix of classes that the probabilities are for.
        calibration: temperature and biases of the averaged logits.
        name: of the Keras model.
    """
    import keras

    size = max(member.size for member in members)
    scales = shares / calibration.temperature

    # Layers
    probabilities = keras.layers.Dense(len(prior), activation="softmax", name="probabilities")
    together = keras.layers.Concatenate(name="hidden")
    added = keras.layers.Add(name="heatmaps")
    embedding = keras.layers.Concatenate(name="embedding")

    # Functional model
    pictures = keras.Input((size, size, 3), dtype="uint8", name="pictures")
    outputs = [member.network(_shrunk(pictures, member.size)) for member in members]
    grid = max(output["heatmaps"].shape[1] for output in outputs)
    maps = [
        _interpolated(keras.layers.Rescaling(scale)(output["heatmaps"]), grid, Image.Resampling.BILINEAR)
        for scale, output in zip(scales, outputs, strict=True)
    ]
    model = keras.Model(
        pictures,
        {
            "probabilities": probabilities(together([output["hidden"] for output in outputs])),
            "heatmaps": added(maps),
            "embedding": embedding([output["embedding"] for output in outputs]),
        },
        name=name,
    )
    _fill(probabilities, members, scales, calibration.bias + np.log(prior))
    return model


def single_model(member: Member, prior: np.ndarray, calibration: calibrate.Calibration, name: str) -> Any:
    """Return the shipped graph of one network, whose layers are at its top level; see `average_model`."""
    import keras

    probabilities = keras.layers.Dense(len(prior), activation="softmax", name="probabilities")
    scale, found = 1 / calibration.temperature, member.network.output
    outputs = {
        "probabilities": probabilities(found["hidden"]),
        "heatmaps": keras.layers.Rescaling(scale, name="scaled_heatmaps")(found["heatmaps"]),
        "embedding": found["embedding"],
    }
    model = keras.Model(member.network.input, outputs, name=name)
    _fill(probabilities, [member], np.array([scale]), calibration.bias + np.log(prior))
    return model


def _fill(layer: Any, members: Sequence[Member], scales: np.ndarray, bias: np.ndarray) -> None:
    """Give the common last layer the members' own, scaled and side by side, and `bias`, float (classes,), besides."""
    kernel = np.concatenate([scale * member.kernel for scale, member in zip(scales, members, strict=True)])
    bias = bias + sum(scale * member.bias for scale, member in zip(scales, members, strict=True))
    layer.set_weights([np.array(value, np.float32) for value in (kernel, bias)])


def _shrunk(pictures: Any, size: int) -> Any:
    """Return uint8 (n, size, size, 3): the resize that uploads get, to within rounding."""
    import keras

    if pictures.shape[1] == size:
        return pictures
    resized = _interpolated(keras.ops.cast(pictures, "float32"), size, Image.Resampling.BICUBIC)
    return keras.ops.cast(keras.ops.clip(keras.ops.round(resized), 0, 255), "uint8")


def _interpolated(values: Any, size: int, way: Image.Resampling) -> Any:
    """Return (n, size, size, channels) from a square grid (n, side, side, channels), resized as Pillow does it.

    A resize is linear, and along one axis at a time; so it is two products with a fixed matrix, which every backend and
    every engine computes alike. Their own resizes differ from each other and from Pillow's.
    """
    import keras

    side, channels = int(values.shape[1]), int(values.shape[3])
    if side == size:
        return values
    # Each row of the identity, resized, says what one place gives to the places of the result.
    weights = np.array(Image.fromarray(np.eye(side, dtype=np.float32)).resize((size, side), way))
    for equation, shape in (("bhwc,hk->bkwc", (size, side, channels)), ("bhwc,wk->bhkc", (size, size, channels))):
        layer = keras.layers.EinsumDense(equation, shape, trainable=False)
        values = layer(values)
        layer.set_weights([weights])
    return values


def balanced_logits(members: Sequence[Member], pictures: np.ndarray) -> np.ndarray:
    """Return float64 (members, n, classes), each member's logits at equal priors.

    Args:
        members: the models.
        pictures: uint8 (n, size, size, 3), of the largest member's size.
    """
    import keras

    shown = keras.Input(pictures.shape[1:], dtype="uint8")
    hidden = {str(place): one.network(_shrunk(shown, one.size))["hidden"] for place, one in enumerate(members)}
    found = keras.Model(shown, hidden).predict(pictures, batch_size=32, verbose=0)
    return np.stack([found[str(place)] @ one.kernel + one.bias for place, one in enumerate(members)])
