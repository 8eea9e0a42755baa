"""How a batch fares against the user's own labels, as HTML: figures, confusion matrix, ROC, and what was left out."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from skin_gradio import lesions, scoring
from skin_gradio.labels import Labels, Match
from skin_gradio.ui import charts, diagrams, markup
from skin_gradio.ui.rows import Rows

TITLE = "Against your labels"
COMPARED = "Pictures with a label: {count:,}. Probabilities: {prior}."
CONFUSION = "Rows: your label; columns: the most probable diagnosis; pictures"
CAVEAT = (
    "These figures are for your pictures alone, and without intervals: with few pictures they can be far off. Pictures"
    " that the model learned from make them look better than they are."
)
NOBODY = "No label belongs to a picture of this run."
ONE_SIDE = "A ROC needs malignant pictures and others among the labels."
OTHER_CLASSES = "Labels that are no answers of this model, and count for the ROC alone: {count:,}."
MISSING = "Classified pictures without a label: {count:,}."
UNUSED = "Labels without a classified picture: {count:,} ({names})."
AMBIGUOUS = "Names that fit several pictures, and so do not count: {count:,} ({names})."
CONTRADICTORY = "Names with several labels, which do not count: {count:,} ({names})."
UNKNOWN = "Labels that name no diagnosis: {names}."
NAMED = 5


def panel(rows: Rows, codes: Sequence[str], labels: Labels, match: Match) -> str:
    """Return accuracy, balanced accuracy, confusion matrix and ROC of the labelled rows at the shown mix.

    Args:
        rows: of the run, the labels set.
        codes: the model's diagnoses.
        labels: what the user's file says.
        match: which of it belongs to which row.
    """
    found = rows.labelled()
    notes = _notes(labels, match)
    if not found:
        return markup.message(NOBODY, " ".join(notes), "problem")
    known = [(codes.index(label), codes.index(answer)) for label, answer, _ in found if label in codes]
    body = [f'<p class="fine">{escape(_compared(len(found), rows))}</p>']
    if known:
        body.append(_answers(np.array(known), codes))
    if len(known) < len(found):
        notes.append(OTHER_CLASSES.format(count=len(found) - len(known)))
    malignant = np.array([lesions.BY_CODE[label].malignant for label, _, _ in found])
    score = np.array([score for _, _, score in found])
    if malignant.all() or not malignant.any():
        notes.append(ONE_SIDE)
    else:
        curve = scoring.thinned(*scoring.roc_curve(malignant, score))
        body.append(charts.roc(*curve, scoring.auroc(malignant, score)))
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<section class="card own" aria-label="{TITLE}"><h3 tabindex="-1">{TITLE}</h3>'
        f'<div class="own-figures">{"".join(body)}</div>{f"<ul>{listed}</ul>" if notes else ""}'
        f'<p class="fine">{CAVEAT}</p></section>'
    )


def _compared(count: int, rows: Rows) -> str:
    return COMPARED.format(count=count, prior=markup.in_running_text(markup.PRIOR_NAMES[rows.prior]))


def _answers(known: np.ndarray, codes: Sequence[str]) -> str:
    truth, answer = known.T
    figures = {
        "Accuracy": scoring.accuracy(truth, answer),
        "Balanced accuracy (mean recall)": scoring.balanced_accuracy(truth, answer, len(codes)),
    }
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{value:.3f}</dd></div>" for name, value in figures.items())
    matrix = diagrams.confusion(CONFUSION, codes, scoring.confusion_matrix(truth, answer, len(codes)).tolist())
    return f'<dl>{cells}</dl><div class="own-matrix">{matrix}</div>'


def _notes(labels: Labels, match: Match) -> list[str]:
    notes = [MISSING.format(count=match.missing)] if match.missing else []
    for text, names in (
        (UNUSED, match.unused),
        (AMBIGUOUS, match.ambiguous),
        (CONTRADICTORY, labels.contradictory),
    ):
        if names:
            notes.append(text.format(count=len(names), names=_some(names)))
    if labels.unknown:
        notes.append(UNKNOWN.format(names=_counted(labels.unknown)))
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _counted(unknown: Mapping[str, int]) -> str:
    most = sorted(unknown.items(), key=lambda pair: -pair[1])
    return _some([f"“{label}” ({count:,})" for label, count in most])
