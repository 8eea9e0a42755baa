"""A batch run as HTML: the progress line, the toolbar and one page of rows."""

import time
from html import escape

from skin_gradio.models import OperatingPoint
from skin_gradio.ui import markup
from skin_gradio.ui.runs import PAGE_ROWS, Run, ShownRow

# sort key, heading, and its name in the menu that narrow screens have instead of headings
COLUMNS = (
    ("number", "No.", "order of the files"),
    ("file", "File", "file name"),
    ("diagnosis", "Most probable diagnosis", "diagnosis"),
    ("probability", "Probability", "probability"),
    ("score", "Malignancy score", "malignancy score"),
    ("status", "Status", "status"),
)
# Buttons and menus say what they want; `EventData` carries it to the server.
SCRIPT = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort], button[data-page]");
  if (!button || button.disabled) return;
  trigger("select", button.dataset.sort ? { sort: button.dataset.sort } : { page: Number(button.dataset.page) });
});
element.addEventListener("change", (event) => {
  if (event.target.matches("select[data-sort]")) trigger("select", { sort: event.target.value });
});"""


def progress_line(run: Run) -> str:
    """Return how far a run is, with a bar; once it has ended, what came of it."""
    failed = f", {run.failed:,} failed" if run.failed else ""
    counted = f"{run.done:,} of {run.total:,}{failed}"
    if run.finished and run.done >= run.total and not run.cancelled.is_set():
        text = f"Done: {counted}, in {_duration(run.seconds)}."
    elif run.finished:
        text = f"Stopped: {counted}. The CSV holds what was done."
    elif run.cancelled.is_set():
        text = f"Stopping: {counted}."
    else:
        text = f"{counted}{_remaining(run)}."
    share = 100 * min(run.done / run.total, 1) if run.total else 100
    return (
        f'<p class="progress-line" role="status">{escape(text)}</p>'
        f'<div class="progress-track" aria-hidden="true"><span style="width:{share:.1f}%"></span></div>'
    )


def _remaining(run: Run) -> str:
    elapsed = time.monotonic() - run.started
    if not run.done or elapsed < 1:
        return ""
    return f", about {_duration(elapsed / run.done * (run.total - run.done))} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def toolbar_html(run: Run) -> str:
    """Return which rows are shown, the mix they hold for, the pages, and a sort menu for narrow screens."""
    if not run.done:
        return ""
    first = run.view.page * PAGE_ROWS
    shown = f"Rows {first + 1:,} to {min(first + PAGE_ROWS, run.done):,} of {run.done:,}"
    options = "".join(
        f'<option value="{key}"{" selected" if key == run.view.key else ""}>{choice}</option>'
        for key, _, choice in COLUMNS
    )
    last = run.pages - 1
    pages = "".join(
        f'<button type="button" data-page="{page}"{"" if possible else " disabled"}>{label}</button>'
        for label, page, possible in (
            ("First", 0, run.view.page > 0),
            ("Previous", run.view.page - 1, run.view.page > 0),
            ("Next", run.view.page + 1, run.view.page < last),
            ("Last", last, run.view.page < last),
        )
    )
    return (
        f'<div class="toolbar"><p>{shown}. Probabilities: {markup.PRIOR_NAMES[run.prior].lower()}.</p>'
        f'<div class="narrow-only"><label>Sort by <select data-sort>{options}</select></label>'
        f'<button type="button" data-sort="{run.view.key}">Reverse</button></div>'
        f'<div class="pages" role="group" aria-label="Pages"{" hidden" if not last else ""}>{pages}</div></div>'
    )


def table_html(run: Run, point: OperatingPoint) -> str:
    """Return one page of a run's rows under headings that sort."""
    rows = run.rows()
    if not rows:
        return ""
    heads = "".join(_head(key, heading, run) for key, heading, _ in COLUMNS)
    body = "".join(_row(row, point) for row in rows)
    return (
        '<div class="table-frame" role="region" aria-label="Results" tabindex="0"><table class="results">'
        f'<thead><tr><th scope="col"><span class="unseen">Picture</span></th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(key: str, heading: str, run: Run) -> str:
    order, mark = "none", ""
    if key == run.view.key:
        order, mark = ("descending", " ▾") if run.view.descending else ("ascending", " ▴")
    return (
        f'<th scope="col" aria-sort="{order}"><button type="button" data-sort="{key}">{heading}'
        f'<span aria-hidden="true">{mark}</span></button></th>'
    )


def _row(row: ShownRow, point: OperatingPoint) -> str:
    image = '<span class="no-image"></span>'
    if row.thumbnail:
        image = f'<img alt="" src="{markup.jpeg_uri(row.thumbnail)}">'
    start = (
        f'<td class="thumb">{image}</td><td class="number">{row.number}</td><td class="file">{escape(row.file)}</td>'
    )
    if row.probability is None or row.score is None:
        return (
            f'<tr class="failed">{start}<td class="reason" colspan="3">{escape(row.reason)}</td>'
            '<td class="status">failed</td></tr>'
        )
    side = "higher" if row.score >= point.threshold else "lower"
    return (
        f'<tr>{start}<td class="diagnosis">{escape(row.name)} <span class="code">{escape(row.code)}</span></td>'
        f'<td class="figure" data-label="Probability">{escape(markup.percent(row.probability))}</td>'
        f'<td class="figure" data-label="Malignancy score">{row.score:.3f} <span class="side {side}">{side}</span></td>'
        '<td class="status">ok</td></tr>'
    )
