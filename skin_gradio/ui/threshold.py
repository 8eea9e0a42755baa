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

SCRIPT = (Path(__file__).parent / "threshold.js").read_text(encoding="utf-8")

TITLE = "What to make of it: the malignancy score"
HIGHER = "<strong>Higher score</strong>: at or above the threshold"
LOWER = "<strong>Lower score</strong>: below the threshold"
SLIDER = "Threshold"
SLIDER_SAYS = "{threshold}: sensitivity {sensitivity}, specificity {specificity}"
PREVALENCE = "If {input} of 100 lesions are malignant"
PREVALENCE_LABEL = "How many of 100 lesions are malignant"
PREVALENCE_HELP = "in the training collection: {share}"
COUNTED = (
    "Of {malignant} pictures of malignant lesions in the test split, this threshold missed {missed}; of {others}"
    " others, {called} scored higher all the same."
)
HIGHER_CAVEAT = "A higher score is no diagnosis."
LOWER_CAVEAT = "A lower score rules nothing out."
ONE_VIEW = "These figures were measured with one view of each picture."
PARTS = {"test": "test pictures, none of which the model learned from", "validation": "the validation pictures"}
SCORE_IS = "The score is the probability of {names}, always for the mix of the training collection."
NAMES = {
    "sensitivity": ("Sensitivity", "of the malignant lesions score higher"),
    "specificity": ("Specificity", "of the other lesions score lower"),
    "positive": ("Positive predictive value", "of the lesions with a higher score are malignant"),
    "negative": ("Negative predictive value", "of the lesions with a lower score are not malignant"),
}
EXPLANATION = (
    "The model does not say where to draw the line: that depends on what a missed malignant lesion and a needless alarm"
    " cost. A lower threshold misses fewer and alarms more often. Sensitivity and specificity were measured on"
    " {part}; the named thresholds were chosen on validation pictures. The predictive values also depend on how common"
    " malignant lesions are among those that are looked at: the same score means more in a clinic for skin cancer than"
    " in a screening of everybody. They follow from the number that you enter, by Bayes' rule. All of it holds for"
    " pictures like those of the collection."
)
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
        f'<p class="score-line"><span class="score-value">{score:.3f}</span> {_sides(HIGHER, LOWER, above)}'
        f' <span data-figure="threshold">{threshold:.3f}</span>.</p>'
        f"{_slider(curve, place, score)}{_marks(curve, points, place)}"
        f'<div class="gauges">{_gauges(curve, place, ("sensitivity", "specificity"), prevalence)}</div>'
        f"{_counted(curve, place)}{_prevalence(prevalence)}"
        f'<div class="gauges">{_gauges(curve, place, ("positive", "negative"), prevalence)}</div>'
        f"<p>{_sides(HIGHER_CAVEAT, LOWER_CAVEAT, above)}</p>"
        f"<details><summary>What do these numbers mean?</summary><p>{escape(EXPLANATION.format(part=part))}</p>"
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


def _sides(higher: str, lower: str, above: bool) -> str:
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
        f'<button type="button" data-place="{curve.place(point.threshold)}"'
        f' aria-pressed="{str(curve.place(point.threshold) == place).lower()}">{escape(point.name)}</button>'
        for point in points
    )
    return f'<div class="marks" role="group" aria-label="{SLIDER}"><span class="fine">Chosen for</span>{buttons}</div>'


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
        malignant=f"{curve.malignant:,}",
        missed=f'<strong data-figure="missed">{missed:,}</strong>',
        others=f"{curve.others:,}",
        called=f'<span data-figure="called">{called:,}</span>',
    )
    return f'<p class="counted">{text}</p>'


def _prevalence(prevalence: float) -> str:
    field = (
        f'<input type="number" data-control="prevalence" min="0" max="100" step="0.1" value="{prevalence}"'
        f' inputmode="decimal" aria-label="{PREVALENCE_LABEL}">'
    )
    text = PREVALENCE.format(input=field)
    return f'<p class="prevalence">{text} <span class="fine">({PREVALENCE_HELP.format(share=prevalence)})</span>:</p>'
