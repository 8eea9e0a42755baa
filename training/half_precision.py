"""Weights that are stored in half precision: files of about half the size, with the very same answers.

Rounding a finished model moves its answers (an average of MobileNetV2 and InceptionV3 by up to 0.01), and it moves them
apart in its two files, because the ONNX export folds batch normalisation into the kernels in front of it. So it is done
first: `rounded` folds batch normalisation and rounds the kernels, calibration and all else are fitted to what is left,
and `store_keras` and `store_onnx` write those arrays as float16 that lose nothing by it. Biases and the like stay
float32, for they are small and add up; so does the arithmetic.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MIN_VALUES = 1024
"""Smaller arrays are not worth it."""
_WEIGHTS = "model.weights.h5"


def rounded(model: Any) -> Any:
    """Return a copy of a functional Keras model whose large arrays hold float16 values, as float32.

    Batch normalisation right behind a convolution is folded into it, in nested functional models as well.
    """
    made = _folded(model)
    for layer in made.layers:
        _round(layer)
    return made


def store_keras(path: Path) -> None:
    """Store in a model.keras as float16 what loses nothing by it; Keras gives it the layers' own type as it loads."""
    whole = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(whole, "w") as new:
        for name in old.namelist():
            new.writestr(name, _stored(old.read(name)) if name == _WEIGHTS else old.read(name))
    path.write_bytes(whole.getvalue())


def store_onnx(path: Path) -> None:
    """Store in a graph as float16 what loses nothing by it; a cast before each use makes it float32 again."""
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load(path)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if _loses_nothing(values):
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    for place, node in enumerate(casts):
        proto.graph.node.insert(place, node)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _folded(model: Any) -> Any:
    """Return a copy without the batch normalisation that a convolution can take over."""
    import keras

    pairs = _pairs(model)
    convolutions = {first: model.get_layer(second) for first, second in pairs.items()}
    copies: dict[str, Any] = {}

    def copy(operation: Any) -> Any:
        if _is_functional(operation):
            made = _folded(operation)
        else:
            changed = {"use_bias": True} if operation.name in convolutions else {}
            made = type(operation).from_config({**operation.get_config(), **changed})
        copies[operation.name] = made
        return made

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if operation.name in pairs.values() else operation(*args, **kwargs)

    made = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name in convolutions:
            copies[layer.name].set_weights(_taken_over(layer, convolutions[layer.name]))
        elif layer.weights and layer.name not in pairs.values() and not _is_functional(layer):
            copies[layer.name].set_weights(layer.get_weights())
    return made


def _is_functional(operation: Any) -> bool:
    import keras

    return isinstance(operation, keras.Model) and not isinstance(operation, keras.Sequential)


def _pairs(model: Any) -> dict[str, str]:
    """Return the names of convolution -> batch normalisation that reads its output, which nothing else reads."""
    import keras

    config, layers = model.get_config(), {layer.name: layer for layer in model.layers}
    read = {layer["name"]: list(_read(layer["inbound_nodes"])) for layer in config["layers"]}
    times = Counter(name for names in read.values() for name in names)
    times.update(value for value in keras.tree.flatten(config["output_layers"]) if isinstance(value, str))
    pairs = {}
    for name, sources in read.items():
        if isinstance(layers.get(name), keras.layers.BatchNormalization) and len(sources) == 1:
            first, once = sources[0], times[sources[0]] == 1 and len(read[sources[0]]) == 1
            if once and _is_plain_convolution(layers.get(first)) and layers[name].axis in (-1, 3):
                pairs[first] = name
    return pairs


def _is_plain_convolution(layer: Any) -> bool:
    import keras

    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D
    return isinstance(layer, kinds) and layer.activation is keras.activations.linear


def _read(nodes: Any) -> Iterator[str]:
    """Yield the names of the layers whose outputs a layer's inbound nodes, as serialised, read."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        nodes = list(nodes.values())
    if isinstance(nodes, (list, tuple)):
        for node in nodes:
            yield from _read(node)


def _taken_over(convolution: Any, normalisation: Any) -> list[np.ndarray]:
    """Return the weights of a convolution with a bias that answers as this one and the normalisation behind it."""
    import keras

    def values(variable: Any, default: float) -> np.ndarray:
        return np.asarray(default if variable is None else keras.ops.convert_to_numpy(variable), np.float64)

    deviation = np.sqrt(values(normalisation.moving_variance, 1) + normalisation.epsilon)
    scale = values(normalisation.gamma, 1) / deviation
    weights = [np.asarray(array, np.float64) for array in convolution.get_weights()]
    *kernels, last = weights[:-1] if convolution.use_bias else weights
    bias = values(convolution.bias, 0) - values(normalisation.moving_mean, 0)
    channels = last.shape[2:] if isinstance(convolution, keras.layers.DepthwiseConv2D) else last.shape[3:]
    last = last * scale.reshape(channels)
    return [*kernels, last, np.broadcast_to(bias * scale + values(normalisation.beta, 0), scale.shape)]


def _round(layer: Any) -> None:
    for part in getattr(layer, "layers", []):
        _round(part)
    if not hasattr(layer, "layers"):
        layer.set_weights([a.astype(np.float16).astype(a.dtype) if _is_large(a) else a for a in layer.get_weights()])


def _is_large(values: np.ndarray) -> bool:
    return values.dtype == np.float32 and values.ndim > 1 and values.size >= MIN_VALUES


def _loses_nothing(values: np.ndarray) -> bool:
    return _is_large(values) and np.array_equal(values, values.astype(np.float16).astype(np.float32))


def _stored(weights: bytes) -> bytes:
    """Return a weights file, HDF5, with those arrays in float16 that lose nothing by it."""
    import h5py

    made = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(made, "w") as new:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                copied = new.require_group(name)
            else:
                values = item[()]
                half = isinstance(values, np.ndarray) and _loses_nothing(values)
                copied = new.create_dataset(name, data=values.astype(np.float16) if half else values)
            copied.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return made.getvalue()
