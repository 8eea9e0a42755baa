"""A batch run as HTML: the progress line, the controls, and one page of rows as a table or a gallery."""

import time
from collections.abc import Mapping
from html import escape

from skin_gradio import lesions
from skin_gradio.input_gate import MESSAGES
from skin_gradio.models import OperatingPoint
from skin_gradio.progress import duration, seconds_left
from skin_gradio.ui import markup
from skin_gradio.ui.model_choice import shown_name
from skin_gradio.ui.runs import Run
from skin_gradio.ui.view import PAGE_ROWS, ShownRow, View
from skin_gradio.ui.words import Text, number, told

# sort key, heading, and its name in the menu that narrow screens and the gallery have instead of headings
COLUMNS = tuple(
    (key, Text(f"table.columns.{key}"), Text(f"table.order.{key}"))
    for key in ("number", "file", "diagnosis", "probability", "score", "status")
)
LAYOUT_NAMES = {name: Text(f"table.layouts.{name}") for name in ("table", "gallery")}
SIDE_NAMES = {"": Text("table.sides.any"), "higher": Text("table.sides.higher"), "lower": Text("table.sides.lower")}
STATUS_NAMES = {
    "": Text("table.statuses.any"),
    "ok": Text("table.statuses.ok"),
    "doubted": Text("table.statuses.doubted"),
    "failed": Text("table.statuses.failed"),
}
HIGHER, LOWER = Text("table.higher"), Text("table.lower")
LABEL, SCORE, DOUBTED = Text("table.label"), Text("table.score"), Text("table.doubted")
VIEW, FILTERS, SORT_BY, REVERSE = (
    Text("table.view"),
    Text("table.filters"),
    Text("table.sort_by"),
    Text("table.reverse"),
)
DIAGNOSIS = Text("table.diagnosis")
RESULTS, PICTURE, PAGES = Text("table.results"), Text("table.picture"), Text("table.pages")
OF_MIX = Text("table.of_mix")
SHOWN, SHOWN_OF = Text("table.shown"), Text("table.shown_of")
PAGE_NAMES = {name: Text(f"table.page_names.{name}") for name in ("first", "previous", "next", "last")}
PAGE_LABEL = Text("table.page_label")
COUNTED, COUNTED_FAILED = Text("table.counted"), Text("table.counted_failed")
DONE, STOPPED, STOPPING, LEFT = Text("table.done"), Text("table.stopped"), Text("table.stopping"), Text("table.left")
DIFFERS = Text("table.differs")
LOST = Text("table.lost")
ANY_DIAGNOSIS = Text("table.any_diagnosis")
NOTHING_LEFT = Text("table.nothing_left")
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
    done, failed = run.rows.count, run.rows.failed
    counted = (COUNTED_FAILED if failed else COUNTED).format(done=done, total=run.total, failed=failed)
    if run.finished and done >= run.total and not run.cancelled.is_set():
        text = DONE.format(counted=counted, time=duration(run.seconds))
    elif run.finished:
        text = STOPPED.format(counted=counted)
    elif run.cancelled.is_set():
        text = STOPPING.format(counted=counted)
    else:
        left = seconds_left(done, run.total, time.monotonic() - run.started)
        text = f"{counted}." if left is None else LEFT.format(counted=counted, time=duration(left))
    if run.lost:
        text = f"{text} {LOST.format(count=run.lost)}"
    return progress_bar(text, done, run.total)


def status_line(text: Text | str) -> str:
    """Return a line of text, which a screen reader announces."""
    return f'<p class="progress-line" role="status">{escape(str(text))}</p>'


def progress_bar(text: str, done: int, total: int) -> str:
    """Return a line of text, which a screen reader announces, over a bar that is filled by the share done."""
    share = 100 * min(done / total, 1) if total else 100
    bar = f'<div class="progress-track" aria-hidden="true"><span style="width:{share:.1f}%"></span></div>'
    return status_line(text) + bar


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
    codes = {code: markup.name_of(code) for code in run.classifier.model.codes}
    statuses = {**STATUS_NAMES, "differs": DIFFERS} if run.labels else STATUS_NAMES
    order = "" if view.layout == "gallery" else " narrow-only"
    return (
        f'<div class="toolbar"><div class="layouts" role="group" aria-label="{VIEW}">{layouts}</div>'
        f'<div class="filters" role="group" aria-label="{FILTERS}">'
        f"{_menu('diagnosis', DIAGNOSIS, {'': ANY_DIAGNOSIS, **codes}, view.diagnosis)}"
        f"{_menu('side', markup.SCORE_TITLE, SIDE_NAMES, view.side)}"
        f"{_menu('status', Text('table.columns.status'), statuses, view.status)}</div>"
        f'<div class="order{order}">{_menu("sort", SORT_BY, {key: name for key, _, name in COLUMNS}, view.key)}'
        f'<button type="button" data-sort="{view.key}">{REVERSE}</button></div></div>'
    )


