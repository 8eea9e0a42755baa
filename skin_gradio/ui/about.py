"""The tab about the session's model: what it is, its figures, intended use, limits, privacy, licence and citations."""

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.credit import citations, credit, is_credited
from skin_gradio.models import ModelFolder
from skin_gradio.ui import diagrams, figures
from skin_gradio.ui.shelf import Shelf

INTENDED_USE = (
    "Research and education: to study how a network sorts dermatoscopic pictures, and how far its answers can be"
    " trusted. It is not a medical device, has no approval, and must not be used to decide about anybody's care."
    " Whoever is worried about a spot on their skin should show it to a doctor, whatever this page says."
)
PRIVACY = (
    "Pictures are sent to the server that runs this page and nowhere else. They are deleted about an hour later, and at"
    " the latest when the server is stopped; nothing is learned from them. The page loads nothing from other hosts."
)
LIMITS = (
    "It knows the diagnoses listed above and sorts every picture into them, also a picture that shows none of them.",
    "It learned from {origin}. Expect worse answers for other clinics, cameras and skin types.",
    "A probability holds for the stated mix of diagnoses only; your mix may be another one.",
    "It sees one picture: no history, no patient, no comparison with last year.",
    "A heatmap shows where the score came from. It is no proof.",
)
LIGHT_SKIN = "{titles}, mostly pictures of light skin"
UNKNOWN_ORIGIN = "an unknown collection"
STRANGERS = (
    "This model did not come with the page. What stands here is what its own model.json says; nobody has checked it."
)
NO_FIGURES = "This model comes without test figures."
MODEL = (
    "A convolutional network trained with Keras on dermatoscopic photographs{size}. It reads the central square of a"
    " picture at {pixels} x {pixels} pixels and returns a probability for each of {count} diagnoses:"
)
LEARNED = "It learned from {origin}."
WORDS = (
    ("Balanced accuracy", "the mean of the recalls, so that rare diagnoses count as much as moles."),
    ("Recall of a diagnosis", "the share of its pictures that the model names."),
    ("AUROC", "the chance that a random picture with the diagnosis scores higher than one without it."),
    ("Expected calibration error", "how far, on average, a stated probability is from the share that comes true."),
    (
        "Mix of diagnoses",
        "the probabilities were asked for cases in that mix; the choice stands at the top of the page.",
    ),
)
INTERVAL_WORDS = (
    "The intervals tell how much another sample from the same clinics would change the figures; another camera, clinic"
    " or skin type can change them by more."
)
TOP_DIAGRAM = ("Are the probabilities right? The top diagnosis", "stated probability", "share that was right")
MALIGNANT_DIAGRAM = (
    "Are the probabilities right? The malignancy score",
    "malignancy score",
    "share that was malignant",
)
CONFUSION = {
    "equal": "Each equally common: rows are what it was, columns what the model named; pictures.",
    "collection": "As common as in the collection: rows are what it was, columns what the model named; pictures.",
}
_HEADINGS = {
    "figures": "How good it is",
    "classes": "Each diagnosis",
    "more": "More figures",
    "words": "What the words mean",
    "calibration": "Calibration",
    "confusion": "What is taken for what",
    "points": "Operating points",
    "sets": "Prediction sets",
    "gate": "Which pictures it doubts",
    "views": "Looking more carefully",
    "subgroups": "Patients and places",
    "elsewhere": "Other collections",
}


def build_about(shelf: Shelf, chosen: gr.State) -> None:
    """Lay out the tab inside the current Blocks; it follows `chosen`, the key of the session's model."""
    with gr.Column(elem_classes="about"):
        model = shelf.first.model
        facts = gr.HTML(about_html(model), elem_id="about-model", apply_default_css=False)
        owed = gr.Markdown(licence(model), elem_id="about-licence")

    def show(key: str) -> tuple[str, str]:
        now = shelf.get(key).model
        return about_html(now), licence(now)

    chosen.change(show, chosen, [facts, owed], api_visibility="private", show_progress="hidden", queue=False)


