"""How sure: prediction sets in words, and the answers of eight views."""

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from skin_gradio import lesions
from skin_gradio.classifier import CarefulFinding, Finding
from skin_gradio.models import ModelFolder
from skin_gradio.prediction_set import PredictionSet, has_own_rules, measured_coverage, prediction_sets, set_rules
from skin_gradio.ui import markup

TITLE = "How sure is the model?"
LEAD = "It is most likely one of these; the longer the list, the less sure the model is."
SURE = "One diagnosis alone is left each time. Sure is not the same as right."
LARGE = (
    "That is {size} of {classes} diagnoses: the model cannot tell what this is. Read the answer as “not known”, however"
    " high the first bar stands."
)
MALIGNANT_AMONG = "A malignant diagnosis is among them."
NOT_REACHED = (
    "No diagnosis reached its threshold for {coverage}, so the most probable one stands there alone: the picture is"
    " unlike most that the thresholds were chosen on. Trust the answer less than its number says."
)
NO_SETS = "This model comes without thresholds for that."
EXPLANATION = (
    "“{coverage}” means: the right diagnosis is in the list for about {coverage} of pictures like those of the training"
    " collection, because the thresholds were chosen so on validation pictures. {extent}, and not for other cameras."
    " The list is the same whatever mix of cases is chosen at the top of the page."
)
ON_AVERAGE = "It holds on average, less often for rare diagnoses"
PER_CLASS = "It holds for each diagnosis by itself, for rare ones only together"
MEASURED = "On the test pictures it was {shares}."
BUTTON = "Look more carefully"
BUTTON_HELP = "Judges eight turned and mirrored views of the picture and takes their average; a little slower."
VIEWS = "Eight views: {counts}."
STEADY = "All eight agree."
UNSTEADY = "The answer depends on how the picture lies: one more reason to doubt it."
ONE_VIEW_RULES = "The thresholds of the lists were chosen for one view."


def panel(finding: Finding, model: ModelFolder, careful: CarefulFinding | None = None, button: bool = True) -> str:
    """Return the prediction sets of a finding with a sentence about their size, and what the eight views said.

    Args:
        finding: the answer; that of `careful` where given.
        model: its model.
        careful: the eight views, where they were asked for.
        button: offer to look more carefully, or to go back; a click on it has the attribute data-act="carefully".
    """
    sets = prediction_sets(finding, model, careful is not None)
    body = _sets(sets, model, careful is not None) if sets else f"<p>{NO_SETS}</p>"
    views = _views(careful) if careful else ""
    return (
        f'<section class="card sure" aria-label="{TITLE}"><h3>{TITLE}</h3>{body}{views}'
        f"{_button(careful is not None) if button else ''}</section>"
    )


def _sets(sets: Sequence[PredictionSet], model: ModelFolder, careful: bool) -> str:
    rows = "".join(f"<div><dt>{one.coverage:.0%}</dt><dd>{escape(_members(one))}</dd></div>" for one in sets)
    sentences = "".join(f"<p>{escape(text)}</p>" for text in _sentences(sets, len(model.codes)))
    return (
        f'<p class="fine">{LEAD}</p><dl class="sets">{rows}</dl>{sentences}'
        f"<details><summary>What do the percentages mean?</summary>{_explanation(sets, model, careful)}</details>"
    )


def _members(one: PredictionSet) -> str:
    text = markup.any_of([lesions.BY_CODE[code].name for code in one.codes])
    return text[0].upper() + text[1:]


def _sentences(sets: Sequence[PredictionSet], classes: int) -> list[str]:
    """Return what the sets come to in plain words, without HTML."""
    widest = max(sets, key=lambda one: len(one.codes))
    size, malignant = len(widest.codes), [lesions.BY_CODE[code].malignant for code in widest.codes]
    texts = [NOT_REACHED.format(coverage=f"{one.coverage:.0%}") for one in sets if not one.reached][:1]
    if size == 1 and not texts:
        texts.append(SURE)
    if size > classes / 2 and size > 1:
        texts.append(LARGE.format(size=size, classes=classes))
    if any(malignant) and not malignant[0]:
        texts.append(MALIGNANT_AMONG)
    return texts


def _explanation(sets: Sequence[PredictionSet], model: ModelFolder, careful: bool) -> str:
    per_class = any(np.ptp(rule.thresholds) > 0 for rule in set_rules(model, careful))
    extent = PER_CLASS if per_class else ON_AVERAGE
    texts = [EXPLANATION.format(coverage=f"{sets[0].coverage:.0%}", extent=extent)]
    measured = [(one.coverage, measured_coverage(model, one.coverage, careful)) for one in sets]
    shares = [f"{markup.percent(share)} for the list of {asked:.0%}" for asked, share in measured if share is not None]
    if shares:
        texts.append(MEASURED.format(shares=" and ".join(shares)))
    if careful and not has_own_rules(model):
        texts.append(ONE_VIEW_RULES)
    return f"<p>{escape(' '.join(texts))}</p>"


def _views(careful: CarefulFinding) -> str:
    """Return which diagnoses the views put first, and whether they agree."""
    counted = Counter(careful.finding.codes[c] for c in np.asarray(careful.views).argmax(axis=1)).most_common()
    counts = ", ".join(
        f"{markup.in_running_text(lesions.BY_CODE[code].name)} is first in {count}" for code, count in counted
    )
    agree = counted[0][1]
    verdict = STEADY if agree == len(careful.views) else UNSTEADY if agree <= 0.75 * len(careful.views) else ""
    return f'<p class="views">{escape(VIEWS.format(counts=counts))} {verdict}</p>'


def _button(pressed: bool) -> str:
    return (
        '<div class="careful"><button type="button" class="zone-button" data-act="carefully"'
        f' aria-pressed="{str(pressed).lower()}">{BUTTON}</button><span class="fine">{BUTTON_HELP}</span></div>'
    )
