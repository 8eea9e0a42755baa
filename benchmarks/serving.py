"""Measure what a user waits for, beside what it costs at the very least and what others take. Linux only.

    python -m benchmarks.serving FOLDER_OF_JPEG_FILES --rivals RIVALS_VENV/bin/python --readme README.md
    python -m benchmarks.serving FOLDER --parts start requests    # the other parts' figures stay as they were stored
    python -m benchmarks.serving FOLDER --parts large             # 10,000 files: does memory grow?
    python -m benchmarks.serving FOLDER --parts --readme README.md    # nothing; only the table of what is stored

Every part works on the same files. Its figures are stored as JSON, and the table is made of all that are stored.
Absolute times hold for the machine they were taken on. The PyTorch rivals need an environment of their own:

    python -m venv RIVALS_VENV && RIVALS_VENV/bin/pip install -r benchmarks/rivals/requirements.txt
"""

import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import tyro

from benchmarks.app_process import ROOT, RunningApp, peak_megabytes, resident_megabytes, running_app, running_server
from benchmarks.batch_run import many_files, run_batch
from benchmarks.floor import floors, measure_costs, measure_rates, median_ms, multiply_adds
from benchmarks.load import PictureClient, ask_at_once
from benchmarks.others import OthersShare
from benchmarks.serving_table import CLIENTS, LARGE_ROWS, Figures, Stored, as_markdown
from skin_gradio.classifier import Classifier
from skin_gradio.engines import open_engine
from skin_gradio.models import find_model

Part = Literal["start", "requests", "batch", "large", "picture", "rivals"]
RIVALS = ROOT / "benchmarks" / "rivals"
OURS = ("collection", "", False)
"""What our /classify takes after the picture: prior, model, whether to look carefully."""
TURNS = 3
"""Starts of the app, and turns of the batch and its floor."""
WARM_UP = 3
NO_RIVALS = (
    "The PyTorch rivals are left out: name a Python that has benchmarks/rivals/requirements.txt installed by --rivals."
)


@dataclass(frozen=True)
class ServingCommand:
    """Measure the app and the batch path on real files."""

    files: Annotated[Path, tyro.conf.Positional]
    """Folder with JPEG files (searched below as well)."""
    parts: tuple[Part, ...] = ("start", "requests", "batch", "picture", "rivals")
    """What to measure now."""
    model: str = "mobilenet_v2"
    """A bundled model's name, a folder or a Hub id."""
    requests: int = 60
    """Pictures of each median, one at a time."""
    seconds: float = 10.0
    """How long several clients at once keep asking."""
    pictures: int = 1000
    """Files of the batch; the folder's again from the start where it has fewer."""
    rivals: Path | None = None
    """Python that has benchmarks/rivals/requirements.txt installed; without it, the PyTorch rivals are left out."""
    store: Path = ROOT / "runs" / "reports" / "serving.json"
    """Where figures are kept between calls."""
    readme: Path | None = None
    """A README whose table (between its `serving` marks) is replaced."""


@contextlib.contextmanager
def _clean(server: Callable[..., contextlib.AbstractContextManager[RunningApp]], *what: Any) -> Iterator[RunningApp]:
    """Start a server whose uploads are gone when it has ended, and which calls nobody."""
    with tempfile.TemporaryDirectory(prefix="skin-serving-") as scratch:
        kept = {"TMPDIR": scratch, "GRADIO_TEMP_DIR": scratch, "GRADIO_ANALYTICS_ENABLED": "False"}
        with server(*what, environment=kept) as running:
            yield running


def measure_start(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Start the app several times and ask it for one picture; return medians."""
    starts = [_start_once(command, files[0].read_bytes()) for _ in range(TURNS)]
    return {name: statistics.median(start[name] for start in starts) for name in starts[0]}


def _start_once(command: ServingCommand, picture: bytes) -> dict[str, float]:
    begun = time.perf_counter()
    with _clean(running_app, "--model", command.model) as app:
        opened = time.perf_counter() - begun
        before = resident_megabytes(app.process)
        PictureClient(app.url, OURS).ask(picture)
        answered = time.perf_counter() - begun
        after = resident_megabytes(app.process)
        return {"opened_s": opened, "answered_s": answered, "memory_opened_mb": before, "memory_mb": after}


def measure_requests(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Ask the app and an empty endpoint in turn, one request at a time; then each with many clients at once."""
    pictures = [file.read_bytes() for file in files]
    empty_app = [sys.executable, str(ROOT / "benchmarks" / "empty_app.py")]
    classifier = _classifier(command)
    blank = [np.zeros((1, classifier.input_size, classifier.input_size, 3), np.uint8)] * command.requests
    with _clean(running_app, "--model", command.model) as app, _clean(running_server, empty_app) as empty:
        graph_before = median_ms(classifier.engine.run, blank)
        ours, nothing = _seconds_in_turn([(app.url, OURS), (empty.url, ())], pictures, command.requests)
        figures: Figures = {
            "request_ms": 1e3 * statistics.median(ours),
            "empty_ms": 1e3 * statistics.median(nothing),
            "own_ms": 1e3 * statistics.median(one - other for one, other in zip(ours, nothing, strict=True)),
            "graph_ms": (graph_before + median_ms(classifier.engine.run, blank)) / 2,
            "gradio_client_ms": 1e3 * _with_gradio_client(app.url, files, command.requests),
        }
        for clients in CLIENTS:
            figures[f"ours_{clients}"] = _at_once(app.url, OURS, clients, pictures, command.seconds)
            figures[f"empty_{clients}"] = _at_once(empty.url, (), clients, pictures, command.seconds / 2)
        return {**figures, "peak_mb": peak_megabytes(app.process)}


def _seconds_in_turn(
    pages: Sequence[tuple[str, Sequence[Any]]], pictures: Sequence[bytes], count: int
) -> list[list[float]]:
    """Return the seconds of each page's requests; all pages get a picture before any gets the next one."""
    clients = [PictureClient(url, arguments) for url, arguments in pages]
    taken: list[list[float]] = [[] for _ in pages]
    for number in range(WARM_UP + count):
        for client, seconds in zip(clients, taken, strict=True):
            begun = time.perf_counter()
            client.ask(pictures[number % len(pictures)])
            seconds.append(time.perf_counter() - begun)
    return [seconds[WARM_UP:] for seconds in taken]


def _with_gradio_client(url: str, files: Sequence[Path], count: int) -> float:
    from gradio_client import Client, handle_file

    client, taken = Client(url, verbose=False, download_files=False, analytics_enabled=False), []
    for number in range(WARM_UP + count):
        begun = time.perf_counter()
        client.predict(handle_file(str(files[number % len(files)])), api_name="/classify")
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[WARM_UP:])


