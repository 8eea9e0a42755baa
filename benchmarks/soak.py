"""Many clients at once for a long time, with good and bad pictures: errors, memory, latency, what is left behind.

    python -m benchmarks.soak FOLDER_OF_JPEG_FILES --minutes 30 --clients 16 --readme README.md

Linux only. Every answer is compared with the answer that the same file got alone before, so that one client's picture
or result reaching another one would be seen.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.reliability import running_app
from benchmarks.serving import resident_megabytes
from tests import corpus


@dataclass(frozen=True)
class SoakCommand:
    """Keep the page busy and look at what it does."""

    files: Annotated[Path, tyro.conf.Positional]
    """Folder with JPEG files (searched below as well)."""
    minutes: float = 30.0
    """How long."""
    clients: int = 16
    """Clients at once, each in a session of its own."""
    seed: int = 1
    """Seed of the traffic and of the bad files."""
    readme: Path | None = None
    """A README whose table (between its `soak` marks) is replaced."""


@dataclass
class Traffic:
    """What the clients saw, together."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def same(expected: dict[str, Any], row: dict[str, Any]) -> bool:
    """Say whether two answers to one file agree, names apart and probabilities to 1e-4."""
    if expected["status"] != row["status"] or expected.get("reason") != row.get("reason"):
        return False
    pairs = ((row["probabilities"][code], value) for code, value in expected.get("probabilities", {}).items())
    return all(abs(now - before) < 1e-4 for now, before in pairs)


def client_loop(url: str, seed: int, files: list[Path], expected: dict[Path, Any], end: float, into: Traffic) -> None:
    """Send single pictures and small batches until `end` (monotonic seconds)."""
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    rng, client = random.Random(seed), Client(url, verbose=False)
    while time.monotonic() < end:
        chosen = rng.choices(files, k=rng.choice([1, 1, 1, 1, 5]))
        start = time.perf_counter()
        try:
            if len(chosen) > 1:
                rows = client.predict([handle_file(str(path)) for path in chosen], api_name="/classify_batch")[0]
            else:
                rows = [client.predict(handle_file(str(chosen[0])), api_name="/classify")]
        except AppError as error:
            with into.lock:
                into.wrong.append(f"{[path.name for path in chosen]}: {error}")
            continue
        with into.lock:
            if len(chosen) == 1:
                into.seconds.append(time.perf_counter() - start)
            for path, row in zip(chosen, rows, strict=True):
                into.outcomes[row["status"]] += 1
                if not same(expected[path], row):
                    into.wrong.append(f"{path.name}: {row} instead of {expected[path]}")


def soak(command: SoakCommand, good: list[Path], bad: list[Path]) -> dict[str, str]:
    """Return what was measured, by name; `wrong answers` names the first ones."""
    from gradio_client import Client, handle_file

    rng = random.Random(command.seed)
    files = rng.sample(good, min(60, len(good))) + rng.sample(bad, min(40, len(bad)))
    traffic = Traffic()
    with tempfile.TemporaryDirectory(prefix="skin-soak-") as scratch:
        with running_app({"TMPDIR": scratch}) as (url, process):
            alone = Client(url, verbose=False)
            expected = {path: alone.predict(handle_file(str(path)), api_name="/classify") for path in files}
            end = time.monotonic() + 60 * command.minutes
            threads = [
                threading.Thread(
                    target=client_loop, args=(url, command.seed + number, files, expected, end, traffic), daemon=True
                )
                for number in range(command.clients)
            ]
            for thread in threads:
                thread.start()
            memory = []
            while any(thread.is_alive() for thread in threads):
                time.sleep(5)
                memory.append(resident_megabytes(process))
            fifth = max(len(memory) // 5, 1)
        left = [path for path in Path(scratch).rglob("*") if path.is_file()]
    ordered = sorted(traffic.seconds)
    return {
        "pictures answered": f"{traffic.outcomes['ok']:,}",
        "pictures refused by name": f"{traffic.outcomes['failed']:,}",
        "answers that were wrong, another's or an unnamed error": "; ".join(traffic.wrong[:3]) or "0",
        "single request, median": f"{statistics.median(ordered):.2f} s",
        "single request, 95th percentile": f"{ordered[int(0.95 * len(ordered))]:.2f} s",
        "memory after the first and in the last fifth": (
            f"{max(memory[:fifth]):.0f} and {max(memory[-fifth:]):.0f} MB"
        ),
        "files left behind after the end": f"{len(left)}",
    }


def main() -> None:
    """Run the command line; status 1 when an answer was wrong or a file was left."""
    command = tyro.cli(SoakCommand)
    good = sorted(command.files.rglob("*.jpg"))
    if not good:
        raise SystemExit(f"{command.files} holds no .jpg files.")
    with tempfile.TemporaryDirectory(prefix="skin-corpus-") as folder:
        cases = corpus.write(Path(folder), command.seed)
        bad = [path for case, path in cases if case.kind not in ("archive", "odd name")]
        measured = soak(command, good, bad)
    rows = [f"| {name} | {value} |" for name, value in measured.items()]
    title = f"{command.minutes:g} minutes, {command.clients} clients"
    table = "\n".join([f"| {title} | |", "|---|---|", *rows])
    print(table)
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "soak", table)
    if measured["answers that were wrong, another's or an unnamed error"] != "0":
        sys.exit(1)
    if measured["files left behind after the end"] != "0":
        sys.exit(1)


if __name__ == "__main__":
    main()
