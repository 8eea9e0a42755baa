"""The tab for one picture: drop, paste, camera or a drawing in; the whole answer out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from skin_gradio import heatmap
from skin_gradio.classifier import Classifier, Finding, Prior
from skin_gradio.images import MAX_FILE_BYTES, Picture, UnusableImage, read_picture
from skin_gradio.ui import markup, sureness, threshold, why
from skin_gradio.ui.dropzone import Upload, drop_zone, read_uploads
from skin_gradio.ui.examples import EXAMPLES
from skin_gradio.ui.shelf import Shelf

EMPTY = (
    '<div class="card empty"><p><strong>The answer appears here.</strong></p><ul>'
    "<li>a probability for each diagnosis</li><li>how sure the model is</li>"
    "<li>the malignancy score, and what any threshold on it is worth</li>"
    "<li>a heatmap of where the model looked</li></ul></div>"
)
DOUBTED = "{name} may not be a picture that this model can judge."
DOUBTED_NOTE = "Read this answer with care: this may not be a picture that the model can judge."
ANYWAY = "Show the answer anyway"
_SCRIPT = (Path(__file__).parent / "answer.js").read_text(encoding="utf-8")
ANSWER_SCRIPT = f"{{ {_SCRIPT} }}\n{{ {threshold.SCRIPT} }}"
"""Brings `describe`'s first result to life, as a `gr.HTML`'s js_on_load; its buttons fire `select` with `act`."""
SEEN_SCRIPT = why.SCRIPT
"""The same for `describe`'s second result."""
# On a phone the answer is below the drop zone; nobody should have to look for it.
_SHOW_ANSWER = """() => {
  const answer = document.getElementById("answer");
  if (answer && window.innerWidth < 768) answer.scrollIntoView({ behavior: "smooth", block: "start" });
}"""
# A button that is gone leaves the keyboard nowhere; the answer that it asked for is where to go on.
_KEEP_FOCUS = """() => {
  if (document.activeElement === document.body) document.querySelector("#answer h2")?.focus({ preventScroll: true });
}"""
_EXAMPLES_SCRIPT = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  document.querySelector("#single-zone .zone-status").textContent = "";
  trigger("select", { index: Number(button.dataset.example) });
});"""


@dataclass(frozen=True)
class Question:
    """A picture and how it is looked at: in eight views, and even where the model may not be able to judge it."""

    upload: Upload | None
    careful: bool = False
    anyway: bool = False


def answer(classifier: Classifier, question: Question, prior: Prior) -> tuple[str, str]:
    """Return the answer for one picture as HTML, figures and pictures; or the named reason why there is none."""
    if question.upload is None:
        return markup.message("The picture is no longer here.", "Uploads are deleted after a while; drop it again."), ""
    try:
        picture = read_picture(question.upload.path)
    except UnusableImage as error:
        return markup.message(f"{question.upload.name} cannot be used.", str(error)), ""
    return describe(classifier, picture, question.upload.name, prior, question.careful, question.anyway)


def describe(
    classifier: Classifier,
    picture: Picture,
    name: str,
    prior: Prior,
    careful: bool = False,
    anyway: bool = False,
    buttons: bool = True,
) -> tuple[str, str]:
    """Classify a picture; return all figures as HTML and, apart from them, the picture with its heatmaps.

    Where the model may not be able to judge the picture, the reasons come instead of an answer.

    Args:
        classifier: the model that answers.
        picture: what is classified.
        name: of its file.
        prior: the mix of cases that the probabilities are for.
        careful: look at eight views.
        anyway: give the answer under the reasons, too.
        buttons: offer to look more carefully and to show the answer anyway; ANSWER_SCRIPT says which was pressed.
    """
    pixels, sides = picture.resized(classifier.input_size)[None], [min(picture.width, picture.height)]
    eight = classifier.classify_carefully(pixels, prior, sides)[0] if careful else None
    finding = eight.finding if eight else classifier.classify(pixels, prior, sides)[0]
    square = picture.resized(heatmap.DISPLAY_SIDE)
    if finding.doubts and not anyway:
        return _doubts(finding, DOUBTED.format(name=name), ANYWAY if buttons else ""), why.picture_alone(square)
    figures = (
        (_doubts(finding, DOUBTED_NOTE) if finding.doubts else "")
        + markup.headline(finding, name, len(eight.views) if eight else 1)
        + markup.bars(finding, eight.views if eight else None)
        + sureness.panel(finding, classifier.model, eight, buttons)
        + threshold.panel(finding, classifier.model, careful)
    )
    return f'<div class="answer">{figures}</div>', why.panel(square, finding)


def _doubts(finding: Finding, title: str, button: str = "") -> str:
    """Return why a picture may not be one that can be judged, with a button where one is named."""
    reasons = "".join(f"<li>{escape(doubt.message)}</li>" for doubt in finding.doubts)
    offer = f'<button type="button" class="zone-button" data-act="anyway">{button}</button>' if button else ""
    return (
        f'<div class="notice doubt" role="note" data-said="{escape(title)}"><p><strong>{escape(title)}</strong></p>'
        f"<ul>{reasons}</ul>{offer}</div>"
    )


def build_single(shelf: Shelf, chosen: gr.State, prior: gr.Radio, drawings: Sequence[Path]) -> gr.State:
    """Lay out the tab inside the current Blocks and connect it; `chosen` holds the key of the session's model.

    Returns the state that holds the session's `Question`.
    """
    asked = gr.State(Question(None))
    with gr.Row(elem_classes="columns"):
        with gr.Column(min_width=300):
            zone = drop_zone(
                "Drop a dermatoscopic picture here",
                "JPEG, PNG, WebP, TIFF, BMP or GIF, up to 100 MB. Pasting with Ctrl+V works too.",
                many=False,
                elem_id="single-zone",
                max_bytes=MAX_FILE_BYTES,
            )
            gallery = gr.HTML(
                _gallery(drawings), js_on_load=_EXAMPLES_SCRIPT, elem_id="examples", apply_default_css=False
            )
            seen = gr.HTML("", js_on_load=SEEN_SCRIPT, elem_id="seen", apply_default_css=False)
        with gr.Column(min_width=300):
            result = gr.HTML(EMPTY, js_on_load=ANSWER_SCRIPT, elem_id="answer", apply_default_css=False)

    def classify_upload(value: str, question: Question, key: str, prior: Prior) -> tuple[str, str, Question]:
        # Who looks carefully at one picture does so at the next; what was shown in spite of doubts is another matter.
        question = Question(next(iter(read_uploads(value)), None), question.careful)
        return *answer(shelf.get(key), question, prior), question

    def classify_example(question: Question, key: str, prior: Prior, event: gr.EventData) -> tuple[str, str, Question]:
        try:
            number = int(event.index)
            upload = Upload(drawings[number], f"the drawing “{EXAMPLES[number].caption.lower()}”")
        except (AttributeError, IndexError, TypeError, ValueError):
            upload = None
        question = Question(upload, question.careful)
        return *answer(shelf.get(key), question, prior), question

    def classify_again(question: Question, key: str, prior: Prior, value: str) -> tuple[str, str]:
        # A picture that was refused before it came here has taken the earlier one's place.
        upload = question.upload
        here = upload is not None and (upload.path in drawings or upload in read_uploads(value))
        return answer(shelf.get(key), question, prior) if here else (EMPTY, "")

    def look_otherwise(
        question: Question, key: str, prior: Prior, value: str, event: gr.EventData
    ) -> tuple[str, str, Question]:
        wish = event._data.get("act") if isinstance(event._data, dict) else None
        if wish == "carefully":
            question = replace(question, careful=not question.careful)
        elif wish == "anyway":
            question = replace(question, anyway=True)
        return *classify_again(question, key, prior, value), question

    shared: dict[str, Any] = {
        "concurrency_id": "single",
        "concurrency_limit": 4,
        "trigger_mode": "always_last",
        "api_visibility": "private",
    }
    zone.input(None, None, [result, seen], js=f"() => [{json.dumps(EMPTY)}, '']", api_visibility="private")
    for event in (
        zone.upload(classify_upload, [zone, asked, chosen, prior], [result, seen, asked], **shared),
        gallery.select(classify_example, [asked, chosen, prior], [result, seen, asked], **shared),
    ):
        event.then(None, js=_SHOW_ANSWER, api_visibility="private")
    gr.on(
        [prior.change, chosen.change],
        classify_again,
        [asked, chosen, prior, zone],
        [result, seen],
        show_progress="hidden",
        **shared,
    )
    result.select(
        look_otherwise, [asked, chosen, prior, zone], [result, seen, asked], show_progress="hidden", **shared
    ).then(None, js=_KEEP_FOCUS, api_visibility="private")
    return asked


def _gallery(drawings: Sequence[Path]) -> str:
    buttons = []
    for number, (example, path) in enumerate(zip(EXAMPLES, drawings, strict=True)):
        with Image.open(path) as image:
            thumbnail = markup.data_uri(np.asarray(image.convert("RGB").resize((160, 120), Image.Resampling.BICUBIC)))
        buttons.append(
            f'<button type="button" data-example="{number}"><img alt="" src="{thumbnail}">'
            f"<span>{escape(example.caption)}</span></button>"
        )
    return (
        '<div class="examples" role="group" aria-labelledby="examples-title">'
        '<p id="examples-title"><strong>Drawings, not photographs</strong> - to try the page</p>'
        f'<div class="examples-row">{"".join(buttons)}</div></div>'
    )
