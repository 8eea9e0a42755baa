"""A trained network and its validation logits -> the model folder that the app reads."""

import contextlib
import datetime
import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from skin_gradio import lesions
from skin_gradio.engines import OUTPUTS
from skin_gradio.models import FORMAT_VERSION, sha256
from training import calibrate, card
from training.experiment import Experiment
from training.half_precision import store_keras, store_onnx

TASKS = {
    "diagnosis": "diagnosis of pigmented skin lesions in dermatoscopic pictures",
    "malignancy": "malignant or benign group of pigmented skin lesions in dermatoscopic pictures",
}
LIBRARIES = ("keras", "tensorflow-cpu", "tensorflow", "jax", "numpy", "onnx", "onnxruntime", "opencv-python-headless")


def inference_model(trained: Any, prior: np.ndarray, calibration: calibrate.Calibration, input_size: int) -> Any:
    """Return the shipped graph: uint8 (n, size, size, 3) -> `probabilities`, `heatmaps` and `embedding`.

    Calibration, prior and batch normalisation are folded into the head. The maps are those of class activation mapping
    (Zhou et al., arXiv:1512.04150); with a hidden layer they equal Grad-CAM's before its ReLU, whose weights are a
    closed form there: the derivative of the class' logit with respect to the pooled features.

    Args:
        trained: a model of `training.networks.build`.
        prior: float (classes,), the mix of classes that the probabilities are for.
        calibration: temperature and biases of the logits.
        input_size: side of the pictures.
    """
    import keras

    normalise = trained.get_layer("normalise")
    gamma, beta, mean, variance = (np.asarray(keras.ops.convert_to_numpy(w), np.float64) for w in normalise.weights)
    scale = gamma / np.sqrt(variance + normalise.epsilon)
    shift = beta - mean * scale
    hidden = next((layer for layer in trained.layers if layer.name == "hidden"), None)
    last_kernel, last_bias = (_numpy(w) for w in trained.get_layer("logits").weights)
    last_kernel = last_kernel / calibration.temperature
    last_bias = last_bias / calibration.temperature + calibration.bias + np.log(prior)
    first_kernel, first_bias = (_numpy(w) for w in (hidden or trained.get_layer("logits")).weights)
    if hidden is None:
        first_kernel, first_bias = last_kernel, last_bias
    first_bias = first_bias + shift @ first_kernel
    first_kernel = scale[:, None] * first_kernel
    classes = len(prior)

    # Layers
    backbone, rescale = trained.get_layer("backbone"), trained.get_layer("rescale")
    probabilities = keras.layers.Dense(classes, activation="softmax", name="probabilities")

    # Functional model
    pictures = keras.Input((input_size, input_size, 3), dtype="uint8", name="pictures")
    features = backbone(rescale(pictures))
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(features)
    if hidden is None:
        maps = keras.layers.Dense(classes, use_bias=False, name="heatmaps")
        outputs = {"probabilities": probabilities(embedding), "heatmaps": maps(features), "embedding": embedding}
        _set(probabilities, first_kernel, first_bias)
        _set(maps, first_kernel)
    else:
        layer = keras.layers.Dense(hidden.units, activation="relu", name="hidden")
        active = layer(embedding)
        mask = keras.ops.cast(active > 0, "float32")
        per_class = keras.layers.EinsumDense("bh,hc->bch", (classes, hidden.units), name="class_weights")
        back = keras.layers.Dense(first_kernel.shape[0], use_bias=False, name="feature_weights")
        maps = keras.ops.einsum("bcd,bijd->bijc", back(per_class(mask)), features)
        outputs = {
            "probabilities": probabilities(active),
            "heatmaps": keras.layers.Identity(name="heatmaps")(maps),
            "embedding": embedding,
        }
        _set(layer, first_kernel, first_bias)
        _set(probabilities, last_kernel, last_bias)
        _set(per_class, last_kernel)
        _set(back, first_kernel.T)
    return keras.Model(pictures, outputs, name=trained.name)


