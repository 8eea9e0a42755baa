"""Many clients at once for a long time, with good and bad pictures: errors, memory, latency, what is left behind.

    python -m benchmarks.soak FOLDER_OF_JPEG_FILES --minutes 30 --clients 16 --readme README.md

Linux only. Files go singly, in batches and in zip archives. Every answer is compared with the answer that the same file
got alone before, so that one client's picture or result reaching another one would be seen.
"""

import contextlib
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.app_process import resident_megabytes, running_app
from tests import corpus


@dataclass(frozen=True)
class SoakCommand:
    """Keep the page busy and look at what it does."""

    files: Annotated[Path, tyro.conf.Positional]
    """Folder with JPEG files (searched below as well)."""
    minutes: float = 30.0
    """How long."""
    clients: int = 16
    """Clients at once, each in a session of its own, and in a new one now and then."""
    seed: int = 1
    """Seed of the traffic and of the bad files."""
    readme: Path | None = None
    """A README whose table (between its `soak` marks) is replaced."""


Answer = dict[str, Any]
UNNAMED = ("unexpected", "model_failed")
"""Codes of failures that are no named reason."""
MAX_GROWTH = 60.0
"""MB by which memory may still rise after the first fifth of the time and count as flat."""
SAMPLE_SECONDS = 5.0
PATIENCE_SECONDS = 300.0
"""Without a sign of life for this long a request counts as failed; on a busy machine an upload can wait for a while."""
SESSION_REQUESTS = 25
"""After so many a client leaves and comes again as another visitor."""
ENOUGH_SAMPLES = 100
"""Of memory, to judge it by: in the first minutes the app is still warming up."""


