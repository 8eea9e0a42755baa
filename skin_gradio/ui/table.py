"""A batch run as HTML: the progress line, the controls, and one page of rows as a table or a gallery."""

import time
from html import escape

from skin_gradio import lesions
from skin_gradio.models import OperatingPoint
from skin_gradio.progress import duration, remaining
from skin_gradio.ui import markup
from skin_gradio.ui.rows import PAGE_ROWS, ShownRow, View
from skin_gradio.ui.runs import Run

# sort key, heading, and its name in the menu that narrow screens and the gallery have instead of headings
COLUMNS = (
    ("number", "No.", "order of the files"),
    ("file", "File", "file name"),
    ("diagnosis", "Most probable diagnosis", "diagnosis"),
    ("probability", "Probability", "probability"),
    ("score", "Malignancy score", "malignancy score"),
    ("status", "Status", "status"),
)
LAYOUT_NAMES = {"table": "Table", "gallery": "Gallery"}
SIDE_NAMES = {"": "all scores", "higher": "higher scores", "lower": "lower scores"}
STATUS_NAMES = {"": "any status", "ok": "ok", "doubted": "doubted", "failed": "failed"}
DIFFERS = "not as labelled"
LOST = " Files that were no longer here: {count:,}. Uploads are deleted after a while; drop them again."
ANY_DIAGNOSIS = "all diagnoses"
NOTHING_LEFT = "No row passes these filters."
# Buttons and menus say what they want; `EventData` carries it to the server. What is clicked is drawn anew when the
# answer comes, so the keyboard is put back where it was.
SCRIPT = """let last = "";
function named(target) {
  for (const name of ["sort", "page", "layout", "diagnosis", "side", "status", "open"]) {
    const control = target.closest(`button[data-${name}], select[data-${name}]`);
    if (control) return `${control.tagName.toLowerCase()}[data-${name}="${control.getAttribute("data-" + name)}"]`;
  }
  return "";
}
element.addEventListener("focusin", (event) => { last = named(event.target); });
element.addEventListener("focusout", (event) => { if (event.relatedTarget) last = ""; });
watch("value", () => {
  const control = last && document.activeElement === document.body && element.querySelector(last);
  if (control) control.focus({ preventScroll: true });
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort], button[data-page], button[data-layout]");
  if (button && !button.disabled) {
    const { sort, page, layout } = button.dataset;
    trigger("select", sort ? { sort } : layout ? { layout } : { page: Number(page) });
    return;
  }
  const row = event.target.closest("[data-open]");
  if (!row || String(window.getSelection())) return;
  Object.assign(document.documentElement.dataset, { row: row.dataset.open, rowIsNew: "yes" });
  trigger("select", { open: Number(row.dataset.open) });
});
element.addEventListener("change", (event) => {
  const menu = event.target;
  for (const name of ["sort", "diagnosis", "side", "status"])
    if (menu.matches(`select[data-${name}]`)) trigger("select", { [name]: menu.value });
});"""


def progress_line(run: Run) -> str:
    """Return how far a run is, with a bar; once it has ended, what came of it."""
    done, failed = run.rows.count, f", {run.rows.failed:,} failed" if run.rows.failed else ""
    counted = f"{done:,} of {run.total:,}{failed}"
    if run.finished and done >= run.total and not run.cancelled.is_set():
        text = f"Done: {counted}, in {duration(run.seconds)}."
    elif run.finished:
        text = f"Stopped: {counted}. The CSV holds what was done."
    elif run.cancelled.is_set():
        text = f"Stopping: {counted}."
    else:
        text = f"{counted}{remaining(done, run.total, time.monotonic() - run.started)}."
    if run.lost:
        text += LOST.format(count=run.lost)
    return progress_bar(text, done, run.total)


def progress_bar(text: str, done: int, total: int) -> str:
    """Return a line of text, which a screen reader announces, over a bar that is filled by the share done."""
    share = 100 * min(done / total, 1) if total else 100
    return (
        f'<p class="progress-line" role="status">{escape(text)}</p>'
        f'<div class="progress-track" aria-hidden="true"><span style="width:{share:.1f}%"></span></div>'
    )


def toolbar_html(run: Run) -> str:
    """Return the choice between table and gallery, the filters and, where there are no headings, the order."""
    if not run.rows.count:
        return ""
    view = run.view
    layouts = "".join(
        f'<button type="button" data-layout="{layout}" aria-pressed="{str(layout == view.layout).lower()}">{name}'
        "</button>"
        for layout, name in LAYOUT_NAMES.items()
    )
    codes = {code: lesions.BY_CODE[code].name for code in run.classifier.model.codes}
    statuses = {**STATUS_NAMES, "differs": DIFFERS} if run.labels else STATUS_NAMES
    order = "" if view.layout == "gallery" else " narrow-only"
    return (
        f'<div class="toolbar"><div class="layouts" role="group" aria-label="View">{layouts}</div>'
        f'<div class="filters" role="group" aria-label="Filters">'
        f"{_menu('diagnosis', 'Diagnosis', {'': ANY_DIAGNOSIS, **codes}, view.diagnosis)}"
        f"{_menu('side', 'Malignancy score', SIDE_NAMES, view.side)}"
        f"{_menu('status', 'Status', statuses, view.status)}</div>"
        f'<div class="order{order}">{_menu("sort", "Sort by", {key: name for key, _, name in COLUMNS}, view.key)}'
        f'<button type="button" data-sort="{view.key}">Reverse</button></div></div>'
    )


