"""The batch command on many files in a process of its own: its pace, and its memory as the rows grow."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.app_process import ROOT, resident_megabytes

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Sample:
    """How far a batch was at a moment: seconds since its command began, rows of its CSV, MB of memory."""

    seconds: float
    rows: int
    megabytes: float


@dataclass(frozen=True)
class BatchRun:
    """A batch that has ended: samples in the order of time, and the seconds that its whole command took."""

    samples: list[Sample]
    seconds: float

    def megabytes_at(self, rows: int) -> float:
        """Return the memory when that many rows were written, MB."""
        return [sample.megabytes for sample in self.samples if sample.rows <= rows][-1]

    def pace(self, after: int) -> float:
        """Return rows per second from the moment when that many were there."""
        first, last = next(sample for sample in self.samples if sample.rows >= after), self.samples[-1]
        return (last.rows - first.rows) / (last.seconds - first.seconds)


@contextlib.contextmanager
def many_files(originals: Sequence[Path], count: int) -> Iterator[Path]:
    """Yield a folder with `count` files: the originals again and again, as hard links where the disk can make them."""
    with tempfile.TemporaryDirectory(prefix="skin-batch-") as folder:
        for number in range(count):
            original, path = originals[number % len(originals)], Path(folder) / f"{number:05d}.jpg"
            try:
                os.link(original.resolve(), path)
            except OSError:  # another file system, or a file of somebody else
                shutil.copyfile(original, path)
        yield Path(folder)


def run_batch(folder: Path, model: str) -> BatchRun:
    """Classify a folder by `python -m skin_gradio`. Raises RuntimeError when that ends without a row for each file."""
    files = sum(1 for _ in folder.iterdir())
    with tempfile.TemporaryDirectory() as scratch:
        csv = Path(scratch) / "out.csv"
        command = [sys.executable, "-m", "skin_gradio", str(folder), "--csv", str(csv), "--model", model]
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            samples = list(_samples(process, csv, begun))
        finally:
            process.kill()  # only where watching it failed; it has ended otherwise
            process.wait()
        seconds = time.perf_counter() - begun
        rows = csv.read_bytes().count(b"\n") - 1 if csv.exists() else 0
    if process.returncode or rows != files:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode} and {rows} of {files} rows.")
    return BatchRun(samples, seconds)


def _samples(process: subprocess.Popen[bytes], csv: Path, begun: float) -> Iterator[Sample]:
    """Yield what is seen of a batch until its process ends."""
    lines = 0
    while not csv.exists() and process.poll() is None:
        time.sleep(SAMPLE_SECONDS)
    if not csv.exists():
        return
    with csv.open("rb") as written:
        while process.poll() is None:
            lines += written.read().count(b"\n")
            with contextlib.suppress(ProcessLookupError):  # it ended since it was asked
                yield Sample(time.perf_counter() - begun, max(lines - 1, 0), resident_megabytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