@dataclass
class Soaked:
    """What the clients saw together, and what the app took and left; `memory` in MB, in the order of time."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    visitors: int = 0
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def early_and_late(self) -> tuple[float, float]:
        """The most memory in the first and in the last fifth of the time, MB."""
        fifth = max(len(self.memory) // 5, 1)
        return max(self.memory[:fifth]), max(self.memory[-fifth:])

    @property
    def failures(self) -> list[str]:
        """What must not be, in words; nothing after a good run."""
        early, late = self.early_and_late
        rose = len(self.memory) >= ENOUGH_SAMPLES and late - early > MAX_GROWTH
        return [
            *self.wrong,
            *([f"memory rose from {early:.0f} to {late:.0f} MB"] if rose else []),
            *(f"left behind: {path}" for path in self.left),
        ]


def same(expected: Answer, row: Answer) -> bool:
    """Say whether two answers to one file agree, names apart and probabilities to 1e-4."""
    if any(expected.get(part) != row.get(part) for part in ("status", "reason", "code")):
        return False
    before, now = (one.get("probabilities", {}) for one in (expected, row))
    return set(before) == set(now) and all(abs(now[code] - value) < 1e-4 for code, value in before.items())


def named(row: Answer) -> bool:
    """Say whether an answer is one, or else a named reason why there is none."""
    return row["status"] in ("ok", "doubted") or bool(row["reason"] and row["code"] not in UNNAMED)


def ask(client: Any, chosen: Sequence[Path]) -> list[Answer]:
    """Send one picture to /classify, or several files and archives to /classify_batch; return the answers."""
    from gradio_client import handle_file

    if len(chosen) == 1 and chosen[0].suffix != ".zip":
        return [client.predict(handle_file(str(chosen[0])), api_name="/classify")]
    rows: list[Answer] = client.predict([handle_file(str(path)) for path in chosen], api_name="/classify_batch")[0]
    return rows


def open_client(url: str) -> Any:
    """Return a client with a session of its own, which keeps no files."""
    from gradio_client import Client

    patient = {"timeout": PATIENCE_SECONDS}
    return Client(url, verbose=False, download_files=False, analytics_enabled=False, httpx_kwargs=patient)


def client_loop(url: str, seed: int, expected: Mapping[Path, list[Answer]], end: float, into: Soaked) -> None:
    """Send single pictures and small batches until `end` (monotonic seconds), as one visitor after another."""
    rng = random.Random(seed)
    while time.monotonic() < end:
        try:
            with contextlib.closing(open_client(url)) as client:
                with into.lock:
                    into.visitors += 1
                for _ in range(SESSION_REQUESTS):
                    if time.monotonic() < end:
                        note_request(client, rng.choices(list(expected), k=rng.choice([1, 1, 1, 1, 5])), expected, into)
        except Exception as error:  # whatever it is, it is what the soak looks for
            with into.lock:
                into.wrong.append(f"a new visitor: {error!r}")
            time.sleep(1)


def note_request(client: Any, chosen: Sequence[Path], expected: Mapping[Path, list[Answer]], into: Soaked) -> None:
    """Send one request, and note how long it took and what was wrong with its answers."""
    names, wanted = [path.name for path in chosen], [answer for path in chosen for answer in expected[path]]
    start = time.perf_counter()
    try:
        rows, trouble = ask(client, chosen), ""
    except Exception as error:  # whatever it is, it is what the soak looks for
        rows, trouble = [], repr(error)
    with into.lock:
        if len(chosen) == 1:
            into.seconds.append(time.perf_counter() - start)
        into.statuses.update(row["status"] for row in rows)
        if trouble or len(rows) != len(wanted):
            into.wrong.append(f"{names}: {trouble or f'{len(rows)} answers'}")
            return
        into.wrong += [
            f"{names}: {row} instead of {answer}"
            for row, answer in zip(rows, wanted, strict=True)
            if not same(answer, row) or not named(row)
        ]


def soak(files: Sequence[Path], minutes: float, clients: int, seed: int = 1) -> Soaked:
    """Start the app, keep it busy with files good and bad, stop it, and return what was seen."""
    into = Soaked()
    with tempfile.TemporaryDirectory(prefix="skin-soak-") as scratch:
        environment = {"TMPDIR": scratch, "PYTHONWARNINGS": "ignore"}  # Pillow's, about what is wrong with the files
        with running_app(environment=environment) as (url, process):
            alone = open_client(url)
            expected = {path: ask(alone, [path]) for path in files}
            end = time.monotonic() + 60 * minutes
            threads = [
                threading.Thread(target=client_loop, args=(url, seed + number, expected, end, into), daemon=True)
                for number in range(clients)
            ]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                into.memory.append(resident_megabytes(process))
                time.sleep(SAMPLE_SECONDS)
        into.left = [path for path in Path(scratch).rglob("*") if path.is_file()]
    return into


def as_rows(soaked: Soaked) -> dict[str, str]:
    """Return what was measured, by name, for a table."""
    ordered, (early, late) = sorted(soaked.seconds), soaked.early_and_late
    statuses = soaked.statuses
    return {
        "visitors": f"{soaked.visitors:,}",
        "pictures answered": f"{statuses['ok'] + statuses['doubted']:,}, of them doubted {statuses['doubted']:,}",
        "pictures refused by name": f"{statuses['failed']:,}",
        "answers that were wrong, another's, missing or an unnamed error": f"{len(soaked.wrong):,}",
        "single request, median": f"{statistics.median(ordered):.2f} s",
        "single request, 95th percentile": f"{ordered[int(0.95 * len(ordered))]:.2f} s",
        "memory in the first and in the last fifth of the time": f"{early:.0f} and {late:.0f} MB",
        "memory at its highest": f"{max(soaked.memory):.0f} MB",
        "files left behind after the end": f"{len(soaked.left)}",
    }


def main() -> None:
    """Run the command line; status 1 when an answer was wrong, memory rose or a file was left."""
    command = tyro.cli(SoakCommand)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # the clients' own, too
    good = sorted(command.files.rglob("*.jpg"))
    if not good:
        raise SystemExit(f"{command.files} holds no .jpg files.")
    rng = random.Random(command.seed)
    with tempfile.TemporaryDirectory(prefix="skin-corpus-") as folder:
        written = corpus.write(Path(folder), command.seed)
        bad = [path for case, path in written if case.kind not in ("archive", "odd name")]
        archives = [path for case, path in written if case.kind == "archive" and path.suffix == ".zip"]
        chosen = [(good, 60), (bad, 40), (archives, 5)]
        files = [path for among, count in chosen for path in rng.sample(among, min(count, len(among)))]
        soaked = soak(files, command.minutes, command.clients, command.seed)
    title = f"{command.minutes:g} minutes, {command.clients} clients"
    rows = [f"| {name} | {value} |" for name, value in as_rows(soaked).items()]
    table = "\n".join([f"| {title} | |", "|---|---|", *rows])
    print(table)
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "soak", table)
    for failure in soaked.failures[:20]:
        print(failure, file=sys.stderr)
    if soaked.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
