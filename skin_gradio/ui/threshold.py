"""What to make of it: the malignancy score against any threshold, and what that threshold is worth.

`threshold.js` only looks numbers up and sets them where `data-figure` says; the words are all here.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from skin_gradio import lesions
from skin_gradio.classifier import Finding
from skin_gradio.models import ModelFolder, OperatingPoint
from skin_gradio.score_curve import (
    ScoreCurve,
    malignant_share,
    operating_points,
    predictive_values,
    score_curve,
)
from skin_gradio.ui import markup
from skin_gradio.ui.words import Text, number, told

SCRIPT = (Path(__file__).parent / "threshold.js").read_text(encoding="utf-8")

TITLE = Text("threshold.title")
HIGHER = Text("threshold.higher")
LOWER = Text("threshold.lower")
SLIDER = Text("threshold.slider")
SLIDER_SAYS = Text("threshold.slider_says")
PREVALENCE = Text("threshold.prevalence")
PREVALENCE_LABEL = Text("threshold.prevalence_label")
PREVALENCE_HELP = Text("threshold.prevalence_help")
COUNTED = Text("threshold.counted")
HIGHER_CAVEAT = Text("threshold.higher_caveat")
LOWER_CAVEAT = Text("threshold.lower_caveat")
ONE_VIEW = Text("threshold.one_view")
PARTS = {"test": Text("threshold.parts.test"), "validation": Text("threshold.parts.validation")}
SCORE_IS = Text("threshold.score_is")
NAMES = {
    name: (Text(f"threshold.names.{name}"), Text(f"threshold.meanings.{name}"))
    for name in ("sensitivity", "specificity", "positive", "negative")
}
EXPLAIN, CHOSEN_FOR = Text("threshold.explain"), Text("threshold.chosen_for")
EXPLANATION = Text("threshold.explanation")
UNKNOWN = "?"


def panel(finding: Finding, model: ModelFolder, careful: bool = False) -> str:
    """Return the malignancy score beside a threshold that can be moved, and what that threshold gives.

    Where the model has no distribution of test scores, only its named operating points can be chosen.

    Args:
        finding: whose malignancy score it is.
        model: its model.
        careful: the finding comes from several views.
    """
    curve, points = score_curve(model, careful), operating_points(model, careful)
    place, prevalence = curve.place(points[0].threshold), round(100 * malignant_share(model), 1)
    score, threshold = finding.malignancy_score, float(curve.thresholds[place])
    above = score >= threshold
    names = markup.together([lesions.BY_CODE[code].name for code in finding.codes if lesions.BY_CODE[code].malignant])
    part = PARTS[curve.part]
    notes = SCORE_IS.format(names=names) + (f" {ONE_VIEW}" if careful and not curve.views else "")
    return (
        f'<section class="card score {"above" if above else "below"}" aria-label="{TITLE}" data-score="{score!r}"'
        f' data-curve="{escape(_data(curve))}" data-unknown="{UNKNOWN}"><h3>{TITLE}</h3>'
        f'<p class="score-line"><span class="score-value">{number(score, ".3f")}</span> {_sides(HIGHER, LOWER, above)}'
        f' <span data-figure="threshold">{number(threshold, ".3f")}</span>.</p>'
        f"{_slider(curve, place, score)}{_marks(curve, points, place)}"
        f'<div class="gauges">{_gauges(curve, place, ("sensitivity", "specificity"), prevalence)}</div>'
        f"{_counted(curve, place)}{_prevalence(prevalence)}"
        f'<div class="gauges">{_gauges(curve, place, ("positive", "negative"), prevalence)}</div>'
        f"<p>{_sides(HIGHER_CAVEAT, LOWER_CAVEAT, above)}</p>"
        f"<details><summary>{EXPLAIN}</summary><p>{escape(EXPLANATION.format(part=part))}</p>"
        f'<p class="fine">{escape(notes)}</p></details></section>'
    )


def _data(curve: ScoreCurve) -> str:
    return json.dumps(
        {
            "thresholds": curve.thresholds.tolist(),
            "sensitivity": curve.sensitivity.round(6).tolist(),
            "specificity": curve.specificity.round(6).tolist(),
            "malignant": curve.malignant,
            "others": curve.others,
        },
        separators=(",", ":"),
    )


def _sides(higher: Text, lower: Text, above: bool) -> str:
    """Return both texts, one of them hidden: which one shows changes with the threshold."""
    return (
        f'<span data-side="above"{"" if above else " hidden"}>{higher}</span>'
        f'<span data-side="below"{" hidden" if above else ""}>{lower}</span>'
    )


def _slider(curve: ScoreCurve, place: int, score: float) -> str:
    """Return the score as a bar under a slider for the threshold; both on the scale of the curve's places."""
    last = len(curve.thresholds) - 1
    if not curve.malignant or not last:
        return (
            f'<div class="score-track" aria-hidden="true"><span style="width:{100 * score:.2f}%"></span>'
            f'<i style="left:{100 * curve.thresholds[place]:.2f}%"></i></div>'
        )
    filled = 100 * float(np.interp(score, curve.thresholds, np.arange(last + 1))) / last
    return (
        f'<label class="threshold"><span>{SLIDER}</span><span class="threshold-track">'
        f'<span class="threshold-bar" aria-hidden="true"><span style="width:{filled:.2f}%"></span></span>'
        f'<input type="range" data-control="threshold" min="0" max="{last}" step="1" value="{place}"'
        f' aria-valuetext="" data-says="{SLIDER_SAYS}"></span></label>'
    )


