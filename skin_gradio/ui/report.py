"""A batch run -> a zip with its heatmaps, its CSV and a report: one HTML file that opens offline and prints well."""

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from html import escape
from itertools import islice
from pathlib import Path
from string import Template
from typing import IO

import numpy as np
from PIL import Image

from skin_gradio import heatmap
from skin_gradio.classifier import Classifier, Finding
from skin_gradio.images import Picture, UnusableImage, read_picture
from skin_gradio.ui import charts, markup, own_labels
from skin_gradio.ui.runs import Run
from skin_gradio.ui.table import DIFFERS, HIGHER, LABEL, LOWER, SIDE_NAMES, STATUS_NAMES, told_doubts
from skin_gradio.ui.view import ShownRow, View
from skin_gradio.ui.words import Text, language, number, told

MAX_ROWS = 2_000
"""A report of more rows is no longer read, printed or opened with ease; the CSV in the zip has them all."""
THUMBNAIL_SIDE = 96
TITLE = Text("report.title")
DISCLAIMER = Text("report.disclaimer")
CAVEAT = Text("report.caveat")
HEADS = tuple(Text(f"report.heads.{name}") for name in ("pair", "file", "diagnosis", "probability", "score", "status"))
MADE, MODEL, REVISION = Text("report.made"), Text("report.model"), Text("report.revision")
PROBABILITIES, ROWS, FILTERS, NONE = (Text(f"report.{name}") for name in ("probabilities", "rows", "filters", "none"))
SHOWN, SHOWN_FIRST = Text("report.shown"), Text("report.shown_first")
THE_PICTURE, ITS_HEATMAP = Text("report.the_picture"), Text("report.its_heatmap")
GONE = Text("report.gone")
_PAGE = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
_CHUNK = 8


def write_report(run: Run, csv: Path) -> Iterator[int]:
    """Write `run.report`, a zip, for the rows that the view's filters let pass, in its order; yield how many are done.

    The pictures are read and classified again, a few at a time, so memory does not grow with their number. The zip is
    there once the last number was yielded; it is not when `run.report_stopped` was set, which is asked before each few.

    Args:
        run: a finished run.
        csv: the run's CSV, which goes into the zip.
    """
    view, target = run.view, run.report
    partial = target.with_suffix(".partial")
    body = run.folder / "report.partial.html"
    rows = run.rows.first(view, MAX_ROWS)
    done = 0
    with (
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
        open(body, "w", encoding="utf-8") as page,
    ):
        page.write(_head(run, view))
        while chunk := list(islice(rows, _CHUNK)):
            if run.report_stopped.is_set():
                return
            for line in _lines(run, chunk, archive):
                page.write(line)
            done += len(chunk)
            yield done
        if run.report_stopped.is_set():  # a run that was deleted has no more rows either
            return
        page.write("</tbody></table></body></html>\n")
        page.flush()
        archive.write(body, "report.html")
        archive.write(csv, csv.name)
    body.unlink()
    partial.replace(target)


def rows_in_report(run: Run) -> int:
    """Return how many rows a report of the run would show."""
    return min(run.rows.matching(run.view), MAX_ROWS)


def _head(run: Run, view: View) -> str:
    model, matching = run.classifier.model, run.rows.matching(view)
    counts = {"shown": min(matching, MAX_ROWS), "all": run.rows.count, "matching": matching, "most": MAX_ROWS}
    shown = (SHOWN_FIRST if matching > MAX_ROWS else SHOWN).format(**counts)
    about = {
        MADE: datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        MODEL: REVISION.format(name=model.name, revision=model.revision),
        PROBABILITIES: str(markup.PRIOR_NAMES[run.prior]),
        ROWS: shown,
        FILTERS: _filters(view) or str(NONE),
    }
    entries = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in about.items())
    own = own_labels.panel(run.rows, model.codes, *run.labels) if run.labels else ""
    return _PAGE.substitute(
        language=language(),
        title=TITLE,
        disclaimer=DISCLAIMER,
        about=f'<dl class="about">{entries}</dl>',
        summary=charts.summary(run.rows.summary(), str(markup.PRIOR_NAMES[run.prior]), run.point),
        own=own,
        caveat=CAVEAT,
        heads="".join(f'<th scope="col">{head}</th>' for head in HEADS),
    )


def _filters(view: View) -> str:
    diagnosis = markup.name_of(view.diagnosis) if view.diagnosis else ""
    side = str(SIDE_NAMES[view.side]) if view.side else ""
    status = str(STATUS_NAMES.get(view.status, DIFFERS)) if view.status else ""
    return ", ".join(filter(None, (diagnosis, side, status)))


def _lines(run: Run, rows: list[ShownRow], archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the rows' lines of the report; put their heatmaps into the archive."""
    pictures = {row.number: picture for row in rows if row.code and (picture := _picture(run, row.number))}
    findings = dict(zip(pictures, _findings(run.classifier, list(pictures.values())), strict=True))
    for row in rows:
        if row.number not in pictures:
            yield _line(row, run, "")
            continue
        overlaid = heatmap.overlay(pictures[row.number].pixels, findings[row.number].heatmap(row.code))
        name = f"heatmaps/{row.number:06}-{_safe(row.file)}-{row.code}.jpg"
        with archive.open(name, "w") as entry:
            _save(overlaid, entry)
        seen = markup.data_uri(pictures[row.number].resized(THUMBNAIL_SIDE))
        small = np.asarray(Image.fromarray(overlaid).resize((THUMBNAIL_SIDE,) * 2, Image.Resampling.BICUBIC))
        yield _line(
            row,
            run,
            f'<img alt="{THE_PICTURE}" src="{seen}"><a href="{escape(name)}"><img alt="{ITS_HEATMAP}"'
            f' src="{markup.data_uri(small)}"></a>',
        )


def _picture(run: Run, number: int) -> Picture | None:
    place = run.rows.place(number)
    try:
        return read_picture(place.read()) if place else None
    except UnusableImage:
        return None


def _findings(classifier: Classifier, pictures: list[Picture]) -> list[Finding]:
    if not pictures:
        return []
    return classifier.classify(np.stack([picture.resized(classifier.input_size) for picture in pictures]))


def _save(pixels: np.ndarray, target: IO[bytes]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    target.write(buffer.getvalue())


def _safe(file: str) -> str:
    """Return a part of a file's name that every system takes as a name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", file.rpartition("/")[2].rpartition(".")[0])[-60:].strip("._") or "picture"


def _line(row: ShownRow, run: Run, pair: str) -> str:
    start = f'<tr><td class="pair">{pair}</td><td class="file">{escape(row.file)}</td>'
    if row.probability is None or row.score is None:
        why = f'<td class="reason" colspan="3">{escape(told(row.reason))}</td>'
        return f"{start}{why}<td>{STATUS_NAMES['failed']}</td></tr>\n"
    side = HIGHER if row.score >= run.point.threshold else LOWER
    reason = told_doubts(row.reason) if pair or row.reason else str(GONE)
    label = f"<br>{LABEL.format(label=escape(row.label))}" if row.label else ""
    why = f'<p class="reason">{escape(reason)}</p>' if reason else ""
    return (
        f"{start}<td>{markup.named(row.code)}{label}{why}</td>"
        f"<td>{escape(markup.percent(row.probability))}</td><td>{number(row.score, '.3f')} ({side})</td>"
        f"<td>{STATUS_NAMES[row.status]}</td></tr>\n"
    )
