"""A batch without a page: folders, files and zip archives of pictures -> a CSV.

python -m skin_gradio FOLDER --csv out.csv
python -m skin_gradio visit-1 visit-2.zip --csv out.csv --model user/repository@revision --prior equal
python -m skin_gradio /archive --csv out.csv --engine ray --address ray://head:10001
"""

import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from skin_gradio.archives import Item
from skin_gradio.batch import Row, classify_items, count_items, list_items, shown_name
from skin_gradio.classifier import Classifier, Prior
from skin_gradio.csv_rows import CsvWriter
from skin_gradio.engines import open_engine
from skin_gradio.models import DEFAULT_MODEL, ModelError, ModelFolder, find_model
from skin_gradio.progress import duration, remaining
from skin_gradio.resume import Finished, NotResumable, read_finished


class UserError(ValueError):
    """Something that whoever started the command can put right; the message says what."""


@dataclass(frozen=True)
class BatchCommand:
    """Classify the pictures in folders, files and zip archives into a CSV. Research and education only.

    A row is written as soon as its picture is done. Where the CSV exists already, the command goes on with it: files
    that have a row are skipped. The exit status is 0 when every file was classified, 1 when some failed (their rows say
    why), 2 when the command cannot be carried out, 130 when it was interrupted.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folders, pictures and zip archives."""
    csv: Path
    """The file to write, or to go on with."""
    model: str = DEFAULT_MODEL
    """A bundled model's name, a model folder, or a Hugging Face Hub id (user/repository[@revision])."""
    prior: Prior = "collection"
    """The mix of cases that the probabilities are for: the training collection's, or each equally common."""
    engine: Literal["auto", "onnx", "keras", "ray"] = "auto"
    """What runs the model: onnx (CPU), keras (JAX or TensorFlow), auto (keras on a GPU, else onnx), or ray: onnx on
    every CPU of a Ray cluster, whose machines must find the pictures under the same paths."""
    address: str | None = None
    """With --engine ray: address of the cluster; one on this machine is started when none is given."""
    fresh: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write the CSV anew, even if it exists."""


def classify_files(command: BatchCommand) -> int:
    """Carry out the command; return how many rows of the CSV are of files that failed.

    Raises UserError, ModelError, NotResumable or OSError, before or between rows: those written so far stay.
    """
    names, paths, target = (
        [path.name or path.resolve().name for path in command.paths],
        _resolved(command),
        _target(command),
    )
    if command.address and command.engine != "ray":
        raise UserError("--address is a Ray cluster's; give --engine ray with it.")
    model = find_model(command.model)
    finished = _finished(target, model, command)
    total = count_items(paths, names, leave_out=[target])
    items = (
        item
        for item in list_items(paths, names, leave_out=[target])
        if not (finished and finished.take(shown_name(item)))
    )
    progress = _Progress(total, *(finished.rows, finished.failed) if finished else (0, 0))
    with (
        contextlib.closing(_rows(command, model, items)) as rows,
        CsvWriter(target, model, append=finished is not None) as writer,
    ):
        for row in rows:
            writer.write(row)
            progress.add(row)
    progress.end(command.csv)
    return progress.failed


def _resolved(command: BatchCommand) -> list[Path]:
    if not command.paths:
        raise UserError("Name at least one folder, picture or zip archive.")
    for path in command.paths:
        if not os.path.exists(path):
            raise UserError(f"There is no file or folder {path}.")
    return [path.resolve() for path in command.paths]


def _target(command: BatchCommand) -> Path:
    target = command.csv.resolve()
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"--csv must name a file in a folder that exists. Received: {command.csv}")
    return target


def _finished(target: Path, model: ModelFolder, command: BatchCommand) -> Finished | None:
    """Return what an earlier command has done, its last row's torn remains cut off; None for a file to begin."""
    if command.fresh or not target.exists():
        return None
    finished = read_finished(target, model, command.prior)
    if not finished.end:
        return None
    os.truncate(target, finished.end)
    return finished


def _rows(command: BatchCommand, model: ModelFolder, items: Iterator[Item]) -> Generator[Row, None, None]:
    if command.engine == "ray":
        from skin_gradio.cluster import classify_on_ray

        return classify_on_ray(items, model, command.prior, command.address)
    classifier = Classifier(model, open_engine(model, command.engine, threads=1))
    return classify_items(items, classifier, command.prior, thumbnails=False)


class _Progress:
    """Says on stderr how far the batch is: on a terminal in one line that changes, else now and then in a new one."""

    def __init__(self, total: int, done: int, failed: int):
        self.failed = failed
        self._total, self._done, self._before = total, done, done
        self._terminal = sys.stderr.isatty()
        self._interval = 0.5 if self._terminal else 10.0
        self._started = self._said = time.monotonic()
        if done:
            print(f"Going on: {done:,} rows are there already.", file=sys.stderr)

    def add(self, row: Row) -> None:
        self._done += 1
        self.failed += row.status == "failed"
        now = time.monotonic()
        if now - self._said >= self._interval:
            self._said = now
            left = remaining(self._done - self._before, self._total - self._before, now - self._started)
            self._say(f"{self._counted()}{left}", end="" if self._terminal else "\n")

    def end(self, csv: Path) -> None:
        took = duration(time.monotonic() - self._started)
        self._say(f"Done: {self._counted()}, in {took}. The rows are in {csv}.", end="\n")

    def _counted(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self._done:,} of {max(self._total, self._done):,}{failed}"

    def _say(self, text: str, end: str) -> None:
        print(f"\r{text}\x1b[K" if self._terminal else text, end=end, file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line; return the exit status."""
    command = tyro.cli(BatchCommand, prog="python -m skin_gradio")
    try:
        return 1 if classify_files(command) else 0
    except (UserError, ModelError, NotResumable) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or command.csv}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where it stopped.", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