def _menu(name: str, label: Text, choices: Mapping[str, Text | str], chosen: str) -> str:
    options = "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{escape(str(text))}</option>'
        for value, text in choices.items()
    )
    return f"<label>{label} <select data-{name}>{options}</select></label>"


def pages_html(run: Run) -> str:
    """Return which rows are shown, the mix they hold for, and buttons to other pages."""
    if not run.rows.count:
        return ""
    matching = run.rows.matching(run.view)
    first, last = run.view.page * PAGE_ROWS, run.pages - 1
    counts = {"first": first + 1, "last": min(first + PAGE_ROWS, matching), "matching": matching, "all": run.rows.count}
    shown = (SHOWN_OF if run.view.filtered else SHOWN).format(**counts) if matching else NOTHING_LEFT
    mix = OF_MIX.format(
        mix=markup.in_running_text(markup.PRIOR_NAMES[run.prior]), model=shown_name(run.classifier.model)
    )
    pages = "".join(
        f'<button type="button" data-page="{page}" aria-label="{PAGE_LABEL.format(name=PAGE_NAMES[name])}"'
        f"{'' if possible else ' disabled'}>{PAGE_NAMES[name]}</button>"
        for name, page, possible in (
            ("first", 0, run.view.page > 0),
            ("previous", run.view.page - 1, run.view.page > 0),
            ("next", run.view.page + 1, run.view.page < last),
            ("last", last, run.view.page < last),
        )
    )
    return (
        f'<div class="paging"><p role="status">{shown} {escape(mix)}</p>'
        f'<div class="pages" role="group" aria-label="{PAGES}"{" hidden" if not last else ""}>{pages}</div></div>'
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
        f'<div class="table-frame" role="region" aria-label="{RESULTS}" tabindex="0"><table class="results">'
        f'<thead><tr><th scope="col"><span class="unseen">{PICTURE}</span></th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(key: str, heading: Text, view: View) -> str:
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
            f'<td class="reason" colspan="3">{escape(told(row.reason))}</td>'
            f'<td class="status">{STATUS_NAMES["failed"]}</td></tr>'
        )
    doubts = f'<p class="reason">{escape(told_doubts(row.reason))}</p>' if row.status == "doubted" else ""
    return (
        f'<tr class="{row.status}" data-open="{row.number}">{start}'
        f'<td class="file"><button type="button" class="open" data-open="{row.number}">{escape(row.file)}</button></td>'
        f'<td class="diagnosis">{_diagnosis(row)}{_label(row)}{doubts}</td>'
        f'<td class="figure" data-label="{COLUMNS[3][1]}">{escape(markup.percent(row.probability))}</td>'
        f'<td class="figure" data-label="{markup.SCORE_TITLE}">{_score(row.score, point)}</td>'
        f'<td class="status">{STATUS_NAMES[row.status]}</td></tr>'
    )


def told_doubts(reason: str) -> str:
    """Return the doubts of a row, which its `reason` joins, in the language that is spoken."""
    doubts = [told(message) for message in MESSAGES.values() if message in reason]
    return " ".join(doubts) or reason


def _gallery(rows: list[ShownRow], point: OperatingPoint) -> str:
    return f'<ul class="batch-gallery" aria-label="{RESULTS}">{"".join(_tile(row, point) for row in rows)}</ul>'


def _tile(row: ShownRow, point: OperatingPoint) -> str:
    name = f'<span class="file">{escape(row.file)}</span>'
    if row.probability is None or row.score is None:
        return (
            f'<li class="failed"><div class="tile">{_image(row)}{name}'
            f'<span class="reason">{escape(told(row.reason))}</span></div></li>'
        )
    doubts = (
        f'<span class="reason">{DOUBTED.format(reason=escape(told_doubts(row.reason)))}</span>'
        if row.status == "doubted"
        else ""
    )
    return (
        f'<li><button type="button" class="tile" data-open="{row.number}">{_image(row)}{name}'
        f'<span class="diagnosis">{_diagnosis(row)} {escape(markup.percent(row.probability))}</span>'
        f'<span class="score-of">{SCORE} {_score(row.score, point)}</span>{_label(row)}{doubts}</button></li>'
    )


def _image(row: ShownRow) -> str:
    if not row.thumbnail:
        return '<span class="no-image"></span>'
    return f'<img alt="" src="{markup.jpeg_uri(row.thumbnail)}">'


def _diagnosis(row: ShownRow) -> str:
    return markup.named(row.code)


def _label(row: ShownRow) -> str:
    if not row.label:
        return ""
    kind = "" if lesions.agree(row.label, row.code) else " differs"
    return f' <span class="own-label{kind}">{LABEL.format(label=escape(row.label))}</span>'


def _score(score: float, point: OperatingPoint) -> str:
    side = "higher" if score >= point.threshold else "lower"
    text = HIGHER if side == "higher" else LOWER
    return f'{number(score, ".3f")} <span class="side {side}">{text}</span>'
