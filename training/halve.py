"""Store the weights of a model folder in half precision: files of about half the size, the same answers.

    python -m training.halve runs/weights/average

Kernels are stored as float16, in both files alike, and computed with in float32 as before. Biases and the like stay as
they are, for they are small and add up. The folder is left alone where that would move any probability of a validation
picture by more than 0.001; calibration, thresholds and gate stay what they are.
"""

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from skin_gradio.engines import Engine, KerasEngine, OnnxEngine
from skin_gradio.models import ModelFolder, find_model, read_folder
from training import batches, collection, export
from training.command import UserError, run_command
from training.experiment import Backend

MOST_MOVED = 1e-3
"""The most that a probability may move by."""
MIN_VALUES = 1024
"""Smaller arrays are not worth it."""
BATCH = 32
_WEIGHTS = "model.weights.h5"


class HalveError(UserError):
    """The model's weights cannot be stored in half precision; the message says why."""


@dataclass(frozen=True)
class HalveCommand:
    """Store the weights of a model folder in half precision."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, or a bundled model's name."""
    on: tuple[str, ...] = ()
    """Collections on whose validation pictures the answers are compared; those that the model learned from when not
    given. Pictures of your own are named by their path."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    backend: Backend = "tensorflow"
    """Keras' backend, which opens the new model.keras once (unless KERAS_BACKEND says otherwise)."""


def _is_large(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and int(np.prod(shape)) >= MIN_VALUES


def halve_onnx(source: Path, target: Path) -> None:
    """Write a graph whose kernels are stored as float16; a cast before each use makes them float32 again."""
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load(source)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and _is_large(tuple(tensor.dims)):
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    for place, node in enumerate(casts):
        proto.graph.node.insert(place, node)
    onnx.checker.check_model(proto)
    onnx.save(proto, target)


def halve_keras(source: Path, target: Path) -> None:
    """Write a model.keras whose kernels are stored as float16; Keras gives them the layers' own type as it loads."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, _halved(old.read(name)) if name == _WEIGHTS else old.read(name))


def _halved(weights: bytes) -> bytes:
    """Return a weights file, HDF5, with its large arrays in float16."""
    import h5py

    made = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(made, "w") as new:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                copied = new.require_group(name)
            else:
                half = item.dtype == np.float32 and _is_large(item.shape)
                copied = new.create_dataset(name, data=item[()].astype(np.float16) if half else item[()])
            copied.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return made.getvalue()


def most_moved(first: Engine, second: Engine, paths: list[Path], size: int) -> float:
    """Return the largest difference between two engines' probabilities over pictures, each read as an upload is."""
    largest = 0.0
    for start in range(0, len(paths), BATCH):
        pictures = batches.decode(paths[start : start + BATCH], size)
        gap = np.abs(first.run(pictures).probabilities - second.run(pictures).probabilities)
        largest = max(largest, float(gap.max()))
    return largest


def halve_folder(model: ModelFolder, paths: list[Path]) -> float:
    """Store a model folder's weights in half precision; return the most that any probability moved by.

    Args:
        model: the folder.
        paths: pictures that the answers are compared on.

    Raises HalveError, and leaves the folder alone, where that is more than MOST_MOVED.
    """
    with export.replacing(model.path) as partial:
        halve_onnx(model.file("model.onnx"), partial / "model.onnx")
        halve_keras(model.file("model.keras"), partial / "model.keras")
        export.write_document(partial, export.with_checksums(model.card, partial))
        made = read_folder(partial)
        small = OnnxEngine(made)
        moved = most_moved(OnnxEngine(model), small, paths, model.input_size)
        if moved > MOST_MOVED:
            raise HalveError(f"{model.path} is left as it is: a probability would move by {moved:.4f}.")
        moved = max(moved, most_moved(KerasEngine(made), small, paths[:BATCH], model.input_size))
    return moved


def main() -> None:
    """Run the command line."""
    command = tyro.cli(HalveCommand)
    os.environ.setdefault("KERAS_BACKEND", command.backend)
    model = find_model(command.model)
    if "@" in model.revision:
        raise UserError("A model of the Hub stays what its revision says; copy its folder and halve the copy.")
    experiment = (model.card.get("training") or {}).get("experiment") or {}
    names = command.on or tuple(experiment.get("collections") or ("ham10000",))
    parts = [collection.load(name, command.data).part("validation") for name in names]
    before = model.file("model.onnx").stat().st_size
    moved = halve_folder(model, [path for part in parts for path in part["path"]])
    after = (model.path / "model.onnx").stat().st_size
    print(f"model.onnx: {before / 1e6:.1f} MB, now {after / 1e6:.1f} MB; no probability moved by more than {moved:.6f}")


if __name__ == "__main__":
    run_command(main)
