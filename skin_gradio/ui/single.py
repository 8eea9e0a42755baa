"""The tab for one picture: drop, paste, camera or a drawing in; the whole answer out."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from skin_gradio import heatmap, lesions
from skin_gradio.classifier import Classifier, Prior
from skin_gradio.images import MAX_FILE_BYTES, Picture, UnusableImage, read_picture
from skin_gradio.ui import markup
from skin_gradio.ui.dropzone import Upload, drop_zone, read_uploads
from skin_gradio.ui.examples import EXAMPLES
from skin_gradio.ui.shelf import Shelf

EMPTY = (
    '<div class="card empty"><p><strong>The answer appears here.</strong></p><ul>'
    "<li>a probability for each diagnosis</li><li>the malignancy score and its operating point</li>"
    "<li>a heatmap of where the model looked</li></ul></div>"
)
# On a phone the answer is below the drop zone; nobody should have to look for it.
_SHOW_ANSWER = """() => {
  const answer = document.getElementById("answer");
  if (answer && window.innerWidth < 768) answer.scrollIntoView({ behavior: "smooth", block: "start" });
}"""
_EXAMPLES_SCRIPT = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  document.querySelector("#single-zone .zone-status").textContent = "";
  trigger("select", { index: Number(button.dataset.example) });
});"""


def answer(classifier: Classifier, upload: Upload | None, prior: Prior) -> tuple[str, str]:
    """Return the answer for one picture as HTML, figures and pictures; or the named reason why there is none."""
    if upload is None:
        return markup.message("The picture is no longer here.", "Uploads are deleted after a while; drop it again."), ""
    try:
        picture = read_picture(upload.path)
    except UnusableImage as error:
        return markup.message(f"{upload.name} cannot be used.", str(error)), ""
    return describe(classifier, picture, upload.name, prior)


def describe(classifier: Classifier, picture: Picture, name: str, prior: Prior) -> tuple[str, str]:
    """Classify a picture; return headline, malignancy score and bars as HTML, and apart from it the heatmap."""
    finding = classifier.classify(picture.resized(classifier.input_size)[None], prior)[0]
    malignant = [lesions.BY_CODE[code].name for code in finding.codes if lesions.BY_CODE[code].malignant]
    activation = finding.heatmap(finding.top)
    square = Image.fromarray(picture.pixels).resize((heatmap.DISPLAY_SIDE,) * 2, Image.Resampling.BICUBIC)
    figures = (
        markup.headline(finding, name)
        + markup.score_card(finding.malignancy_score, classifier.operating_point(), malignant)
        + markup.bars(finding)
    )
    seen = markup.pictures(
        np.asarray(square),
        heatmap.overlay(picture.pixels, activation),
        lesions.BY_CODE[finding.top].name,
        bool(heatmap.normalised(activation).any()),
    )
    return f'<div class="answer">{figures}</div>', seen


def build_single(shelf: Shelf, chosen: gr.State, prior: gr.Radio, drawings: Sequence[Path]) -> None:
    """Lay out the tab inside the current Blocks and connect it; `chosen` holds the key of the session's model."""
    current = gr.State(None)
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
            seen = gr.HTML("", elem_id="seen", apply_default_css=False)
        with gr.Column(min_width=300):
            result = gr.HTML(EMPTY, elem_id="answer", apply_default_css=False)

    def classify_upload(value: str, key: str, prior: Prior) -> tuple[str, str, Upload | None]:
        upload = next(iter(read_uploads(value)), None)
        return *answer(shelf.get(key), upload, prior), upload

    def classify_example(key: str, prior: Prior, event: gr.EventData) -> tuple[str, str, Upload | None]:
        try:
            number = int(event.index)
            upload = Upload(drawings[number], f"the drawing “{EXAMPLES[number].caption.lower()}”")
        except (AttributeError, IndexError, TypeError, ValueError):
            upload = None
        return *answer(shelf.get(key), upload, prior), upload

    def classify_again(upload: Upload | None, key: str, prior: Prior, value: str) -> tuple[str, str]:
        # A picture that was refused before it came here has taken the earlier one's place.
        here = upload is not None and (upload.path in drawings or upload in read_uploads(value))
        return answer(shelf.get(key), upload, prior) if here else (EMPTY, "")

    shared: dict[str, Any] = {
        "concurrency_id": "single",
        "concurrency_limit": 4,
        "trigger_mode": "always_last",
        "api_visibility": "private",
    }
    zone.input(None, None, [result, seen], js=f"() => [{json.dumps(EMPTY)}, '']", api_visibility="private")
    for event in (
        zone.upload(classify_upload, [zone, chosen, prior], [result, seen, current], **shared),
        gallery.select(classify_example, [chosen, prior], [result, seen, current], **shared),
    ):
        event.then(None, js=_SHOW_ANSWER, api_visibility="private")
    gr.on(
        [prior.change, chosen.change],
        classify_again,
        [current, chosen, prior, zone],
        [result, seen],
        show_progress="hidden",
        **shared,
    )


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
