"""Send a corpus of bad input through the loader, the batch and the page, and count what becomes of it. Linux only.

    python -m benchmarks.reliability --readme README.md

Every file must become an answer or a named reason; the page must answer a good picture afterwards.
"""

import os
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from benchmarks.app_process import resident_megabytes, running_app
from skin_gradio import batch
from skin_gradio.classifier import Classifier
from skin_gradio.engines import open_engine
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.models import find_model
from skin_gradio.ui.examples import write_examples
from tests import corpus
from tests.corpus import Case

Written = list[tuple[Case, Path]]


@dataclass(frozen=True)
class ReliabilityCommand:
    """Measure what bad input does."""

    seed: int = 1
    """Seed of the corpus."""
    every: int = 1
    """Send only every n-th file of the corpus to the page."""
    readme: Path | None = None
    """A README whose table (between its `reliability` marks) is replaced."""


@dataclass
class Outcome:
    """What one road made of the files: the number of each code (`ok`, `doubted`), and what is none of these."""

    codes: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds that the slowest file took."""
    megabytes: float = 0.0
    """How far memory rose at its highest."""

    @property
    def answered(self) -> int:
        """How many pictures got an answer, with doubts of the input gate or without."""
        return self.codes["ok"] + self.codes["doubted"]


def known_codes() -> set[str]:
    """Return the codes that `UnusableImage` and `list_entries` document."""
    from skin_gradio import archives

    text = f"{UnusableImage.__doc__} {archives.list_entries.__doc__}"
    return set(re.findall(r"[a-z]+(?:_[a-z]+)*(?=[,.])", text.split("Codes", 1)[1]))


def through_loader(written: Written) -> Outcome:
    """Read every file that is no archive."""
    outcome, before = Outcome(), _peak_megabytes()
    for case, path in written:
        if case.kind == "archive":
            continue
        start = time.perf_counter()
        try:
            read_picture(path)
            outcome.codes["ok"] += 1
        except UnusableImage as reason:
            outcome.codes[reason.code] += 1
        except BaseException as error:
            outcome.unexplained.append(f"{path}: {error!r}")
        outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
    outcome.megabytes = _peak_megabytes() - before
    return outcome


def through_batch(written: Written, classifier: Classifier) -> Outcome:
    """Classify every file and archive in one batch; a file without a row is unexplained."""
    outcome, before = Outcome(), _peak_megabytes()
    seen, last = set(), time.perf_counter()
    for row in batch.classify_items(batch.list_items(str(path.parent) for _, path in written), classifier):
        now = time.perf_counter()
        outcome.slowest, last = max(outcome.slowest, now - last), now
        seen.add(row.file.split("/")[0])
        outcome.codes[row.code if row.status == "failed" else row.status] += 1
        if row.status == "failed" and (not row.reason or row.code in ("unexpected", "model_failed")):
            outcome.unexplained.append(f"{row.file}: {row.reason!r}")
    outcome.unexplained += [str(path) for _, path in written if path.parent.name not in seen]
    outcome.megabytes = _peak_megabytes() - before
    return outcome


def through_page(written: Written, url: str, process: int) -> Outcome:
    """Send every file to the page's /classify and /classify_batch (archives), then a good picture."""
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client, outcome, before = Client(url, verbose=False), Outcome(), resident_megabytes(process)
    for case, path in written:
        start = time.perf_counter()
        try:
            if case.kind == "archive":
                rows = client.predict([handle_file(str(path))], api_name="/classify_batch")[0]
            else:
                rows = [client.predict(handle_file(str(path)), api_name="/classify")]
        except AppError as error:
            outcome.unexplained.append(f"{path}: {error}")
            continue
        outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
        for row in rows:
            outcome.codes[row["status"]] += 1
            if row["status"] == "failed" and (not row["reason"] or "unexpected" in row["reason"]):
                outcome.unexplained.append(f"{path}: {row['reason']!r}")
    outcome.megabytes = resident_megabytes(process) - before
    with tempfile.TemporaryDirectory() as folder:
        good = write_examples(Path(folder))[0]
        if client.predict(handle_file(str(good)), api_name="/classify")["status"] != "ok":
            outcome.unexplained.append("a good picture afterwards got no answer")
    return outcome


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def as_markdown(outcomes: dict[str, Outcome]) -> str:
    """Return a line for each road."""
    lines = ["| road | answered | refused by name | anything else | slowest | memory rose by |", "|---" * 6 + "|"]
    for road, outcome in outcomes.items():
        refused = sum(outcome.codes.values()) - outcome.answered
        lines.append(
            f"| {road} | {outcome.answered:,} | {refused:,} | {len(outcome.unexplained)} | {outcome.slowest:.1f} s"
            f" | {outcome.megabytes:.0f} MB |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the command line; status 1 when anything was neither answered nor refused by name."""
    command = tyro.cli(ReliabilityCommand)
    warnings.simplefilter("ignore")  # Pillow's, about what is wrong with the files
    with tempfile.TemporaryDirectory(prefix="skin-corpus-") as folder:
        written = corpus.write(Path(folder), command.seed)
        model = find_model()
        outcomes = {
            "loader": through_loader(written),
            "batch": through_batch(written, Classifier(model, open_engine(model, "onnx"))),
        }
        with running_app() as (url, process):
            outcomes["page, over HTTP"] = through_page(written[:: command.every], url, process)
    table = as_markdown(outcomes)
    print(f"{len(written):,} files, {os.cpu_count()} CPU cores\n\n{table}")
    for road, outcome in outcomes.items():
        for line in outcome.unexplained:
            print(f"{road}: {line}", file=sys.stderr)
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "reliability", f"{len(written):,} files\n\n{table}")
    if any(outcome.unexplained for outcome in outcomes.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