def about_html(model: ModelFolder) -> str:
    """Return everything about a model but its licence, as HTML; parts that its model.json lacks are left out."""
    strange = "" if model.bundled else f'<p class="notice note" role="note">{STRANGERS}</p>'
    numbers = _tolerant(lambda: figures.headline(model.card)) or f'<p class="fine">{NO_FIGURES}</p>'
    return (
        f"<h3>{escape(model.name)}</h3>{strange}{description(model)}"
        f"<h3>{_HEADINGS['figures']}</h3>{numbers}{_words()}"
        f"{_detail('more', lambda: figures.headline(model.card, figures.MORE))}"
        f"{_detail('classes', lambda: figures.classes(model))}"
        f"{_detail('points', lambda: figures.operating_points(model))}"
        f"{_detail('sets', lambda: figures.set_coverage(model))}"
        f"{_detail('gate', lambda: figures.gate(model))}"
        f"{_detail('views', lambda: figures.views(model.card))}"
        f"{_detail('calibration', lambda: calibration(model.card), opened=True)}"
        f"{_detail('confusion', lambda: confusions(model))}"
        f"{_detail('subgroups', lambda: figures.subgroups(model.card))}"
        f"{_detail('elsewhere', lambda: figures.elsewhere(model), opened=True)}"
        f"<h3>Intended use</h3><p>{INTENDED_USE}</p><h3>Limits</h3>{limits(model)}<h3>Privacy</h3><p>{PRIVACY}</p>"
    )


def _tolerant(make: Callable[[], str]) -> str:
    """Return what `make` makes of a model.json; nothing where the model.json is not what it should be."""
    try:
        return make()
    except figures.MALFORMED:
        return ""


def _detail(name: str, make: Callable[[], str], opened: bool = False) -> str:
    text = _tolerant(make)
    state = " open" if opened else ""
    return f'<details data-part="{name}"{state}><summary>{_HEADINGS[name]}</summary>{text}</details>' if text else ""


def _words() -> str:
    items = "".join(f"<div><dt>{term}</dt><dd>{meaning}</dd></div>" for term, meaning in WORDS)
    return (
        f'<details data-part="words"><summary>{_HEADINGS["words"]}</summary><dl class="words">{items}</dl>'
        f'<p class="fine">{INTERVAL_WORDS}</p></details>'
    )


def description(model: ModelFolder) -> str:
    """Return what a model is: size, input, diagnoses, what it learned from."""
    diagnoses = "".join(
        f'<li>{escape(lesions.BY_CODE[code].name)} <span class="code">{code}</span>.'
        f" {escape(lesions.BY_CODE[code].note)}</li>"
        for code in model.codes
    )
    parameters = figures.size(model.card)
    text = MODEL.format(size=f", {parameters}" if parameters else "", pixels=model.input_size, count=len(model.codes))
    origin = LEARNED.format(origin=_origin(model))
    return (
        f'<p class="fine">Revision <code>{escape(model.revision)}</code></p><p>{text}</p><ul>{diagnoses}</ul>'
        f"<p>{escape(origin)}</p>"
    )


def limits(model: ModelFolder) -> str:
    """Return what a model cannot do."""
    published = [title for title in figures.learned_from(model.card) if is_credited(title)]
    origin = LIGHT_SKIN.format(titles=" and ".join(published)) if published else _origin(model)
    return f"<ul>{''.join(f'<li>{escape(text.format(origin=origin))}</li>' for text in LIMITS)}</ul>"


def _origin(model: ModelFolder) -> str:
    return " and ".join(figures.learned_from(model.card)) or UNKNOWN_ORIGIN


def calibration(card: dict[str, Any]) -> str:
    """Return the reliability diagrams of the top diagnosis and of the malignancy score; those that there are."""
    bins = card["metrics"]["reliability"]
    made = "".join(
        _tolerant(partial(_diagram, bins, key, *words))
        for key, words in (("top", TOP_DIAGRAM), ("malignant", MALIGNANT_DIAGRAM))
    )
    where = f'<p class="fine">{escape(figures.measured_on(card))}</p>'
    return f'{where}<div class="pair">{made}</div>' if made else ""


def _diagram(bins: dict[str, Any], key: str, title: str, stated: str, share: str) -> str:
    return diagrams.reliability(f"about-{key}", title, stated, share, diagrams.groups(bins[key]))


def confusions(model: ModelFolder) -> str:
    """Return the confusion matrices at both mixes of diagnoses; those that there are."""
    matrices = model.card["metrics"]["confusion_matrix"]
    made = "".join(_tolerant(partial(_confusion, matrices, key, model)) for key in CONFUSION)
    return f'<div class="pair">{made}</div>' if made else ""


def _confusion(matrices: dict[str, Any], key: str, model: ModelFolder) -> str:
    return diagrams.confusion(CONFUSION[key], model.codes, matrices[key])


def licence(model: ModelFolder) -> str:
    """Return licences, credit and citations for what a model learned from, as Markdown."""
    titles = figures.learned_from(model.card)
    weights = "Weights: CC BY-NC 4.0, as the pictures they were trained on." if credit(titles) else ""
    return f"### Licence and citations\n\nCode: Apache-2.0. {weights} {credit(titles)}\n\n{citations(titles)}"
