"""The batch on a Ray cluster: the same rows in the same order, by Ray Data. Needs the `ray` extra."""

import dataclasses
import functools
import itertools
import logging
import socket
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from skin_gradio import batch
from skin_gradio.archives import Item, open_archive, read_entry
from skin_gradio.classifier import Classifier, Finding, Prior
from skin_gradio.engines import OnnxEngine
from skin_gradio.images import UnusableImage
from skin_gradio.input_gate import Doubt
from skin_gradio.models import ModelError, ModelFolder

# Files that a worker takes at once: few at first, so that a small batch is enough for all workers; more later, so that
# a large one makes no tens of thousands of tasks.
FIRST_BLOCK, LARGEST_BLOCK, BLOCKS_OF_A_SIZE = 32, 512, 64
_NOTHING = np.empty(0, np.float32)


def classify_on_ray(
    items: Iterable[Item], model: ModelFolder, prior: Prior, address: str | None
) -> Generator[batch.Row, None, None]:
    """Yield a row without its thumbnail for each item, in their order, as the cluster's workers finish them.

    Every CPU of the cluster runs the graph by ONNX Runtime on one thread. The model travels to the workers; pictures do
    not: each worker reads them where they lie, so that all machines must see them under the same paths. The list of
    files waits in Ray's object store, which spills to disk.

    Args:
        items: what to classify; see `skin_gradio.batch.list_items`. Their places must be absolute paths.
        model: a verified model folder.
        prior: the mix of cases that the probabilities are for.
        address: the cluster's, such as `ray://head:10001` or `auto`; None starts one on this machine.

    Raises ModelError when Ray is not installed, when the cluster cannot be reached or when its workers fail.
    """
    try:
        import pyarrow
        import ray
    except ImportError as error:
        raise ModelError(f"The ray engine needs Ray: pip install 'skin-gradio[ray]' ({error}).") from None
    started = not ray.is_initialized()
    try:
        if started:
            _connect(ray, address)
        graph = ray.put(model.file("model.onnx").read_bytes())
        orders = map(_order, items)
        blocks: list[Any] = []
        while block := list(itertools.islice(orders, _block_size(len(blocks)))):
            blocks.append(ray.put(pyarrow.Table.from_pylist(block, schema=_order_schema(pyarrow))))
        if not blocks:
            return
        workers = max(1, min(int(ray.cluster_resources().get("CPU", 1)), len(blocks)))
        answers = ray.data.from_arrow_refs(blocks).map_batches(
            _Worker,
            fn_constructor_args=([graph], model, prior),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
        )
        for answer in answers.iter_rows():
            yield _row(answer, model.codes, prior)
    except ray.exceptions.RayError as error:
        raise ModelError(f"The Ray cluster could not do the batch: {_last_line(error)}") from None
    finally:
        if started:
            ray.shutdown()


def _block_size(number: int) -> int:
    return min(FIRST_BLOCK * (1 + number // BLOCKS_OF_A_SIZE), LARGEST_BLOCK)


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one here, and keep Ray Data to the order of the files.

    Raises ModelError when there is no cluster at the address.
    """
    _check_reachable(address)
    # The workers of another machine need this package; those of a cluster started here find it where the program does.
    package = {"py_modules": [str(Path(__file__).parent)]} if address else {}
    try:
        ray.init(
            address=address, runtime_env=package, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ModelError(f"There is no Ray cluster to use at {address!r}: {_last_line(error)}") from None
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _check_reachable(address: str | None) -> None:
    """Raise ModelError when nobody answers at a cluster's address: Ray itself would go on asking for ten minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ModelError(f"There is no Ray cluster at {address}: {error}.") from None


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _order_schema(pyarrow: Any) -> Any:
    text = pyarrow.string()
    return pyarrow.schema(
        [("name", text), ("path", text), ("entry", pyarrow.int64()), ("code", text), ("reason", text)]
    )


def _order(item: Item) -> dict[str, Any]:
    """Return an item as plain data; names that are no UTF-8 text, and paths, as text that stands for them."""
    order = {"name": batch.shown_name(item), "path": None, "entry": None, "code": None, "reason": None}
    if item.reason or item.place is None:
        reason = item.reason or UnusableImage("unreadable_file", "The file has no place where a worker could read it.")
        return {**order, "code": reason.code, "reason": str(reason)}
    path = str(item.place.path).encode("utf-8", "surrogateescape").decode("latin-1")
    return {**order, "path": path, "entry": item.place.entry}


class _Worker:
    """Classifies blocks of files in a process of the cluster."""

    def __init__(self, graph: list[Any], model: ModelFolder, prior: Prior):
        """Write the graph, the one object reference in the list, where ONNX Runtime can open it."""
        import ray

        self._folder = tempfile.TemporaryDirectory(prefix="skin-ray-")
        here = dataclasses.replace(model, path=Path(self._folder.name))
        here.file("model.onnx").write_bytes(ray.get(graph[0]))
        self._classifier = Classifier(here, OnnxEngine(here, threads=1))
        self._prior: Prior = prior
        self._open = functools.lru_cache(maxsize=2)(open_archive)

    def __call__(self, orders: Any) -> Any:
        """Return a table of rows for a table of orders."""
        import pyarrow

        items = map(self._item, orders.to_pylist())
        rows = batch.classify_items(items, self._classifier, self._prior, workers=1, thumbnails=False)
        answers = [_answer(row) for row in rows]
        return pyarrow.Table.from_pylist(answers, schema=_answer_schema(pyarrow))

    def _item(self, order: dict[str, Any]) -> Item:
        if order["reason"]:
            return Item(order["name"], bytes, UnusableImage(order["code"], order["reason"]))
        path = Path(order["path"].encode("latin-1").decode("utf-8", "surrogateescape"))
        if order["entry"] is None:
            return Item(order["name"], lambda: path)
        return Item(order["name"], lambda: read_entry(self._open(path), order["entry"]))


def _answer_schema(pyarrow: Any) -> Any:
    text, figure = pyarrow.string(), pyarrow.float64()
    texts = [(name, text) for name in ("file", "status", "reason", "code")]
    doubts = pyarrow.list_(pyarrow.struct([("code", text), ("message", text)]))
    return pyarrow.schema([*texts, ("probabilities", pyarrow.list_(figure)), ("score", figure), ("doubts", doubts)])


def _answer(row: batch.Row) -> dict[str, Any]:
    answer = {"file": row.file, "status": row.status, "reason": row.reason, "code": row.code}
    if row.finding is None:
        return {**answer, "probabilities": None, "score": None, "doubts": None}
    return {
        **answer,
        "probabilities": row.finding.probabilities.tolist(),
        "score": row.finding.malignancy_score,
        "doubts": [dataclasses.asdict(doubt) for doubt in row.finding.doubts],
    }


def _row(answer: dict[str, Any], codes: tuple[str, ...], prior: Prior) -> batch.Row:
    finding = None
    if answer["probabilities"] is not None:
        probabilities = np.asarray(answer["probabilities"], np.float64)
        doubts = tuple(Doubt(**doubt) for doubt in answer["doubts"])
        finding = Finding(codes, probabilities, prior, answer["score"], _NOTHING, _NOTHING, doubts)
    return batch.Row(answer["file"], answer["status"], answer["reason"], finding, None, answer["code"])
