"""A batch in pictures: which diagnoses, which scores, and how it fares against labels. HTML and inline SVG."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from skin_gradio import lesions
from skin_gradio.models import OperatingPoint
from skin_gradio.ui import markup
from skin_gradio.ui.view import Summary
from skin_gradio.ui.words import Text, number, told

DIAGNOSES_TITLE = Text("charts.diagnoses_title")
SCORES_TITLE = Text("charts.scores_title")
SCORES_TEXT = Text("charts.scores_text")
DOUBTED = Text("charts.doubted")
ROC_TITLE = Text("charts.roc_title")
FALSE_AXIS, FOUND_AXIS = Text("charts.false_axis"), Text("charts.found_axis")
ROC_TEXT = Text("charts.roc_text")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 170, 8, 34, 16
_SIDE, _MARGIN = 220, 48


def summary(counts: Summary, prior_name: str, point: OperatingPoint) -> str:
    """Return two cards: how often each diagnosis is the most probable one, and the spread of the scores.

    Args:
        counts: of the rows so far.
        prior_name: the mix that the diagnoses are for, in words.
        point: the operating point that the scores are compared with.
    """
    if not counts.judged:
        return ""
    share = number(counts.higher / counts.judged, ".0%")
    text = SCORES_TEXT.format(
        higher=counts.higher, judged=counts.judged, share=share, threshold=point.threshold, name=told(point.name)
    )
    doubted = counts.statuses.get("doubted", 0)
    note = f'<p class="fine">{DOUBTED.format(count=doubted)}</p>' if doubted else ""
    return (
        f'<div class="summary"><section class="card" aria-label="{DIAGNOSES_TITLE}"><h2>{DIAGNOSES_TITLE}</h2>'
        f'<p class="fine">{escape(prior_name)}.</p>{_bars(counts.diagnoses, counts.judged)}{note}</section>'
        f'<section class="card" aria-label="{SCORES_TITLE}"><h2>{SCORES_TITLE}</h2>'
        f'{histogram(counts.scores, point, text)}<p class="fine">{escape(text)}</p></section></div>'
    )


def _bars(diagnoses: Mapping[str, int], total: int) -> str:
    rows = []
    for code, count in diagnoses.items():
        diagnosis, share = lesions.BY_CODE[code], count / total
        rows.append(
            f'<li class="bar{" malignant" if diagnosis.malignant else ""}"><span class="bar-name">'
            f'{markup.named(code)}</span><span class="bar-percent">'
            f'{number(count, ",")} <span class="fine">({number(share, ".0%")})</span></span><span class="bar-track"'
            f' aria-hidden="true"><span style="width:{100 * share:.2f}%"></span></span></li>'
        )
    return f'<ol class="bars">{"".join(rows)}</ol>'


def histogram(counts: Sequence[int], point: OperatingPoint, description: str) -> str:
    """Return how many scores lie in each of equal steps from 0 to 1, with the operating point's threshold, as SVG."""
    step = (_WIDTH - 2 * _LEFT) / len(counts)
    room, floor, most = _HEIGHT - _TOP - _BOTTOM, _HEIGHT - _BOTTOM, max(max(counts), 1)
    parts = []
    for place, count in enumerate(counts):
        height = max(room * count / most, 1 if count else 0)
        x = _LEFT + place * step
        parts.append(f'<rect x="{x + 1:.1f}" y="{floor - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"/>')
        if count:
            parts.append(_text(x + step / 2, floor - height - 4, number(count, ","), "count"))
    for value in (0, 0.5, 1):
        parts.append(_text(_LEFT + value * step * len(counts), floor + 14, number(value, "g"), "tick"))
    x = _LEFT + point.threshold * step * len(counts)
    parts.append(f'<path class="threshold" d="M{x:.1f} {_TOP - 6}V{floor + 20}"/>')
    anchor = "start" if point.threshold < 0.5 else "end"
    parts.append(_text(x, floor + 31, number(point.threshold, ".3f"), "threshold-label", anchor))
    return _svg("histogram", _WIDTH, _HEIGHT, str(SCORES_TITLE), description, "".join(parts))


def roc(false: np.ndarray, found: np.ndarray, auroc: float) -> str:
    """Return a ROC curve as SVG with a sentence.

    Args:
        false: share of other pictures at or above each threshold, float (k,), 0 to 1.
        found: share of malignant ones, float (k,), 0 to 1.
        auroc: the area under the curve.
    """
    points = " ".join(f"{_MARGIN + _SIDE * x:.1f},{6 + _SIDE * (1 - y):.1f}" for x, y in zip(false, found, strict=True))
    left, floor, end = _MARGIN, 6 + _SIDE, _MARGIN + _SIDE
    labels = [
        (_text(left + _SIDE * value, floor + 15, number(value, ".0%"), "tick"))
        + _text(left - 4, 6 + _SIDE * (1 - value) + 4, number(value, ".0%"), "tick", "end")
        for value in (0, 0.5, 1)
    ]
    drawing = (
        f'<path class="frame" d="M{left} 6H{end}V{floor}H{left}Z"/><path class="chance" d="M{left} {floor}L{end} 6"/>'
        f'<polyline class="curve" points="{points}"/>{"".join(labels)}'
        + _text(left + _SIDE / 2, floor + 30, str(FALSE_AXIS), "tick")
        + f'<g transform="rotate(-90 8 {6 + _SIDE / 2:.0f})">{_text(8, 6 + _SIDE / 2, str(FOUND_AXIS), "tick")}</g>'
    )
    text = ROC_TEXT.format(auroc=auroc)
    svg = _svg("roc", _SIDE + _MARGIN + 20, _SIDE + 42, str(ROC_TITLE), text, drawing)
    return f'<figure class="diagram"><figcaption>{ROC_TITLE}</figcaption>{svg}<p class="fine">{text}</p></figure>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(kind: str, width: float, height: float, title: str, description: str, drawing: str) -> str:
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(title)}. {escape(description)}"><g aria-hidden="true">{drawing}</g></svg>'
    )