def _menu(name: str, label: str, choices: dict[str, str], chosen: str) -> str:
    options = "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in choices.items()
    )
    return f"<label>{label} <select data-{name}>{options}</select></label>"


def pages_html(run: Run) -> str:
    """Return which rows are shown, the mix they hold for, and buttons to other pages."""
    if not run.rows.count:
        return ""
    matching = run.rows.matching(run.view)
    first, last = run.view.page * PAGE_ROWS, run.pages - 1
    passed = f"{matching:,} rows that pass the filters, of {run.rows.count:,}" if run.view.filtered else f"{matching:,}"
    shown = f"Rows {first + 1:,} to {min(first + PAGE_ROWS, matching):,} of {passed}" if matching else NOTHING_LEFT[:-1]
    pages = "".join(
        f'<button type="button" data-page="{page}" aria-label="{label} page"{"" if possible else " disabled"}>{label}'
        "</button>"
        for label, page, possible in (
            ("First", 0, run.view.page > 0),
            ("Previous", run.view.page - 1, run.view.page > 0),
            ("Next", run.view.page + 1, run.view.page < last),
            ("Last", last, run.view.page < last),
        )
    )
    return (
        f'<div class="paging"><p role="status">{shown}. Probabilities: {markup.PRIOR_NAMES[run.prior].lower()}.</p>'
        f'<div class="pages" role="group" aria-label="Pages"{" hidden" if not last else ""}>{pages}</div></div>'
    )


def rows_html(run: Run) -> str:
    """Return one page of a run's rows in the layout of its view."""
    rows = run.rows.page(run.view)
    if not rows:
        return f'<p class="progress-line">{NOTHING_LEFT}</p>' if run.rows.count else ""
    return _gallery(rows, run.point) if run.view.layout == "gallery" else _table(rows, run.view, run.point)


def _table(rows: list[ShownRow], view: View, point: OperatingPoint) -> str:
    heads = "".join(_head(key, heading, view) for key, heading, _ in COLUMNS)
    body = "".join(_row(row, point) for row in rows)
    return (
        '<div class="table-frame" role="region" aria-label="Results" tabindex="0"><table class="results">'
        f'<thead><tr><th scope="col"><span class="unseen">Picture</span></th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(key: str, heading: str, view: View) -> str:
    order, mark = "none", ""
    if key == view.key:
        order, mark = ("descending", " ▾") if view.descending else ("ascending", " ▴")
    return (
        f'<th scope="col" aria-sort="{order}"><button type="button" data-sort="{key}">{heading}'
        f'<span aria-hidden="true">{mark}</span></button></th>'
    )


def _row(row: ShownRow, point: OperatingPoint) -> str:
    start = f'<td class="thumb">{_image(row)}</td><td class="number">{row.number}</td>'
    if row.probability is None or row.score is None:
        return (
            f'<tr class="failed">{start}<td class="file">{escape(row.file)}</td>'
            f'<td class="reason" colspan="3">{escape(row.reason)}</td><td class="status">failed</td></tr>'
        )
    doubts = f'<p class="reason">{escape(row.reason)}</p>' if row.status == "doubted" else ""
    return (
        f'<tr class="{row.status}" data-open="{row.number}">{start}'
        f'<td class="file"><button type="button" class="open" data-open="{row.number}">{escape(row.file)}</button></td>'
        f'<td class="diagnosis">{_diagnosis(row)}{_label(row)}{doubts}</td>'
        f'<td class="figure" data-label="Probability">{escape(markup.percent(row.probability))}</td>'
        f'<td class="figure" data-label="Malignancy score">{_score(row.score, point)}</td>'
        f'<td class="status">{row.status}</td></tr>'
    )


def _gallery(rows: list[ShownRow], point: OperatingPoint) -> str:
    return f'<ul class="batch-gallery" aria-label="Results">{"".join(_tile(row, point) for row in rows)}</ul>'


def _tile(row: ShownRow, point: OperatingPoint) -> str:
    name = f'<span class="file">{escape(row.file)}</span>'
    if row.probability is None or row.score is None:
        return (
            f'<li class="failed"><div class="tile">{_image(row)}{name}<span class="reason">{escape(row.reason)}</span>'
            "</div></li>"
        )
    doubts = f'<span class="reason">doubted: {escape(row.reason)}</span>' if row.status == "doubted" else ""
    return (
        f'<li><button type="button" class="tile" data-open="{row.number}">{_image(row)}{name}'
        f'<span class="diagnosis">{_diagnosis(row)} {escape(markup.percent(row.probability))}</span>'
        f'<span class="score-of">Score {_score(row.score, point)}</span>{_label(row)}{doubts}</button></li>'
    )


def _image(row: ShownRow) -> str:
    if not row.thumbnail:
        return '<span class="no-image"></span>'
    return f'<img alt="" src="{markup.jpeg_uri(row.thumbnail)}">'


def _diagnosis(row: ShownRow) -> str:
    return f'{escape(row.name)} <span class="code">{escape(row.code)}</span>'


def _label(row: ShownRow) -> str:
    if not row.label:
        return ""
    kind = "" if row.label == row.code else " differs"
    return f' <span class="own-label{kind}">label: {escape(row.label)}</span>'


def _score(score: float, point: OperatingPoint) -> str:
    side = "higher" if score >= point.threshold else "lower"
    return f'{score:.3f} <span class="side {side}">{side}</span>'
