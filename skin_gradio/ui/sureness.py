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
from skin_gradio.ui.words import Text, number

TITLE = Text("sureness.title")
LEAD = Text("sureness.lead")
SURE = Text("sureness.sure")
LARGE = Text("sureness.large")
MALIGNANT_AMONG = Text("sureness.malignant_among")
NOT_REACHED = Text("sureness.not_reached")
OUT_OF_ORDER = {reason: Text(f"sureness.out_of_order.{reason}") for reason in ("thresholds", "mix")}
NO_SETS = Text("sureness.no_sets")
EXPLANATION = Text("sureness.explanation")
ON_AVERAGE = Text("sureness.on_average")
PER_CLASS = Text("sureness.per_class")
MEASURED = Text("sureness.measured")
EXPLAIN, LIST_SHARE, AND = Text("sureness.explain"), Text("sureness.list_share"), Text("sureness.and")
FIRST_IN = Text("sureness.first_in")
BUTTON = Text("sureness.button")
BUTTON_HELP = Text("sureness.button_help")
VIEWS = Text("sureness.views")
STEADY = Text("sureness.steady")
UNSTEADY = Text("sureness.unsteady")
ONE_VIEW_RULES = Text("sureness.one_view_rules")


def panel(finding: Finding, model: ModelFolder, careful: CarefulFinding | None = None, button: bool = True) -> str:
    """Return the prediction sets of a finding with a sentence about their size, and what the eight views said.

    Args:
        finding: the answer; that of `careful` where given.
        model: its model.
        careful: the eight views, where they were asked for.
        button: offer to look more carefully, or to go back; a click on it has the attribute data-act="carefully".
    """
    sets = prediction_sets(finding, model, careful is not None)
    body = _sets(sets, finding, model, careful is not None) if sets else f"<p>{NO_SETS}</p>"
    views = _views(careful) if careful else ""
    return (
        f'<section class="card sure" aria-label="{TITLE}"><h3>{TITLE}</h3>{body}{views}'
        f"{_button(careful is not None) if button else ''}</section>"
    )


def _sets(sets: Sequence[PredictionSet], finding: Finding, model: ModelFolder, careful: bool) -> str:
    rows = "".join(f"<div><dt>{number(one.coverage, '.0%')}</dt><dd>{escape(_members(one))}</dd></div>" for one in sets)
    texts = [*_sentences(sets, len(model.codes)), *_out_of_order(sets, finding, _per_class(model, careful))]
    sentences = "".join(f"<p>{escape(text)}</p>" for text in texts)
    return (
        f'<p class="fine">{LEAD}</p><dl class="sets">{rows}</dl>{sentences}'
        f"<details><summary>{EXPLAIN}</summary>{_explanation(sets, model, careful)}</details>"
    )


def _members(one: PredictionSet) -> str:
    text = markup.any_of([lesions.BY_CODE[code].name for code in one.codes])
    return text[0].upper() + text[1:]


def _sentences(sets: Sequence[PredictionSet], classes: int) -> list[str]:
    """Return what the sets come to in plain words, without HTML."""
    widest = max(sets, key=lambda one: len(one.codes))
    size, malignant = len(widest.codes), [lesions.BY_CODE[code].malignant for code in widest.codes]
    texts = [NOT_REACHED.format(coverage=number(one.coverage, ".0%")) for one in sets if not one.reached][:1]
    if size == 1 and not texts:
        texts.append(str(SURE))
    if size > classes / 2 and size > 1:
        texts.append(LARGE.format(size=size, classes=classes))
    if any(malignant) and not malignant[0]:
        texts.append(str(MALIGNANT_AMONG))
    return texts


def _per_class(model: ModelFolder, careful: bool) -> bool:
    return any(np.ptp(rule.thresholds) > 0 for rule in set_rules(model, careful))


def _out_of_order(sets: Sequence[PredictionSet], finding: Finding, per_class: bool) -> list[str]:
    """Return why a set leaves out a diagnosis that stands above one of its own in the bars, as a sentence if one does.

    Of several such pairs it names the likeliest diagnosis that is left out and the least likely one that is not.
    """
    shown = dict(zip(finding.codes, finding.probabilities, strict=True))
    for one in sets:
        kept = min(one.codes, key=shown.__getitem__)
        left = max((code for code in shown if code not in one.codes), key=shown.__getitem__, default=kept)
        if shown[left] > shown[kept]:
            names = {"left": markup.name_of(left), "kept": markup.in_running_text(markup.name_of(kept))}
            text = OUT_OF_ORDER["thresholds" if per_class else "mix"]
            return [text.format(coverage=number(one.coverage, ".0%"), **names)]
    return []


def _explanation(sets: Sequence[PredictionSet], model: ModelFolder, careful: bool) -> str:
    extent = PER_CLASS if _per_class(model, careful) else ON_AVERAGE
    texts = [EXPLANATION.format(coverage=number(sets[0].coverage, ".0%"), extent=extent)]
    measured = [(one.coverage, measured_coverage(model, one.coverage, careful)) for one in sets]
    shares = [
        LIST_SHARE.format(share=markup.percent(share), asked=asked) for asked, share in measured if share is not None
    ]
    if shares:
        texts.append(MEASURED.format(shares=f" {AND} ".join(shares)))
    if careful and not has_own_rules(model):
        texts.append(str(ONE_VIEW_RULES))
    return f"<p>{escape(' '.join(texts))}</p>"


def _views(careful: CarefulFinding) -> str:
    """Return which diagnoses the views put first, and whether they agree."""
    counted = Counter(careful.finding.codes[c] for c in np.asarray(careful.views).argmax(axis=1)).most_common()
    counts = ", ".join(
        FIRST_IN.format(name=markup.in_running_text(lesions.BY_CODE[code].name), count=count) for code, count in counted
    )
    agree = counted[0][1]
    verdict: Text | str = (
        STEADY if agree == len(careful.views) else UNSTEADY if agree <= 0.75 * len(careful.views) else ""
    )
    return f'<p class="views">{escape(VIEWS.format(counts=counts))} {verdict}</p>'


def _button(pressed: bool) -> str:
    return (
        '<div class="careful"><button type="button" class="zone-button" data-act="carefully"'
        f' aria-pressed="{str(pressed).lower()}">{BUTTON}</button><span class="fine">{BUTTON_HELP}</span></div>'
    )