def _marks(curve: ScoreCurve, points: Sequence[OperatingPoint], place: int) -> str:
    buttons = "".join(
        f'<button type="button" data-place="{curve.place(point.threshold)}" data-point="{escape(point.name)}"'
        f' aria-pressed="{str(curve.place(point.threshold) == place).lower()}">{escape(told(point.name))}</button>'
        for point in points
    )
    return (
        f'<div class="marks" role="group" aria-label="{SLIDER}"><span class="fine">{CHOSEN_FOR}</span>{buttons}</div>'
    )


def _gauges(curve: ScoreCurve, place: int, names: Sequence[str], prevalence: float) -> str:
    sensitivity, specificity = float(curve.sensitivity[place]), float(curve.specificity[place])
    positive, negative = predictive_values(sensitivity, specificity, prevalence / 100)
    values = {"sensitivity": sensitivity, "specificity": specificity, "positive": positive, "negative": negative}
    return "".join(
        f'<div><strong data-figure="{name}">{_share(values[name])}</strong> <span>{NAMES[name][1]}</span>'
        f' <span class="fine">{NAMES[name][0]}</span></div>'
        for name in names
    )


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else escape(markup.percent(value))


def _counted(curve: ScoreCurve, place: int) -> str:
    """Return the test pictures behind the figures; nothing where they are not known."""
    if not curve.malignant:
        return ""
    missed, called = curve.missed(place), curve.called(place)
    text = COUNTED.format(
        malignant=number(curve.malignant, ","),
        missed=f'<strong data-figure="missed">{number(missed, ",")}</strong>',
        others=number(curve.others, ","),
        called=f'<span data-figure="called">{number(called, ",")}</span>',
    )
    return f'<p class="counted">{text}</p>'


def _prevalence(prevalence: float) -> str:
    field = (
        f'<input type="number" data-control="prevalence" min="0" max="100" step="0.1" value="{prevalence}"'
        f' inputmode="decimal" aria-label="{PREVALENCE_LABEL}">'
    )
    text = PREVALENCE.format(input=field)
    known = PREVALENCE_HELP.format(share=number(prevalence, ".1f"))
    return f'<p class="prevalence">{text} <span class="fine">({known})</span>:</p>'