def _at_once(
    url: str, arguments: Sequence[Any], clients: int, pictures: Sequence[bytes], seconds: float
) -> dict[str, float]:
    return ask_at_once([PictureClient(url, arguments) for _ in range(clients)], pictures, seconds).figures()


def measure_batch(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Run the batch command on many files and then measure its floor, in turns; return medians."""
    model = find_model(command.model)
    one_core, amount = open_engine(model, "onnx", threads=1), multiply_adds(model.file("model.onnx"), model.input_size)
    pictures, turns = [file.read_bytes() for file in files], []
    with many_files(files, command.pictures) as folder:
        for _ in range(TURNS):
            run, rates = run_batch(folder, command.model), measure_rates(one_core, pictures, model.input_size)
            at_best, floor = floors(rates, amount)
            pace = run.pace(command.pictures // 10)
            whole = command.pictures / run.seconds
            turn = {"whole_per_second": whole, "per_second": pace, "floor_at_best": at_best, "floor": floor}
            turns.append({**rates, **turn, "share_at_best": pace / at_best, "share": pace / floor})
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    return {"files": command.pictures, "multiply_adds": amount, **medians}


def measure_large(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Run the batch command on ten thousand files and look at its memory on the way."""
    with many_files(files, LARGE_ROWS[-1]) as folder:
        run = run_batch(folder, command.model)
    memory = {f"memory_{rows}_mb": run.megabytes_at(rows) for rows in LARGE_ROWS}
    return {**memory, "per_second": run.pace(LARGE_ROWS[0])}


def measure_one_picture(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Measure what one picture takes in this process, step by step."""
    pictures = [files[number % len(files)].read_bytes() for number in range(command.requests)]
    return {**measure_costs(_classifier(command), pictures)}


def _classifier(command: ServingCommand) -> Classifier:
    model = find_model(command.model)
    return Classifier(model, open_engine(model, "onnx"))


def measure_rivals(command: ServingCommand, files: Sequence[Path]) -> Figures:
    """Measure what others do, each in its own process."""
    paths = [str(files[number % len(files)]) for number in range(command.requests)]
    graph = str(find_model(command.model).file("model.keras"))
    figures: Figures = {"keras": _said_by([sys.executable, str(RIVALS / "keras_predict.py"), graph, *paths])}
    if not command.rivals:
        print(NO_RIVALS, file=sys.stderr)
        return figures
    figures["vit"] = _said_by([str(command.rivals), str(RIVALS / "vit_pipeline.py"), *paths])
    pictures = [file.read_bytes() for file in files]
    interface = [str(command.rivals), str(RIVALS / "resnet34_interface.py")]
    with _clean(running_server, interface) as page:
        (alone,) = _seconds_in_turn([(page.url, ())], pictures, max(command.requests // 3, 1))
        figures["resnet"] = {"request_ms": 1e3 * statistics.median(alone)}
        for clients in CLIENTS:
            figures[f"resnet_{clients}"] = _at_once(page.url, (), clients, pictures, command.seconds)
        figures["resnet"]["peak_mb"] = peak_megabytes(page.process)
    return figures


def _said_by(command: Sequence[str]) -> dict[str, float]:
    """Return the figures that a rival prints as the last line of its output. Raises RuntimeError when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


MEASURES: dict[Part, Callable[[ServingCommand, Sequence[Path]], Figures]] = {
    "start": measure_start,
    "requests": measure_requests,
    "batch": measure_batch,
    "large": measure_large,
    "picture": measure_one_picture,
    "rivals": measure_rivals,
}


def stored(path: Path, model: str) -> Stored:
    """Return the parts that were stored for a model on a machine with as many cores; none where there are none."""
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
        if (document["model"], document["cores"]) == (model, os.cpu_count()):
            parts: Stored = document["parts"]
            return parts
    return {}


def store(path: Path, model: str, parts: Stored) -> None:
    """Write the parts of a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"model": model, "cores": os.cpu_count(), "parts": parts}
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def main() -> None:
    """Run the command line."""
    command = tyro.cli(ServingCommand)
    files = sorted(command.files.rglob("*.jpg"))
    if not files:
        raise SystemExit(f"{command.files} holds no .jpg files.")
    for part in get_args(Part):
        if part in command.parts:
            others = OthersShare()
            figures = MEASURES[part](command, files)
            measured = {"on": datetime.date.today().isoformat(), "others": others.share(), **figures}
            store(command.store, command.model, {**stored(command.store, command.model), part: measured})
    table = as_markdown(stored(command.store, command.model), os.cpu_count() or 1)
    print(f"{os.cpu_count()} CPU cores, model {command.model}\n\n{table}")
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "serving", table)


if __name__ == "__main__":
    main()
