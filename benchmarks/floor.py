"""What a picture costs at the very least on this machine: the decoder, one resampling, the graph's multiply-adds."""

import io
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skin_gradio.classifier import Classifier
from skin_gradio.engines import Engine
from skin_gradio.images import DRAFT_SIDE, read_picture


def multiply_adds(path: Path, size: int) -> int:
    """Return how many multiply-adds an ONNX graph does for one picture in its convolutions and matrix products.

    The shapes are taken from a run on a blank picture: shape inference stops where a shape is computed.

    Args:
        path: a graph with one input, uint8 (n, size, size, 3).
        size: side of the picture, pixels.

    Raises ValueError for an Einsum with an ellipsis, whose sizes it does not say.
    """
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    counted = [node for node in model.graph.node if node.op_type in _COUNTS]
    held = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = {name for node in counted for name in (*node.input, *node.output) if name and name not in held}
    given = {value.name for value in model.graph.output}
    (picture,) = model.graph.input
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - given - {picture.name}))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    blank = np.zeros((1, size, size, 3), np.uint8)
    shapes = {**held, picture.name: blank.shape}
    shapes |= {name: value.shape for name, value in zip(names, session.run(names, {picture.name: blank}), strict=True)}
    return sum(_COUNTS[node.op_type](node, shapes) for node in counted)


_Shapes = Mapping[str, tuple[int, ...]]


def _convolution(node: Any, shapes: _Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _product(node: Any, shapes: _Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _general_product(node: Any, shapes: _Shapes) -> int:
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if turned else 1]


def _einsum(node: Any, shapes: _Shapes) -> int:
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    if "." in equation:
        raise ValueError(f"An Einsum without an ellipsis is expected. Received: {equation}")
    letters = [part.replace(" ", "") for part in equation.split("->")[0].split(",")]
    sizes = {
        letter: side
        for name, part in zip(node.input, letters, strict=True)
        for letter, side in zip(part, shapes[name], strict=True)
    }
    return math.prod(sizes.values())


_COUNTS: dict[str, Callable[[Any, _Shapes], int]] = {
    "Conv": _convolution,
    "MatMul": _product,
    "Gemm": _general_product,
    "Einsum": _einsum,
}


def machine_rate(side: int = 2048, repeats: int = 10) -> float:
    """Return the multiply-adds per second of all cores in the best of some large float32 matrix products."""
    first, second = np.random.default_rng(1).standard_normal((2, side, side), np.float32)
    product = np.empty_like(first)
    return side**3 / min(_taken(lambda: np.matmul(first, second, out=product)) for _ in range(repeats))


def decoded(data: bytes) -> Image.Image:
    """Return a JPEG as its decoder gives it, with no check of what it is."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
    image.load()
    return image


def resized(image: Image.Image, size: int) -> np.ndarray:
    """Return the central square, uint8 (size, size, 3), cropped and resampled in one step."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _taken(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def median_ms(call: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Return the median duration of a call over its inputs, ms."""
    taken = []
    for one in inputs:
        begun = time.perf_counter()
        call(one)
        taken.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(taken)


def per_second(call: Callable[[Any], object], inputs: Sequence[Any], repeats: int = 5) -> float:
    """Return how many inputs per second all cores handle, each one after another: the median of some turns."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return len(inputs) / statistics.median(_taken(lambda: list(pool.map(call, inputs))) for _ in range(repeats))


def floors(rates: Mapping[str, float], multiply_adds: int) -> tuple[float, float]:
    """Return the most pictures per second of a batch whose graph takes its multiply-adds' time, or ONNX Runtime's.

    Decoding and resampling take their time on the same cores; nothing else is done.

    Args:
        rates: what `measure_rates` returned.
        multiply_adds: the graph's, for one picture.
    """
    prepare, at_best = 1 / rates["prepared_per_second"], multiply_adds / rates["multiply_adds_per_second"]
    return 1 / (prepare + at_best), 1 / (prepare + 1 / rates["graph_per_second"])


def measure_rates(one_core: Engine, files: Sequence[bytes], size: int) -> dict[str, float]:
    """Return what all cores together do per second when they do nothing else.

    Args:
        one_core: a graph on ONNX Runtime, a call of which takes one core.
        files: JPEG files.
        size: side of the graph's pictures, pixels.
    """
    squares = [resized(decoded(data), size)[None] for data in files]
    return {
        "prepared_per_second": per_second(lambda data: resized(decoded(data), size), files),
        "graph_per_second": per_second(one_core.run, squares),
        "multiply_adds_per_second": machine_rate(),
    }


def measure_costs(classifier: Classifier, files: Sequence[bytes]) -> dict[str, float]:
    """Return what one picture after another takes in this process, at the very least and as we do it: medians, ms.

    Args:
        classifier: the model on ONNX Runtime.
        files: JPEG files.
    """
    size, run = classifier.input_size, classifier.engine.run
    images = [decoded(data) for data in files]
    read = [read_picture(data) for data in files]
    pictures = [(picture.resized(size)[None], [picture.shorter_side]) for picture in read]
    return {
        "decode_ms": median_ms(decoded, files),
        "resize_ms": median_ms(lambda image: resized(image, size), images),
        "read_ms": median_ms(lambda data: read_picture(data).resized(size), files),
        "graph_ms": median_ms(run, [pixels for pixels, _ in pictures]),
        "classify_ms": median_ms(lambda picture: classifier.classify(picture[0], "collection", picture[1]), pictures),
    }
