"""The tab for many pictures: files, folders and zips in; rows as they finish, and a CSV."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from skin_gradio import batch
from skin_gradio.classifier import Classifier, Finding, Prior
from skin_gradio.ui import markup
from skin_gradio.ui.dropzone import Upload, drop_zone, read_uploads
from skin_gradio.ui.runs import KeptRow, Run, Runs
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.table import SCRIPT, progress_line, table_html, toolbar_html

MAX_UPLOAD_BYTES = 2_000_000_000
UPDATE_SECONDS = 0.5
_WAITING = '<p class="progress-line" role="status">Waiting for a free place …</p>'
_EMPTY = '<p class="progress-line">Nothing classified yet.</p>'


def classify(classifier: Classifier, uploads: list[Upload], run: Run) -> Iterator[None]:
    """Fill a run row by row; yields about every UPDATE_SECONDS. Ends soon after a cancel."""
    items = batch.list_items([upload.path for upload in uploads], [upload.name for upload in uploads])
    shown_at = time.monotonic()
    for row in batch.classify_items(items, classifier, "collection", cancelled=run.cancelled.is_set):
        probabilities, score = None, None
        if row.finding is not None:
            probabilities, score = row.finding.probabilities, row.finding.malignancy_score
        run.add(KeptRow(row.file, row.status, row.reason, probabilities, score, row.thumbnail))
        if time.monotonic() - shown_at >= UPDATE_SECONDS:
            yield
            shown_at = time.monotonic()


def write_csv(classifier: Classifier, run: Run) -> str:
    """Write what a run has done as CSV, for its prior, and return the path; the file is replaced whole."""
    nothing = np.empty(0, np.float32)
    with run.writing:
        prior = run.prior
        path = run.csv(prior)
        partial = path.with_suffix(".partial")
        with batch.CsvWriter(partial, classifier.model) as writer:
            for row in run.kept_rows(prior):
                finding = None
                if row.probabilities is not None and row.score is not None:
                    finding = Finding(run.codes, row.probabilities, prior, row.score, nothing, nothing)
                writer.write(batch.Row(row.file, row.status, row.reason, finding, None))
        partial.replace(path)
    return str(path)


def build_batch(shelf: Shelf, chosen: gr.State, prior: gr.Radio, runs: Runs) -> None:
    """Lay out the tab inside the current Blocks and connect it; `chosen` holds the key of the session's model."""
    classifier = shelf.first
    point = classifier.operating_point()
    zone = drop_zone(
        "Drop pictures, folders or zip files here",
        "They are uploaded at once and classified when you start. A bad file becomes a row with its reason.",
        many=True,
        elem_id="batch-zone",
        max_bytes=MAX_UPLOAD_BYTES,
    )
    with gr.Row(elem_classes="batch-buttons"):
        start = gr.Button("Start", variant="primary", interactive=False, elem_id="batch-start", min_width=100)
        cancel = gr.Button("Cancel", interactive=False, elem_id="batch-cancel", min_width=100)
        download = gr.DownloadButton("Download CSV", interactive=False, elem_id="batch-csv", min_width=100)
    progress = gr.HTML(_EMPTY, elem_id="batch-progress", apply_default_css=False)
    toolbar = gr.HTML("", js_on_load=SCRIPT, elem_id="batch-toolbar", apply_default_css=False)
    table = gr.HTML("", js_on_load=SCRIPT, elem_id="batch-table", apply_default_css=False)

    def prepare(value: str, prior: Prior, request: gr.Request) -> tuple[Any, ...]:
        """Open the run before it waits for a place, so that it can be cancelled from now on."""
        uploads = read_uploads(value)
        if not uploads:
            problem = markup.message("There are no files.", "Uploads are deleted after a while; drop them again.")
            return problem, "", "", *_buttons(ready=False), []
        total = batch.count_items([upload.path for upload in uploads], [upload.name for upload in uploads])
        runs.keep(_session(request), Run(classifier.model.codes, classifier.model.prior, prior, total))
        return _WAITING, "", "", *_buttons(running=True), uploads

    def run_batch(uploads: list[Upload], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        run = runs.of(_session(request))
        if not uploads or run is None or run.finished:
            return
        table_before = ""
        try:
            for _ in classify(classifier, uploads, run):
                table_now = table_html(run, point)
                yield (
                    progress_line(run),
                    toolbar_html(run),
                    table_now if table_now != table_before else gr.skip(),
                    *(gr.skip() for _ in range(3)),
                )
                table_before = table_now
        finally:
            run.finish()
        if runs.of(_session(request)) is run:
            csv = write_csv(classifier, run)
            yield progress_line(run), toolbar_html(run), table_html(run, point), *_buttons(csv=csv)

    def files_changed(value: str, request: gr.Request) -> Any:
        run = runs.of(_session(request))
        idle = run is None or run.finished
        return gr.update(interactive=idle and bool(read_uploads(value)))

    def cancel_batch(request: gr.Request) -> Any:
        runs.cancel(_session(request))
        return gr.update(interactive=False)

    def change_view(request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        run = runs.of(_session(request))
        if run is None:
            return "", markup.message("These results have expired.", "Start again to classify the files.")
        wish = event._data if isinstance(event._data, dict) else {}
        if isinstance(wish.get("sort"), str):
            run.sort(wish["sort"])
        elif isinstance(wish.get("page"), int):
            run.turn_to(wish["page"])
        return toolbar_html(run), table_html(run, point)

    def change_prior(prior: Prior, request: gr.Request) -> tuple[Any, ...]:
        run = runs.of(_session(request))
        if run is None:
            return gr.skip(), gr.skip(), gr.skip()
        run.set_prior(prior)
        csv = gr.update(value=write_csv(classifier, run)) if run.finished else gr.skip()
        return toolbar_html(run), table_html(run, point), csv

    results = [progress, toolbar, table, start, cancel, download]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    latest: dict[str, Any] = {**private, "queue": False, "trigger_mode": "always_last"}
    zone.input(lambda: gr.update(interactive=False), None, start, queue=False, **private)
    gr.on([zone.upload, zone.clear], files_changed, zone, start, **latest)
    uploaded = gr.State([])
    start.click(prepare, [zone, prior], [*results, uploaded], queue=False, **private).then(
        run_batch, uploaded, results, concurrency_id="batch", concurrency_limit=2, **private
    )
    cancel.click(cancel_batch, None, cancel, queue=False, **private)
    prior.change(change_prior, prior, [toolbar, table, download], **latest)
    gr.on([toolbar.select, table.select], change_view, None, [toolbar, table], **latest)


def _buttons(ready: bool = True, running: bool = False, csv: str | None = None) -> tuple[Any, Any, Any]:
    """Return updates of Start, Cancel and Download."""
    return (
        gr.update(interactive=ready and not running),
        gr.update(interactive=running),
        gr.update(value=csv, interactive=csv is not None),
    )


def _session(request: gr.Request) -> str:
    return str(request.session_hash)
