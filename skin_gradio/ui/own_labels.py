"""How a batch fares against the user's own labels, as HTML: figures, confusion matrix, ROC, and what was left out."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from skin_gradio import lesions, scoring
from skin_gradio.labels import Labels, Match
from skin_gradio.ui import charts, diagrams, markup
from skin_gradio.ui.rows import Rows
from skin_gradio.ui.words import Text, number

TITLE = Text("own_labels.title")
COMPARED = Text("own_labels.compared")
ACCURACY, BALANCED_ACCURACY = Text("own_labels.accuracy"), Text("own_labels.balanced_accuracy")
QUOTED = Text("own_labels.quoted")
CONFUSION = Text("own_labels.confusion")
CAVEAT = Text("own_labels.caveat")
NOBODY = Text("own_labels.nobody")
ONE_SIDE = Text("own_labels.one_side")
OTHER_CLASSES = Text("own_labels.other_classes")
MISSING = Text("own_labels.missing")
UNUSED = Text("own_labels.unused")
AMBIGUOUS = Text("own_labels.ambiguous")
CONTRADICTORY = Text("own_labels.contradictory")
UNKNOWN = Text("own_labels.unknown")
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
    classes = [lesions.as_answer(label, codes) for label, _, _ in found]
    known = [
        (codes.index(label), codes.index(answer))
        for label, (_, answer, _) in zip(classes, found, strict=True)
        if label is not None
    ]
    body = [f'<p class="fine">{escape(_compared(len(found), rows))}</p>']
    if known:
        body.append(_answers(np.array(known), codes))
    if len(known) < len(found):
        notes.append(OTHER_CLASSES.format(count=len(found) - len(known)))
    malignant = np.array([lesions.BY_CODE[label].malignant for label, _, _ in found])
    score = np.array([score for _, _, score in found])
    if malignant.all() or not malignant.any():
        notes.append(str(ONE_SIDE))
    else:
        curve = scoring.thinned(*scoring.roc_curve(malignant, score))
        body.append(charts.roc(*curve, scoring.auroc(malignant, score)))
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<section class="card own" aria-label="{TITLE}"><h2 tabindex="-1">{TITLE}</h2>'
        f'<div class="own-figures">{"".join(body)}</div>{f"<ul>{listed}</ul>" if notes else ""}'
        f'<p class="fine">{CAVEAT}</p></section>'
    )


def _compared(count: int, rows: Rows) -> str:
    return COMPARED.format(count=count, prior=markup.in_running_text(markup.PRIOR_NAMES[rows.prior]))


def _answers(known: np.ndarray, codes: Sequence[str]) -> str:
    truth, answer = known.T
    figures = {
        ACCURACY: scoring.accuracy(truth, answer),
        BALANCED_ACCURACY: scoring.balanced_accuracy(truth, answer, len(codes)),
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{number(value, '.3f')}</dd></div>" for name, value in figures.items())
    matrix = diagrams.confusion(str(CONFUSION), codes, scoring.confusion_matrix(truth, answer, len(codes)).tolist())
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
    return _some([QUOTED.format(label=label, count=count) for label, count in most])
