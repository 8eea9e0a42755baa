"""The tab for one picture: drop, paste, camera or a drawing in; the whole answer out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from skin_gradio import heatmap
from skin_gradio.classifier import Classifier, Finding, Prior, UnusableAnswer
from skin_gradio.images import MAX_FILE_BYTES, Picture, UnusableImage, read_picture
from skin_gradio.ui import markup, sureness, threshold, why
from skin_gradio.ui.dropzone import Upload, drop_zone, read_uploads
from skin_gradio.ui.examples import EXAMPLES
from skin_gradio.ui.language import spoken
from skin_gradio.ui.model_choice import shown_name
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.words import Text, in_each_language, told, words

ZONE_TITLE, ZONE_HINT = Text("single.zone_title"), Text("single.zone_hint")
HERE = Text("single.here")
PROMISED = tuple(Text(f"single.promised.{name}") for name in ("bars", "sure", "score", "heatmap"))
GONE, DROP_AGAIN, NOT_USED = Text("single.gone"), Text("single.drop_again"), Text("single.not_used")
DRAWINGS, TO_TRY, DRAWING = Text("single.drawings"), Text("single.to_try"), Text("single.drawing")
DOUBTED = Text("single.doubted")
DOUBTED_NOTE = Text("single.doubted_note")
ANYWAY = Text("single.anyway")
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
    """A picture and how it is looked at: in eight views, and even where the model may not be able to judge it.

    `answered` is the key of the model, the mix of cases and the language of the answer on the page.
    """

    upload: Upload | None
    careful: bool = False
    anyway: bool = False
    answered: tuple[str, Prior, str] | None = None


def answer(classifier: Classifier, question: Question, prior: Prior) -> tuple[str, str]:
    """Return the answer for one picture as HTML, figures and pictures; or the named reason why there is none."""
    if question.upload is None:
        return markup.message(GONE, DROP_AGAIN), ""
    try:
        picture = read_picture(question.upload.path)
        return describe(classifier, picture, question.upload.name, prior, question.careful, question.anyway)
    except (UnusableImage, UnusableAnswer) as error:
        return markup.message(NOT_USED.format(name=question.upload.name), told(str(error))), ""


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

    Raises UnusableAnswer where the model answers with anything but probabilities.
    """
    pixels, sides = picture.resized(classifier.input_size)[None], [picture.shorter_side]
    eight = classifier.classify_carefully(pixels, prior, sides)[0] if careful else None
    finding = eight.finding if eight else classifier.classify(pixels, prior, sides)[0]
    square = picture.resized(heatmap.DISPLAY_SIDE)
    if finding.doubts and not anyway:
        return _doubts(finding, DOUBTED.format(name=name), str(ANYWAY) if buttons else ""), why.picture_alone(square)
    figures = (
        (_doubts(finding, str(DOUBTED_NOTE)) if finding.doubts else "")
        + markup.headline(finding, name, len(eight.views) if eight else 1, shown_name(classifier.model))
        + markup.bars(finding, eight.views if eight else None)
        + sureness.panel(finding, classifier.model, eight, buttons)
        + threshold.panel(finding, classifier.model, careful)
    )
    return f'<div class="answer">{figures}</div>', why.panel(square, finding)


def _doubts(finding: Finding, title: str, button: str = "") -> str:
    """Return why a picture may not be one that can be judged, with a button where one is named."""
    reasons = "".join(f"<li>{escape(told(doubt.message))}</li>" for doubt in finding.doubts)
    offer = f'<button type="button" class="zone-button" data-act="anyway">{button}</button>' if button else ""
    return (
        f'<div class="notice doubt" role="note" data-said="{escape(title)}"><p><strong>{escape(title)}</strong></p>'
        f"<ul>{reasons}</ul>{offer}</div>"
    )


def empty() -> str:
    """Return what stands in an answer's place before there is one."""
    promised = "".join(f"<li>{text}</li>" for text in PROMISED)
    return f'<div class="card empty"><p><strong>{HERE}</strong></p><ul>{promised}</ul></div>'


