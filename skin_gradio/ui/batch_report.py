"""The report of a batch run, in the tab for many pictures: asked for, waited for, stopped, downloaded."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from skin_gradio.ui import markup
from skin_gradio.ui.batch_run import UPDATE_SECONDS, write_csv
from skin_gradio.ui.language import spoken
from skin_gradio.ui.report import rows_in_report, write_report
from skin_gradio.ui.runs import Run
from skin_gradio.ui.table import progress_bar, status_line
from skin_gradio.ui.words import Text, speaking

MAKE, DOWNLOAD, STOP = Text("batch.report"), Text("batch.get_report"), Text("batch.stop_report")
MAKING, STOPPED, READY = Text("batch.making"), Text("batch.stopped"), Text("batch.ready")
WAITING = Text("batch.waiting")
EXPIRED_RUN, START_AGAIN = Text("batch.expired_run"), Text("batch.start_again")


class ReportPart:
    """The widgets of the report and what their events do.

    The buttons stand where it is made; `lay_out_line` adds how far it is.

    Args:
        run_of: returns the run of a request's session, if it has one.
    """

    def __init__(self, run_of: Callable[[gr.Request], Run | None]):
        self._run_of = run_of
        self.make = spoken(gr.Button, {"value": MAKE}, elem_id="batch-report", min_width=100)
        self.download = spoken(
            gr.DownloadButton, {"label": DOWNLOAD}, elem_id="batch-get-report", interactive=False, min_width=100
        )

    def lay_out_line(self) -> None:
        """Add the line that says how far the report is, with a button to stop it."""
        self.line = gr.HTML("", elem_id="batch-reporting", apply_default_css=False)
        self.stop = spoken(gr.Button, {"value": STOP}, visible=False, elem_id="batch-stop-report", size="sm")

    def connect(self, start: gr.Button, private: dict[str, Any], working: dict[str, Any]) -> None:
        """Connect the events.

        Args:
            start: of the next run, which waits for the report.
            private: options of an event that answers at once.
            working: options of one that takes long.
        """
        self.make.click(self._wait, None, [self.line, self.make], queue=False, **private).then(
            self._make, None, [self.line, self.stop, start, self.make, self.download], **working
        )
        self.stop.click(self._stop, None, self.stop, queue=False, **private)

    @property
    def cleared(self) -> list[Any]:
        """What `without` updates."""
        return [self.line, self.download]

    def _wait(self, request: gr.Request) -> tuple[Any, ...]:
        """Say that a report was asked for, before it waits for a place."""
        if self._run_of(request) is None:
            return markup.message(EXPIRED_RUN, START_AGAIN), gr.skip()
        return status_line(WAITING), gr.update(interactive=False)

    def _make(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        run = self._run_of(request)
        if run is None or not run.finished:
            return
        run.report_stopped.clear()
        total, shown_at = rows_in_report(run), 0.0
        on, off = gr.update(interactive=True), gr.update(interactive=False)
        yield _bar(MAKING, 0, total), gr.update(visible=True, interactive=True), off, off, off
        for done in write_report(run, Path(write_csv(run))):
            if time.monotonic() - shown_at >= UPDATE_SECONDS:
                with speaking(run.language):
                    progress = _bar(MAKING, done, total)
                yield progress, *(gr.skip() for _ in range(4))
                shown_at = time.monotonic()
        stopped = run.report_stopped.is_set()
        with speaking(run.language):
            ended = status_line(STOPPED) if stopped else _bar(READY, total, total)
        ready = off if stopped else gr.update(value=str(run.report), interactive=True)
        yield ended, gr.update(visible=False), on, on, ready

    def _stop(self, request: gr.Request) -> Any:
        if run := self._run_of(request):
            run.report_stopped.set()
        return gr.update(interactive=False)


def without() -> tuple[Any, ...]:
    """Return updates of `ReportPart.cleared`: there is no report, or none any more."""
    return "", gr.update(value=None, interactive=False)


def _bar(text: Text, done: int, total: int) -> str:
    return progress_bar(text.format(done=done, total=total), done, total)