def _numpy(variable: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


def _set(layer: Any, *values: np.ndarray) -> None:
    """Give a layer copies: two variables on one buffer break JAX's donation."""
    layer.set_weights([np.array(value, np.float32) for value in values])


def write_onnx(model: Any, path: Path) -> None:
    """Export the graph, check its answers and give its input and outputs the contract's names.

    Each backend names and orders the outputs in its own way, so an output is known by what it returns.

    Raises RuntimeError when an exported output agrees with none of the model's.
    """
    import keras
    import onnx
    import onnxruntime

    size = int(model.inputs[0].shape[1])
    probe = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    # Called directly: export refuses a model that only predict() has run.
    expected = {name: keras.ops.convert_to_numpy(value) for name, value in model(probe).items()}
    model.export(path, format="onnx", verbose=False)
    proto = onnx.load(path)
    _keep_padding(proto.graph)
    onnx.save(proto, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pictures = session.get_inputs()[0].name
    names = {pictures: "pictures"}
    for output, answer in zip(session.get_outputs(), session.run(None, {pictures: probe}), strict=True):
        matches = [name for name, value in expected.items() if _agree(value, answer)]
        if len(matches) != 1:
            raise RuntimeError(f"The exported graph's output {output.name} agrees with none of {', '.join(OUTPUTS)}.")
        names[output.name] = matches[0]
    _rename(proto.graph, names)
    proto.doc_string = ""
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _keep_padding(graph: Any) -> None:
    """Keep ONNX Runtime from fusing zero padding into the max pooling behind it, which then pads with minus infinity.

    The fusion (Pad_Fusion, seen in 1.31) changes the answer where the padded values are negative, as in ResNet50V2. A
    clip that changes nothing stands between the two.
    """
    from onnx import helper, numpy_helper

    padded = {node.output[0] for node in graph.node if node.op_type == "Pad"}
    lowest = numpy_helper.from_array(np.array(np.finfo(np.float32).min, np.float32), "lowest_float")
    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type == "MaxPool" and node.input[0] in padded:
            kept = f"{node.input[0]}_kept"
            graph.node.insert(place, helper.make_node("Clip", [node.input[0], lowest.name], [kept]))
            node.input[0] = kept
            if lowest.name not in {one.name for one in graph.initializer}:
                graph.initializer.append(lowest)


def _agree(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-3, atol=1e-4)


def _rename(graph: Any, names: dict[str, str]) -> None:
    for value in [*graph.input, *graph.output]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def export_folder(
    trained: Any,
    experiment: Experiment,
    codes: Sequence[str],
    prior: np.ndarray,
    calibration: calibrate.Calibration,
    validation_logits: np.ndarray,
    validation_labels: np.ndarray,
    record: dict[str, Any],
    folder: Path,
) -> None:
    """Write the calibrated model folder of a trained network, see `write_folder`.

    Args:
        trained: a model of `training.networks.build` with the weights to ship.
        experiment: what trained it.
        codes: class order.
        prior: float (classes,), the training collection's mix.
        calibration: from the trained model's logits to probabilities.
        validation_logits: float (n, classes), the trained model's answers, at the experiment's input size, to the
            pictures that operating points and prediction sets are chosen on.
        validation_labels: int (n,).
        record: what else the training record should hold: data fingerprint, duration, best epoch, history.
        folder: the model folder.
    """
    graph = inference_model(trained, prior, calibration, experiment.input_size)
    document = {
        **identity(experiment.name, experiment.task),
        **fitted(codes, prior, calibration, validation_logits, validation_labels),
        "input_size": experiment.input_size,
        "parameters": int(trained.count_params()),
        "training": {"experiment": experiment.as_dict(), **circumstances(), **record},
    }
    write_folder(graph, document, folder)


def identity(name: str, task: str) -> dict[str, Any]:
    """Return what a model.json begins with: format, name and task (a key of TASKS)."""
    return {"format_version": FORMAT_VERSION, "name": name, "task": TASKS[task]}


def fitted(
    codes: Sequence[str],
    prior: np.ndarray,
    calibration: calibrate.Calibration,
    logits: np.ndarray,
    labels: np.ndarray,
) -> dict[str, Any]:
    """Return what model.json says of a model's calibration, and what is chosen on validation pictures with it.

    Args:
        codes: class order.
        prior: float (classes,), the mix that the probabilities are for.
        calibration: from logits to probabilities.
        logits: float (n, classes), at equal priors, of the pictures that operating points and prediction sets are
            chosen on.
        labels: int (n,), theirs.
    """
    probabilities = calibration.probabilities(logits, prior)
    malignant = np.array(lesions.malignant_mask(codes))
    return {
        "classes": list(codes),
        "prior": [float(value) for value in prior],
        "calibration": {"temperature": calibration.temperature, "bias": calibration.bias.tolist()},
        "operating_points": calibrate.operating_points(malignant[labels], probabilities[:, malignant].sum(axis=1)),
        "prediction_sets": calibrate.prediction_sets(labels, probabilities),
    }


def circumstances() -> dict[str, Any]:
    """Return what a training record says of the machine, the libraries and the day."""
    import keras

    return {
        "backend": keras.backend.backend(),
        "versions": _versions(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "exported": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def write_folder(graph: Any, document: dict[str, Any], folder: Path, half_precision: bool = False) -> None:
    """Write a model folder of a graph with the contract's outputs; an older one of the name is replaced at the end.

    Args:
        graph: Keras model, see `inference_model`.
        document: model.json without its checksums.
        folder: the model folder.
        half_precision: store as float16 what loses nothing by it, see `training.half_precision`.
    """
    with replacing(folder) as partial:
        graph.save(partial / "model.keras")
        write_onnx(graph, partial / "model.onnx")
        if half_precision:
            store_keras(partial / "model.keras")
            store_onnx(partial / "model.onnx")
        write_document(partial, with_checksums(document, partial))


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write a model into, which takes the place of `folder` when all went well.

    Until then it is a hidden folder beside it, which no program takes for a model; after an error it is gone.
    """
    partial, old = (folder.with_name(f".{state}-{folder.name}") for state in ("partial", "old"))
    _tidy(folder, partial, old)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def with_checksums(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a model.json with the checksums of the graphs in a folder."""
    return {**document, "sha256": {name: sha256(folder / name) for name in ("model.keras", "model.onnx")}}


def _tidy(folder: Path, partial: Path, old: Path) -> None:
    """Remove what an export that was killed has left, and put back the folder that it had put aside."""
    shutil.rmtree(partial, ignore_errors=True)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_document(folder: Path, document: dict[str, Any]) -> None:
    """Write `model.json` and the card that is generated from it."""
    (folder / "README.md").write_text(card.model_card(document), encoding="utf-8")
    partial = folder / "partial-model.json"
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / "model.json")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except ImportError:
            continue
    return found
