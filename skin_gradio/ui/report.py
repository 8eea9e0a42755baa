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

from skin_gradio import heatmap, lesions
from skin_gradio.classifier import Classifier, Finding
from skin_gradio.images import Picture, UnusableImage, read_picture
from skin_gradio.ui import charts, markup, own_labels
from skin_gradio.ui.rows import ShownRow, View
from skin_gradio.ui.runs import Run
from skin_gradio.ui.table import SIDE_NAMES, STATUS_NAMES

MAX_ROWS = 2_000
"""A report of more rows is no longer read, printed or opened with ease; the CSV in the zip has them all."""
THUMBNAIL_SIDE = 96
TITLE = "Skin lesion classifier: report of a batch"
DISCLAIMER = (
    "<strong>Research and education only; not a medical device.</strong> No answer here is a diagnosis, and a lower"
    " score rules nothing out."
)
CAVEAT = (
    "The second picture is the heatmap of the most probable diagnosis; the larger ones lie in the folder heatmaps. A"
    " heatmap shows where the score came from. It is no proof that the model is right, or right for a good reason."
)
HEADS = ("Picture and heatmap", "File", "Most probable diagnosis", "Probability", "Malignancy score", "Status")
GONE = "The picture is no longer here."
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
    shown = f"{min(matching, MAX_ROWS):,} of {run.rows.count:,}"
    if matching > MAX_ROWS:
        shown += f" (the first of {matching:,}; a report holds at most {MAX_ROWS:,}, the CSV all)"
    about = {
        "Made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "Model": f"{model.name}, revision {model.revision}",
        "Probabilities": markup.PRIOR_NAMES[run.prior],
        "Rows": shown,
        "Filters": _filters(view) or "none",
    }
    entries = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in about.items())
    own = own_labels.panel(run.rows, model.codes, *run.labels) if run.labels else ""
    return _PAGE.substitute(
        title=TITLE,
        disclaimer=DISCLAIMER,
        about=f'<dl class="about">{entries}</dl>',
        summary=charts.summary(run.rows.summary(), markup.PRIOR_NAMES[run.prior], run.point),
        own=own,
        caveat=CAVEAT,
        heads="".join(f'<th scope="col">{head}</th>' for head in HEADS),
    )


def _filters(view: View) -> str:
    diagnosis = lesions.BY_CODE[view.diagnosis].name if view.diagnosis else ""
    side = SIDE_NAMES[view.side] if view.side else ""
    status = STATUS_NAMES.get(view.status, "not as labelled") if view.status else ""
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
            f'<img alt="The picture" src="{seen}"><a href="{escape(name)}"><img alt="Its heatmap"'
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
        return f'{start}<td class="reason" colspan="3">{escape(row.reason)}</td><td>failed</td></tr>\n'
    side = "higher" if row.score >= run.point.threshold else "lower"
    reason = row.reason if pair or row.reason else GONE
    label = f"<br>label: {escape(row.label)}" if row.label else ""
    why = f'<p class="reason">{escape(reason)}</p>' if reason else ""
    return (
        f'{start}<td>{escape(row.name)} <span class="code">{row.code}</span>{label}{why}</td>'
        f"<td>{escape(markup.percent(row.probability))}</td><td>{row.score:.3f} ({side})</td>"
        f"<td>{row.status}</td></tr>\n"
    )