def build_single(
    shelf: Shelf, chosen: gr.Textbox, prior: gr.Radio, language: gr.HTML, drawings: Sequence[Path]
) -> gr.State:
    """Lay out the tab inside the current Blocks and connect it.

    Args:
        shelf: the models that can be opened.
        chosen: the key of the session's model.
        prior: the mix of cases that is answered for.
        language: the control; the answer follows its `input`.
        drawings: the example pictures.

    Returns the state that holds the session's `Question`.
    """
    asked = gr.State(Question(None))
    with gr.Row(elem_classes="columns"):
        with gr.Column(min_width=300):
            zone = drop_zone(
                ZONE_TITLE,
                ZONE_HINT,
                many=False,
                elem_id="single-zone",
                max_bytes=MAX_FILE_BYTES,
            )
            gallery = spoken(
                gr.HTML,
                {"value": partial(_gallery, [_thumbnail(path) for path in drawings])},
                js_on_load=_EXAMPLES_SCRIPT,
                elem_id="examples",
                apply_default_css=False,
            )
            seen = gr.HTML("", js_on_load=SEEN_SCRIPT, elem_id="seen", apply_default_css=False)
        with gr.Column(min_width=300):
            result = gr.HTML(empty(), js_on_load=ANSWER_SCRIPT, elem_id="answer", apply_default_css=False)

    def answered(question: Question, key: str, prior: Prior) -> tuple[str, str, Question]:
        return *answer(shelf.get(key), question, prior), replace(question, answered=(key, prior, words().language))

    def classify_upload(value: str, question: Question, key: str, prior: Prior) -> tuple[str, str, Question]:
        # Who looks carefully at one picture does so at the next; what was shown in spite of doubts is another matter.
        return answered(Question(next(iter(read_uploads(value)), None), question.careful), key, prior)

    def classify_example(question: Question, key: str, prior: Prior, event: gr.EventData) -> tuple[str, str, Question]:
        try:
            upload = _drawing(drawings, int(event.index))
        except (AttributeError, IndexError, TypeError, ValueError):
            upload = None
        return answered(Question(upload, question.careful), key, prior)

    def classify_again(question: Question, key: str, prior: Prior, value: str) -> tuple[str, str, Question]:
        upload, shown = question.upload, read_uploads(value)
        if upload is not None and upload.path in drawings:
            question = replace(question, upload=_drawing(drawings, drawings.index(upload.path)))
        elif not shown:  # a picture that was refused before it came here has taken the earlier one's place
            return empty(), "", question
        elif upload not in shown:  # it came while another one was being answered, or the session was forgotten
            question = Question(shown[0], question.careful)
        return answered(question, key, prior)

    def catch_up(question: Question, key: str, prior: Prior, value: str) -> tuple[Any, Any, Any]:
        """Answer again where the model or the mix has changed while the picture was being answered."""
        if question.upload is None or question.answered == (key, prior, words().language):
            return gr.skip(), gr.skip(), gr.skip()
        return classify_again(question, key, prior, value)

    def look_otherwise(
        question: Question, key: str, prior: Prior, value: str, event: gr.EventData
    ) -> tuple[str, str, Question]:
        wish = event._data.get("act") if isinstance(event._data, dict) else None
        if wish == "carefully":
            question = replace(question, careful=not question.careful)
        elif wish == "anyway":
            question = replace(question, anyway=True)
        return classify_again(question, key, prior, value)

    cleared = json.dumps(in_each_language(empty))
    shared: dict[str, Any] = {
        "concurrency_id": "single",
        "concurrency_limit": 4,
        "trigger_mode": "always_last",
        "api_visibility": "private",
    }
    zone.input(
        None, None, [result, seen], js=f"() => [{cleared}[document.documentElement.lang], '']", api_visibility="private"
    )
    shown = [result, seen, asked]
    again: dict[str, Any] = {
        "inputs": [asked, chosen, prior, zone],
        "outputs": shown,
        "show_progress": "hidden",
        **shared,
    }
    for event in (
        zone.upload(classify_upload, [zone, asked, chosen, prior], shown, **shared),
        gallery.select(classify_example, [asked, chosen, prior], shown, **shared),
    ):
        event.then(None, js=_SHOW_ANSWER, api_visibility="private").then(catch_up, **again)
    gr.on([prior.change, chosen.change, language.input], classify_again, **again)
    result.select(look_otherwise, **again).then(None, js=_KEEP_FOCUS, api_visibility="private").then(catch_up, **again)
    return asked


def _drawing(drawings: Sequence[Path], number: int) -> Upload:
    """Return an example picture under its name in the language that is spoken. Raises IndexError for another number."""
    return Upload(drawings[number], DRAWING.format(caption=words().inside(str(EXAMPLES[number].caption))))


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        return markup.data_uri(np.asarray(image.convert("RGB").resize((160, 120), Image.Resampling.BICUBIC)))


def _gallery(thumbnails: Sequence[str]) -> str:
    buttons = [
        f'<button type="button" data-example="{number}"><img alt="" src="{thumbnail}">'
        f"<span>{example.caption}</span></button>"
        for number, (example, thumbnail) in enumerate(zip(EXAMPLES, thumbnails, strict=True))
    ]
    return (
        '<div class="examples" role="group" aria-labelledby="examples-title">'
        f'<p id="examples-title"><strong>{DRAWINGS}</strong> - {TO_TRY}</p>'
        f'<div class="examples-row">{"".join(buttons)}</div></div>'
    )
