"""The tab for many pictures: files, folders and zips in; rows as they finish, a summary, a CSV and a report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from skin_gradio.classifier import Prior
from skin_gradio.labels import UnusableLabels, read_labels
from skin_gradio.ui import markup, single
from skin_gradio.ui.batch_report import ReportPart, without
from skin_gradio.ui.batch_run import (
    EXPIRED_FILES,
    Opened,
    answer,
    classify,
    own_html,
    summary_html,
    write_csv,
)
from skin_gradio.ui.dropzone import count_listed, drop_zone, read_uploads
from skin_gradio.ui.language import spoken
from skin_gradio.ui.runs import Run, Runs
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.table import SCRIPT, pages_html, progress_line, rows_html, status_line, toolbar_html
from skin_gradio.ui.words import Text, language, speaking, told

MAX_UPLOAD_BYTES = 2_000_000_000
ZONE_TITLE = Text("batch.zone_title")
ZONE_HINT = Text("batch.zone_hint")
START, CANCEL, CLOSE = Text("batch.start"), Text("batch.cancel"), Text("batch.close")
CSV, LABELS = Text("batch.csv"), Text("batch.labels")
NO_FILES = Text("batch.no_files")
EXPIRED_RUN = Text("batch.expired_run")
START_AGAIN = Text("batch.start_again")
NO_LABELS = Text("batch.no_labels")
WAITING = Text("batch.waiting")
EMPTY = Text("batch.empty")
# A picture that was opened stands above its row; keyboard and eyes go there, and back when it is closed. The table's
# script notes which row it was, and that it has just been opened.
_SHOW_DETAIL = """() => {
  const noted = document.documentElement.dataset;
  if (!noted.rowIsNew) return;
  delete noted.rowIsNew;
  document.getElementById("batch-detail")?.scrollIntoView({ behavior: "smooth", block: "start" });
  document.getElementById("batch-close")?.focus({ preventScroll: true });
}"""
_BACK_TO_ROW = """() => {
  const row = document.documentElement.dataset.row;
  const control = document.querySelector(`#batch-table button[data-open="${row}"]`);
  control?.scrollIntoView({ block: "center" });
  control?.focus({ preventScroll: true });
}"""


class BatchTab:
    """The tab's widgets and what their events do; a session's state is in its `Run`, in `runs`."""

    def __init__(self, shelf: Shelf, chosen: gr.Textbox, prior: gr.Radio, language: gr.HTML, runs: Runs):
        self._shelf, self._runs = shelf, runs
        self._lay_out()
        self._connect(chosen, prior, language)

    def _lay_out(self) -> None:
        html: dict[str, Any] = {"apply_default_css": False}
        waiting: dict[str, Any] = {"interactive": False, "min_width": 100}
        self.zone = drop_zone(ZONE_TITLE, ZONE_HINT, many=True, elem_id="batch-zone", max_bytes=MAX_UPLOAD_BYTES)
        with gr.Row(elem_classes="batch-buttons"):
            self.start = spoken(gr.Button, {"value": START}, variant="primary", elem_id="batch-start", **waiting)
            self.cancel = spoken(gr.Button, {"value": CANCEL}, elem_id="batch-cancel", **waiting)
            self.download = spoken(gr.DownloadButton, {"label": CSV}, elem_id="batch-csv", **waiting)
        self.progress = gr.HTML(status_line(EMPTY), elem_id="batch-progress", **html)
        self.summary = gr.HTML("", elem_id="batch-summary", **html)
        with gr.Row(elem_classes="batch-buttons batch-more", visible=False) as self.more:
            self.report = ReportPart(self._run_of)
            self.labels = spoken(
                gr.UploadButton,
                {"label": LABELS},
                elem_id="batch-labels",
                min_width=100,
                file_types=[".csv", ".tsv", ".txt"],
            )
        self.report.lay_out_line()
        self.own = gr.HTML("", elem_id="batch-own", **html)
        with gr.Column(visible=False, elem_id="batch-detail") as self.detail:
            self.close = spoken(gr.Button, {"value": CLOSE}, elem_id="batch-close", size="sm")
            with gr.Row(elem_classes="columns"):
                with gr.Column(min_width=300):
                    self.seen = gr.HTML("", js_on_load=single.SEEN_SCRIPT, elem_id="batch-seen", **html)
                with gr.Column(min_width=300):
                    self.answer = gr.HTML("", js_on_load=single.ANSWER_SCRIPT, elem_id="batch-answer", **html)
        self.toolbar = gr.HTML("", js_on_load=SCRIPT, elem_id="batch-toolbar", **html)
        self.table = gr.HTML("", js_on_load=SCRIPT, elem_id="batch-table", **html)
        self.pages = gr.HTML("", js_on_load=SCRIPT, elem_id="batch-pages", **html)
        self.opened = gr.State(Opened())

    def _connect(self, chosen: gr.Textbox, prior: gr.Radio, language: gr.HTML) -> None:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        latest: dict[str, Any] = {**private, "queue": False, "trigger_mode": "always_last"}
        looking: dict[str, Any] = {**private, "concurrency_id": "single", "trigger_mode": "always_last"}
        working: dict[str, Any] = {**private, "concurrency_id": "batch", "concurrency_limit": 2}
        shown = [self.toolbar, self.table, self.pages]
        detail = [self.detail, self.answer, self.seen, self.opened]
        buttons = [self.start, self.cancel, self.download, self.more]

        self.zone.input(lambda: gr.update(interactive=False), None, self.start, queue=False, **private)
        gr.on([self.zone.upload, self.zone.clear], self._files_changed, self.zone, self.start, **latest)
        begun = [self.progress, self.summary, self.own, *self.report.cleared, *shown, *detail, *buttons]
        self.start.click(self._begin, [self.zone, chosen, prior], begun, queue=False, **private).then(
            self._run, None, [self.progress, self.summary, *shown, *buttons], **working
        )
        self.cancel.click(self._stop, None, self.cancel, queue=False, **private)
        gr.on([part.select for part in shown], self._look, self.opened, [*shown, *detail], **looking).then(
            None, js=_SHOW_DETAIL, api_visibility="private"
        )
        self.answer.select(self._look_otherwise, self.opened, detail, **looking)
        self.close.click(lambda: _closed(), None, detail, queue=False, **private).then(
            None, js=_BACK_TO_ROW, api_visibility="private"
        )
        prior.change(
            self._change_prior,
            [prior, self.opened],
            [*shown, self.summary, self.own, self.download, *self.report.cleared, *detail],
            **latest,
        )
        said = [*shown, self.progress, self.summary, self.own, self.report.line, *detail]
        language.input(self._say_again, self.opened, said, **latest)
        self.report.connect(self.start, private, working)
        self.labels.upload(self._compare, self.labels, [self.own, *shown], **looking)

    def _run_of(self, request: gr.Request) -> Run | None:
        return self._runs.of(str(request.session_hash))

    def _begin(self, value: str, key: str, prior: Prior, request: gr.Request) -> tuple[Any, ...]:
        """Open the run before it waits for a place, so that it can be cancelled from now on."""
        cleared = "", "", *without(), "", "", "", *_closed()
        uploads = read_uploads(value)
        if not uploads:
            return markup.message(NO_FILES, EXPIRED_FILES), *cleared, *_buttons(ready=False)
        run = Run(self._shelf.get(key), prior, uploads, lost=count_listed(value) - len(uploads))
        self._runs.keep(str(request.session_hash), run)
        return status_line(WAITING), *cleared, *_buttons(running=True)

    def _run(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        run = self._run_of(request)
        if run is None or not run.begin():
            return
        before: list[str] = []
        try:
            for _ in classify(run):
                with speaking(run.language):
                    progress = progress_line(run)
                    now = [summary_html(run), toolbar_html(run), rows_html(run), pages_html(run)]
                # What has not changed stays as it is: a menu that is drawn anew closes under the user's hand.
                changed = [
                    html if html != old else gr.skip() for html, old in zip(now, before or [""] * 4, strict=True)
                ]
                yield progress, *changed, *(gr.skip() for _ in range(4))
                before = now
        finally:
            run.finish()
        if self._run_of(request) is run:
            csv = write_csv(run)
            with speaking(run.language):
                ended = progress_line(run), summary_html(run), *_rows(run)
            yield *ended, *_buttons(csv=csv)

    def _files_changed(self, value: str, request: gr.Request) -> Any:
        run = self._run_of(request)
        idle = run is None or run.finished
        return gr.update(interactive=idle and bool(read_uploads(value)))

    def _stop(self, request: gr.Request) -> Any:
        self._runs.cancel(str(request.session_hash))
        return gr.update(interactive=False)

    def _look(self, opened: Opened, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        """Open a row, or change which rows are shown and how."""
        run = self._run_of(request)
        if run is None:
            return "", markup.message(EXPIRED_RUN, START_AGAIN), "", *_closed()
        wish = event._data if isinstance(event._data, dict) else {}
        if isinstance(number := wish.get("open"), int):
            return *(gr.skip() for _ in range(3)), *_detail(run, Opened(number, opened.careful))
        run.look(wish)
        return *_rows(run), *(gr.skip() for _ in range(4))

    def _look_otherwise(self, opened: Opened, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        run = self._run_of(request)
        if run is None:
            return gr.update(visible=True), markup.message(EXPIRED_RUN, START_AGAIN), "", Opened()
        wish = event._data.get("act") if isinstance(event._data, dict) else None
        if wish == "carefully":
            opened = replace(opened, careful=not opened.careful)
        elif wish == "anyway":
            opened = replace(opened, anyway=True)
        return _detail(run, opened)

    def _change_prior(self, prior: Prior, opened: Opened, request: gr.Request) -> tuple[Any, ...]:
        run = self._run_of(request)
        if run is None:
            return tuple(gr.skip() for _ in range(12))
        run.report_stopped.set()  # it would be for the one mix in its first part and for the other in its last
        run.rows.set_prior(prior)
        csv = gr.update(value=write_csv(run)) if run.finished else gr.skip()
        detail = _detail(run, opened) if opened.number else tuple(gr.skip() for _ in range(4))
        return *_rows(run), summary_html(run), own_html(run), csv, *without(), *detail

    def _say_again(self, opened: Opened, request: gr.Request) -> tuple[Any, ...]:
        """Draw anew what the run shows, in another language."""
        run = self._run_of(request)
        if run is None:
            return *(gr.skip() for _ in range(3)), status_line(EMPTY), *(gr.skip() for _ in range(7))
        run.language = language()
        detail = _detail(run, opened) if opened.number else tuple(gr.skip() for _ in range(4))
        return *_rows(run), progress_line(run), summary_html(run), own_html(run), "", *detail

    def _compare(self, path: str, request: gr.Request) -> tuple[Any, ...]:
        run = self._run_of(request)
        if run is None:
            return markup.message(EXPIRED_RUN, START_AGAIN), "", "", ""
        try:
            run.compare(read_labels(Path(path)))
        except UnusableLabels as error:
            return markup.message(NO_LABELS, told(str(error))), *(gr.skip() for _ in range(3))
        return own_html(run), *_rows(run)


def _rows(run: Run) -> tuple[str, str, str]:
    return toolbar_html(run), rows_html(run), pages_html(run)


def _detail(run: Run, opened: Opened) -> tuple[Any, ...]:
    return gr.update(visible=True), *answer(run, opened), opened


def _closed() -> tuple[Any, ...]:
    return gr.update(visible=False), "", "", Opened()


def _buttons(ready: bool = True, running: bool = False, csv: str | None = None) -> tuple[Any, ...]:
    """Return updates of Start, Cancel, Download and of the row of what can be done with a finished run."""
    return (
        gr.update(interactive=ready and not running),
        gr.update(interactive=running),
        gr.update(value=csv, interactive=csv is not None),
        gr.update(visible=csv is not None),
    )


def build_batch(shelf: Shelf, chosen: gr.Textbox, prior: gr.Radio, language: gr.HTML, runs: Runs) -> None:
    """Lay out the tab inside the current Blocks and connect it.

    Args:
        shelf: the models that can be opened.
        chosen: the key of the session's model, which answers the next run.
        prior: the mix of cases that is answered for.
        language: the control; what a run shows follows its `input`.
        runs: of all sessions.
    """
    BatchTab(shelf, chosen, prior, language, runs)
