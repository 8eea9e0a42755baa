"""Runs a model's graph: ONNX Runtime on a CPU, or Keras on JAX or TensorFlow."""

import importlib.util
import os
import threading
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from skin_gradio.models import ModelError, ModelFolder, check_file
from skin_gradio.probe import probe

EngineName = Literal["auto", "onnx", "keras"]
OUTPUTS = ("probabilities", "heatmaps", "embedding")
SUM_TOLERANCE = 1e-3
"""By how much a picture's probabilities may miss 1 in all."""


@dataclass(frozen=True)
class Outputs:
    """What one forward pass returns.

    `probabilities` float32 (n, classes), calibrated for the training collection's mix; `heatmaps` float32
    (n, h, w, classes), class activation maps; `embedding` float32 (n, d), the pooled features.
    """

    probabilities: np.ndarray
    heatmaps: np.ndarray
    embedding: np.ndarray


class Engine(Protocol):
    """Anything that runs a model's graph; calls from several threads are allowed."""

    name: str

    def run(self, pictures: np.ndarray) -> Outputs:
        """Return the graph's outputs for uint8 (n, size, size, 3) RGB."""


def open_engine(model: ModelFolder, name: EngineName = "auto", threads: int | None = None) -> Engine:
    """Return an engine for a model.

    Args:
        model: a verified model folder.
        name: `onnx`, `keras` (its backend from KERAS_BACKEND, else JAX if there is a GPU or no TensorFlow), or `auto`:
            Keras where a GPU and JAX are present, else ONNX Runtime.
        threads: CPU threads of one call of ONNX Runtime; all cores when None.

    Raises ModelError when the graph cannot be opened or does not have the contract's inputs and outputs.
    """
    with_keras = name == "keras" or (name == "auto" and _has_gpu())
    engine: Engine = KerasEngine(model) if with_keras else OnnxEngine(model, threads)
    _try(engine, model)
    return engine


def open_safely(model: ModelFolder, name: EngineName = "auto", threads: int | None = None) -> Engine:
    """Return an engine as `open_engine` does; a model that is not bundled must pass in a child process first.

    Raises ModelError as `open_engine` does, and when the model crashes the child, or takes more time or memory than it
    may have.
    """
    if not model.bundled:
        probe(model, name)
    return open_engine(model, name, threads)


def _has_gpu() -> bool:
    """Say whether an NVIDIA GPU and JAX's part for it are here, without importing JAX where there is none."""
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    return os.path.exists("/dev/nvidia0") and any(importlib.util.find_spec(plugin) for plugin in plugins)


def _try(engine: Engine, model: ModelFolder) -> None:
    """Run a blank picture, which also warms the engine. Raises ModelError when its answer breaks the contract."""
    size, classes = model.input_size, len(model.codes)
    try:
        outputs = engine.run(np.zeros((1, size, size, 3), np.uint8))
    except Exception as error:  # whatever a foreign graph makes its engine raise
        raise ModelError(f"{model.path}: the model cannot answer a {size} x {size} picture: {error}") from None
    if (
        outputs.probabilities.shape != (1, classes)
        or outputs.heatmaps.ndim != 4
        or outputs.heatmaps.shape[-1] != classes
        or outputs.embedding.ndim != 2
        or not np.isclose(outputs.probabilities.sum(), 1, atol=SUM_TOLERANCE)
    ):
        raise ModelError(f"{model.path}: the model's answers do not fit the {classes} classes of its model.json.")


class OnnxEngine:
    """ONNX Runtime on the CPU.

    Args:
        model: a verified model folder.
        threads: CPU threads of one call; all cores when None.

    Raises ModelError when model.onnx cannot be opened or has other inputs and outputs than the contract's.
    """

    name = "onnx"

    def __init__(self, model: ModelFolder, threads: int | None = None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # A plan for each number of pictures would take memory for as long as the session lives, and saves no time.
        options.enable_mem_pattern = False
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.file("model.onnx")), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise ModelError(f"{model.path}: model.onnx cannot be opened: {error}") from None
        inputs, outputs = self._session.get_inputs(), {output.name for output in self._session.get_outputs()}
        if len(inputs) != 1 or inputs[0].type != "tensor(uint8)" or not set(OUTPUTS) <= outputs:
            raise ModelError(f"{model.path}: model.onnx must take one uint8 input and return {', '.join(OUTPUTS)}.")
        self._input = inputs[0].name
        self._model = model
        self._beside_others: OnnxEngine | None = self if threads == 1 else None
        self._opening = threading.Lock()
        self._calls = 0
        self._counting = threading.Lock()

    def run(self, pictures: np.ndarray) -> Outputs:
        """Return the graph's outputs for uint8 (n, size, size, 3) RGB.

        A call that finds another one running keeps to one core.
        """
        with self._counting:
            self._calls += 1
            alone = self._calls == 1
        try:
            session = (self if alone else self.beside_others())._session
            return Outputs(*session.run(OUTPUTS, {self._input: pictures}))
        finally:
            with self._counting:
                self._calls -= 1

    def beside_others(self) -> "OnnxEngine":
        """Return the same graph for callers on as many threads as there are cores: each call keeps to one core.

        It is opened when it is first asked for; this engine is returned where the file is gone or has changed since.
        """
        with self._opening:
            if self._beside_others is None:
                try:
                    check_file(self._model.path, "model.onnx", self._model.card.get("sha256", {}).get("model.onnx"))
                    self._beside_others = OnnxEngine(self._model, threads=1)
                except ModelError:
                    self._beside_others = self
            return self._beside_others


class KerasEngine:
    """Keras on the backend that KERAS_BACKEND names; else on JAX if there is a GPU or no TensorFlow."""

    def __init__(self, model: ModelFolder):
        if "KERAS_BACKEND" not in os.environ and (_has_gpu() or importlib.util.find_spec("tensorflow") is None):
            os.environ["KERAS_BACKEND"] = "jax"
        try:
            import keras
        except ImportError as error:
            raise ModelError(f"The keras engine needs keras and jax or tensorflow: {error}") from None
        self.name = f"keras-{keras.backend.backend()}"
        # On JAX a forward pass gives its weights away while it runs; another thread would find them deleted.
        self._lock = threading.Lock()
        try:
            self._model = keras.saving.load_model(model.file("model.keras"), compile=False, safe_mode=True)
        except Exception as error:  # whatever a foreign file makes Keras raise
            raise ModelError(f"{model.path}: model.keras cannot be opened: {error}") from None
        if not isinstance(self._model.output, dict) or set(self._model.output) != set(OUTPUTS):
            raise ModelError(f"{model.path}: model.keras must return {', '.join(OUTPUTS)}.")

    def run(self, pictures: np.ndarray) -> Outputs:
        """Return the graph's outputs for uint8 (n, size, size, 3) RGB."""
        with self._lock:
            outputs = self._model.predict_on_batch(pictures)
        return Outputs(*(np.asarray(outputs[name]) for name in OUTPUTS))
