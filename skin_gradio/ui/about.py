"""The tab about the model: what it is, its figures, intended use, limits, licence and citations."""

from html import escape
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.credit import citations, credit, is_credited
from skin_gradio.models import ModelFolder

INTENDED_USE = """\
### Intended use

Research and education: to study how a network sorts dermatoscopic pictures, and how far its answers can be trusted. It
is not a medical device, has no approval, and must not be used to decide about anybody's care. Whoever is worried about
a spot on their skin should show it to a doctor, whatever this page says."""

PRIVACY = """\
### Privacy

Pictures are sent to the server that runs this page and nowhere else. They are deleted about an hour later, and at the
latest when the server is stopped; nothing is learned from them. The page loads nothing from other hosts."""

# model.json's keys, with the words and the mix of diagnoses that belong to them
_FIGURES = (
    ("equal_balanced_accuracy", "Balanced accuracy (mean recall)", "each equally common"),
    ("equal_macro_auroc", "Macro AUROC", "each equally common"),
    ("malignant_auroc", "AUROC of the malignancy score", "as in the collection"),
    ("accuracy", "Accuracy", "as in the collection"),
    ("expected_calibration_error", "Expected calibration error", "as in the collection"),
)


def build_about(model: ModelFolder) -> None:
    """Lay out the tab inside the current Blocks."""
    with gr.Column(elem_classes="about"):
        gr.Markdown(description(model))
        gr.HTML(figures(model.card), apply_default_css=False, elem_id="figures")
        gr.Markdown("\n\n".join((INTENDED_USE, limits(model), PRIVACY, licence(model))))


def description(model: ModelFolder) -> str:
    """Return what the model is, as Markdown."""
    diagnoses = "\n".join(
        f"- {lesions.BY_CODE[code].name} (`{code}`). {lesions.BY_CODE[code].note}" for code in model.codes
    )
    parameters = model.card.get("parameters")
    size = f", {parameters:,} parameters" if isinstance(parameters, int) else ""
    return (
        f"### The model\n\n`{model.name}`, revision `{model.revision}`{size}: a convolutional network trained"
        f" with Keras on dermatoscopic photographs. It reads the central square of a picture at {model.input_size} x"
        f" {model.input_size} pixels and returns a probability for each of {len(model.codes)} diagnoses:\n\n{diagnoses}"
    )


def limits(model: ModelFolder) -> str:
    """Return what the model cannot do, as Markdown."""
    titles = _learned_from(model)
    published = ", ".join(title for title in titles if is_credited(title))
    origin = f"{published}, mostly pictures of light skin" if published else ", ".join(titles)
    return f"""\
### Limits

- It knows the diagnoses listed above and sorts every picture into them, also a picture that shows none of them.
- It learned from {origin}. Expect worse answers for other clinics, cameras and skin types.
- A probability holds for the stated mix of diagnoses only; your mix may be another one.
- It sees one picture: no history, no patient, no comparison with last year.
- A heatmap shows where the score came from. It is no proof."""


def licence(model: ModelFolder) -> str:
    """Return licences, credit and citations for what the model learned from, as Markdown."""
    titles = _learned_from(model)
    weights = "Weights: CC BY-NC 4.0, as the pictures they were trained on." if credit(titles) else ""
    return f"### Licence and citations\n\nCode: Apache-2.0. {weights} {credit(titles)}\n\n{citations(titles)}"


def _learned_from(model: ModelFolder) -> list[str]:
    training = model.card.get("training")
    titles = training.get("collections") if isinstance(training, dict) else None
    return [str(title) for title in titles] if isinstance(titles, list) else ["an unknown collection"]


def figures(card: dict[str, Any]) -> str:
    """Return the test figures of model.json with their intervals as an HTML table, or a note that there are none."""
    metrics = card.get("metrics") or {}
    try:
        rows = [_figure_row(title, mix, metrics["figures"][key]) for key, title, mix in _FIGURES]
        caption = (
            f"Test split of {metrics['collection']}: {int(metrics['pictures']):,} pictures of"
            f" {int(metrics['lesions']):,} lesions, none of which was trained on, in copies of"
            f" {metrics['picture_size']} pixels."
            " Intervals: 95%, bootstrap over lesions."
        )
    except (KeyError, TypeError, ValueError):
        return '<p class="fine">This model comes without test figures.</p>'
    return (
        f'<table class="figures"><caption>{escape(caption)}</caption><thead><tr><th scope="col">Figure</th>'
        '<th scope="col">Mix of diagnoses</th><th scope="col">Value</th><th scope="col">95% interval</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _figure_row(title: str, mix: str, figure: dict[str, float]) -> str:
    value, low, high = (float(figure[key]) for key in ("value", "low", "high"))
    return f'<tr><th scope="row">{title}</th><td>{mix}</td><td>{value:.3f}</td><td>{low:.3f} to {high:.3f}</td></tr>'
