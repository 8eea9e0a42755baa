"""What the tab for many pictures makes of a run: its rows, its CSV, a row's whole answer, and its charts."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from skin_gradio import batch
from skin_gradio.classifier import UnusableAnswer
from skin_gradio.csv_rows import CsvWriter
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.ui import charts, markup, own_labels, single
from skin_gradio.ui.runs import Run
from skin_gradio.ui.words import Text, told

UPDATE_SECONDS = 0.5
EXPIRED_FILES = Text("batch.expired_files")
GONE = Text("batch.gone")


@dataclass(frozen=True)
class Opened:
    """The row whose picture is open, 0 for none, and how it is looked at: in eight views, and in spite of doubts."""

    number: int = 0
    careful: bool = False
    anyway: bool = False


def classify(run: Run) -> Iterator[None]:
    """Fill a run row by row; yields about every UPDATE_SECONDS. Ends soon after a cancel."""
    items = batch.list_items([upload.path for upload in run.uploads], [upload.name for upload in run.uploads])
    shown_at = time.monotonic()
    for row in batch.classify_items(items, run.classifier, "collection", cancelled=run.cancelled.is_set):
        run.rows.add(row)
        if time.monotonic() - shown_at >= UPDATE_SECONDS:
            yield
            shown_at = time.monotonic()


def write_csv(run: Run) -> str:
    """Write what a run has done as CSV, for its prior, and return the path; the file is replaced whole."""
    with run.writing:
        prior = run.prior
        path = run.csv(prior)
        partial = path.with_suffix(".partial")
        with CsvWriter(partial, run.classifier.model) as writer:
            for row in run.rows.all(prior):
                writer.write(row)
        partial.replace(path)
    return str(path)


def answer(run: Run, opened: Opened) -> tuple[str, str]:
    """Return the single view of a row's picture, by the run's model and for its mix: figures, and heatmaps apart."""
    row, place = run.rows.shown(opened.number), run.rows.place(opened.number)
    if row is None or place is None or not place.path.exists():
        return markup.message(GONE, EXPIRED_FILES), ""
    try:
        picture = read_picture(place.read())
        return single.describe(run.classifier, picture, row.file, run.prior, opened.careful, opened.anyway)
    except (UnusableImage, UnusableAnswer) as error:
        return markup.message(single.NOT_USED.format(name=row.file), told(str(error))), ""


def summary_html(run: Run) -> str:
    """Return the charts of what a run has found so far."""
    return charts.summary(run.rows.summary(), str(markup.PRIOR_NAMES[run.prior]), run.point)


def own_html(run: Run) -> str:
    """Return how a run fares against the user's labels; nothing without labels."""
    return own_labels.panel(run.rows, run.classifier.model.codes, *run.labels) if run.labels else ""
