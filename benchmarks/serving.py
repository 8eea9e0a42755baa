"""Measure what a user waits for: start of the page, memory, one picture, many pictures. Linux only.

    python -m benchmarks.serving FOLDER_OF_JPEG_FILES
    python -m benchmarks.serving FOLDER --baseline    # also Keras' predict, one picture at a time, on TensorFlow

Prints medians as a Markdown table; absolute times hold for the machine they were taken on.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from skin_gradio import batch
from skin_gradio.classifier import Classifier
from skin_gradio.engines import open_engine
from skin_gradio.images import read_picture
from skin_gradio.models import find_model

ROOT = Path(__file__).parent.parent
BASELINE = """
import os, sys, time; os.environ["KERAS_BACKEND"] = "tensorflow"
import numpy as np, keras
from PIL import Image
model = keras.saving.load_model(sys.argv[1], compile=False)
size = model.inputs[0].shape[1]
def one(path): return model.predict(np.asarray(Image.open(path).convert("RGB").resize((size, size)))[None], verbose=0)
one(sys.argv[2])
start = time.perf_counter()
for path in sys.argv[2:]: one(path)
print((time.perf_counter() - start) / len(sys.argv[2:]))
"""


@dataclass(frozen=True)
class ServingCommand:
    """Measure the app and the batch path on real files."""

    files: Annotated[Path, tyro.conf.Positional]
    """Folder with JPEG files (searched below as well)."""
    model: str = "mobilenet_v2"
    """A bundled model's name, a folder or a Hub id."""
    requests: int = 40
    """Single requests to the page."""
    pictures: int = 2000
    """Files of the batch, over 100; taken again from the start where the folder has fewer."""
    baseline: bool = False
    """Also measure Keras' predict on TensorFlow, one picture at a time."""
    readme: Path | None = None
    """A README whose table (between its `serving` marks) is replaced."""


def median_seconds(call: Callable[[Path], object], files: list[Path]) -> float:
    """Return the median duration of a call over files."""
    times = []
    for file in files:
        start = time.perf_counter()
        call(file)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def resident_megabytes(process: int) -> float:
    """Return a process' resident memory, MB, from Linux' /proc."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def measure_page(command: ServingCommand, files: list[Path]) -> list[tuple[str, str]]:
    """Start the app as a user does, ask it for pictures over HTTP, and stop it."""
    from gradio_client import Client, handle_file

    port = free_port()
    started = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "app.py", "--model", command.model, "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                client = Client(f"http://127.0.0.1:{port}", verbose=False)
                break
            except (OSError, ValueError):
                if app.poll() is not None:
                    raise SystemExit("app.py ended before it answered.") from None
                time.sleep(0.05)
        opened = time.perf_counter() - started
        client.predict(handle_file(str(files[0])), api_name="/classify")
        answered = time.perf_counter() - started
        rest = resident_megabytes(app.pid)
        single = median_seconds(
            lambda file: client.predict(handle_file(str(file)), api_name="/classify"), files[: command.requests]
        )
        return [
            ("start of app.py to open page", f"{opened:.1f} s"),
            ("start of app.py to first answer", f"{answered:.1f} s"),
            ("memory of the app after it", f"{rest:.0f} MB"),
            ("one picture through the HTTP endpoint, upload included", f"{single * 1e3:.0f} ms"),
            ("memory of the app after all requests", f"{resident_megabytes(app.pid):.0f} MB"),
        ]
    finally:
        app.terminate()
        app.wait()


def measure_library(command: ServingCommand, files: list[Path]) -> list[tuple[str, str]]:
    """Measure decoding, the graph and the batch path in this process."""
    model = find_model(command.model)
    classifier = Classifier(model, open_engine(model, "onnx"))
    size = classifier.input_size
    one = files[: command.requests]
    decode = median_seconds(lambda file: read_picture(file).resized(size), one)
    blank = np.zeros((1, size, size, 3), np.uint8)
    graph = median_seconds(lambda _: classifier.engine.run(blank), one)
    whole = median_seconds(lambda file: classifier.classify([read_picture(file).resized(size)]), one)

    many = [files[i % len(files)] for i in range(command.pictures)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with batch.CsvWriter(Path(folder) / "out.csv", model) as writer:
            for number, row in enumerate(batch.classify_items(batch.list_items(many), classifier), 1):
                writer.write(row)
                if number == 100:
                    early = resident_megabytes(os.getpid())
        rate = len(many) / (time.perf_counter() - start)
    late = resident_megabytes(os.getpid())
    rows = [
        ("reading one picture", f"{decode * 1e3:.1f} ms"),
        ("the graph, one picture", f"{graph * 1e3:.1f} ms"),
        ("reading and classifying one picture", f"{whole * 1e3:.1f} ms"),
        (f"batch of {len(many):,} files to CSV", f"{rate:.0f} pictures/s"),
        (f"memory of the batch after 100 and after {len(many):,} files", f"{early:.0f} and {late:.0f} MB"),
    ]
    if command.baseline:
        arguments = [sys.executable, "-c", BASELINE, str(model.file("model.keras")), *map(str, files[:100])]
        seconds = float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()[-1])
        rows.append(
            (
                "Keras predict on TensorFlow, one picture at a time",
                f"{1 / seconds:.0f} pictures/s; the batch is {rate * seconds:.1f} times as fast",
            )
        )
    return rows


def main() -> None:
    """Run the command line."""
    command = tyro.cli(ServingCommand)
    files = sorted(command.files.rglob("*.jpg"))
    if not files:
        raise SystemExit(f"{command.files} holds no .jpg files.")
    rows = [*measure_page(command, files), *measure_library(command, files)]
    table = "\n".join(["| what | measured |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    print(f"{os.cpu_count()} CPU cores, model {command.model}\n\n{table}")
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "serving", table)


if __name__ == "__main__":
    main()
