"""The tab for two models on one picture: the session's model beside another one."""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.classifier import Classifier, Finding, Prior, UnusableAnswer
from skin_gradio.images import MAX_FILE_BYTES, Picture, UnusableImage, read_picture
from skin_gradio.models import ModelError
from skin_gradio.ui import markup
from skin_gradio.ui.dropzone import Upload, drop_zone, read_uploads
from skin_gradio.ui.language import Part, spoken
from skin_gradio.ui.model_choice import TYPED_HELP, label, shown_name, switching
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.single import Question
from skin_gradio.ui.words import Text, told

ZONE_TITLE, ZONE_HINT = Text("compare.zone_title"), Text("compare.zone_hint")
SECOND = Text("compare.second")
SECOND_TYPED = Text("compare.second_typed")
FROM_SINGLE = Text("compare.from_single")
NOTHING_YET = Text("compare.nothing_yet")
NO_PICTURE = Text("compare.no_picture")
NO_PICTURE_HELP = Text("compare.no_picture_help")
EXPIRED = Text("compare.expired")
EXPIRED_HELP = Text("compare.expired_help")
NOT_USED = Text("compare.not_used")
NOT_OPENED = Text("compare.not_opened")
SAME_MODEL = Text("compare.same_model")
AGREE = Text("compare.agree")
DISAGREE = Text("compare.disagree")
OTHER_CLASSES = Text("compare.other_classes")
SAME_SIDE = Text("compare.same_side")
OTHER_SIDE = Text("compare.other_side")
NO_JUDGE = Text("compare.no_judge")
DOUBTED = Text("compare.doubted")
HIGHER, LOWER = Text("compare.higher"), Text("compare.lower")


def build_compare(shelf: Shelf, chosen: gr.Textbox, prior: gr.Radio, language: gr.HTML, asked: gr.State) -> None:
    """Lay out the tab inside the current Blocks and connect it.

    Args:
        shelf: the models that can be opened.
        chosen: the key of the session's model, the first of the two.
        prior: the mix of cases that both answer for.
        language: the control; the comparison follows its `input`.
        asked: the `Question` of the tab for one picture, whose picture can be taken.
    """
    current = gr.State(None)
    typed: dict[str, Part] = {"info": lambda: SECOND_TYPED.format(help=TYPED_HELP)} if shelf.choice == "any" else {}
    second = spoken(
        gr.Dropdown,
        {"choices": lambda: [(label(shelf, key), key) for key in shelf.offered], "label": SECOND, **typed},
        value=_other(shelf, shelf.first_key),
        allow_custom_value=shelf.choice == "any",
        filterable=shelf.choice == "any",
        elem_id="compare-second",
    )
    zone = drop_zone(
        ZONE_TITLE,
        ZONE_HINT,
        many=False,
        elem_id="compare-zone",
        max_bytes=MAX_FILE_BYTES,
    )
    take = spoken(gr.Button, {"value": FROM_SINGLE}, elem_id="compare-take")
    result = gr.HTML(_empty(), elem_id="comparison", apply_default_css=False)

    def compare_upload(value: str, key: str, name: str, prior: Prior) -> Iterator[tuple[str, Upload | None]]:
        upload = next(iter(read_uploads(value)), None)
        for html in comparing(shelf, key, name, upload, prior):
            yield html, upload

    def compare_taken(question: Question, key: str, name: str, prior: Prior) -> Iterator[tuple[str, Upload | None]]:
        if question.upload is None:
            yield markup.message(NO_PICTURE, NO_PICTURE_HELP), None
            return
        for html in comparing(shelf, key, name, question.upload, prior):
            yield html, question.upload

    def compare_again(upload: Upload | None, key: str, name: str, prior: Prior) -> Iterator[str]:
        yield from comparing(shelf, key, name, upload, prior) if upload else [_empty()]

    shared: dict[str, Any] = {
        "concurrency_id": "single",
        "concurrency_limit": 4,
        "trigger_mode": "always_last",
        "api_visibility": "private",
        "show_progress": "hidden",
    }

    def keep_apart(key: str, name: str | None) -> Any:
        return gr.update(value=_other(shelf, key)) if name == key else gr.skip()

    apart = chosen.change(
        keep_apart, [chosen, second], second, api_visibility="private", show_progress="hidden", queue=False
    )
    zone.upload(compare_upload, [zone, chosen, second, prior], [result, current], **shared)
    take.click(compare_taken, [asked, chosen, second, prior], [result, current], **shared)
    again: tuple[Any, ...] = (compare_again, [current, chosen, second, prior], result)
    gr.on([second.change, prior.change, language.input], *again, **shared)
    apart.then(*again, **shared)  # not at the change itself, when both may be the same


def _other(shelf: Shelf, key: str) -> str | None:
    """Return the first offered model but the one with this key; None where there is no other."""
    return next((other for other in shelf.offered if other != key), None)


def comparing(shelf: Shelf, key: str, name: str | None, upload: Upload | None, prior: Prior) -> Iterator[str]:
    """Compare two models on an upload; yields HTML: what is being done, and last both answers or why there are none.

    Args:
        shelf: where the models are opened.
        key: of the first model.
        name: the second model: a bundled one, a folder or a Hub id.
        upload: the picture; None when it has expired.
        prior: the mix of cases that both answer for.
    """
    if upload is None or not upload.path.is_file():
        yield markup.message(EXPIRED, EXPIRED_HELP)
        return
    if not name:
        yield _empty()
        return
    try:
        picture = read_picture(upload.path)
        for step in switching(shelf, name):
            if isinstance(step, Classifier):
                yield comparison((shelf.get(key), step), picture, upload.name, prior)
            elif name not in shelf.offered:
                yield markup.message(step, kind="note")
    except (UnusableImage, UnusableAnswer) as error:
        yield markup.message(NOT_USED.format(name=upload.name), told(str(error)))
    except ModelError as error:
        yield markup.message(NOT_OPENED, told(str(error)))


def comparison(pair: tuple[Classifier, Classifier], picture: Picture, name: str, prior: Prior) -> str:
    """Return both models' answers for a picture side by side, under a sentence on whether they agree."""
    findings = [
        classifier.classify(picture.resized(classifier.input_size)[None], prior, [picture.shorter_side])[0]
        for classifier in pair
    ]
    columns = "".join(_column(*answered, name) for answered in zip(pair, findings, strict=True))
    sentences = "".join(f"<p>{escape(text)}</p>" for text in _agreement(pair, findings))
    return (
        f'<div class="comparison"><div class="notice note agreement" role="status">{sentences}</div>'
        f'<div class="comparison-columns">{columns}</div></div>'
    )


def _agreement(pair: tuple[Classifier, Classifier], findings: list[Finding]) -> list[str]:
    models, tops = [classifier.model for classifier in pair], [finding.top for finding in findings]
    if models[0].key == models[1].key:
        return [str(SAME_MODEL)]
    names = [markup.in_running_text(lesions.BY_CODE[code].name) for code in tops]
    first, second = (markup.percent(float(finding.probabilities.max())) for finding in findings)
    if set(findings[0].codes) != set(findings[1].codes):
        texts = [str(OTHER_CLASSES)]
    elif tops[0] == tops[1]:
        texts = [AGREE.format(name=names[0], first=first, second=second)]
    else:
        shown = {"first": f"{names[0]} ({first})", "second": f"{names[1]} ({second})"}
        texts = [DISAGREE.format(first_model=shown_name(models[0]), second_model=shown_name(models[1]), **shown)]
    return [*texts, _scores(pair, findings), str(NO_JUDGE)]


def _scores(pair: tuple[Classifier, Classifier], findings: list[Finding]) -> str:
    above = [
        finding.malignancy_score >= classifier.operating_point().threshold
        for classifier, finding in zip(pair, findings, strict=True)
    ]
    if above[0] == above[1]:
        return SAME_SIDE.format(side=HIGHER if above[0] else LOWER)
    higher, lower = (shown_name(pair[above.index(side)].model) for side in (True, False))
    return OTHER_SIDE.format(higher=higher, lower=lower)


def _column(classifier: Classifier, finding: Finding, name: str) -> str:
    model, title = classifier.model, escape(shown_name(classifier.model))
    malignant = [lesions.BY_CODE[code].name for code in finding.codes if lesions.BY_CODE[code].malignant]
    doubts = " ".join(told(doubt.message) for doubt in finding.doubts)
    return (
        f'<section class="comparison-column" aria-label="{title}">'
        f'<h2 class="comparison-model">{title} <span class="fine">{escape(model.revision)}</span></h2>'
        f"{markup.message(DOUBTED, doubts, 'note') if doubts else ''}"
        f"{markup.headline(finding, name)}{markup.bars(finding)}"
        f"{markup.score_card(finding.malignancy_score, classifier.operating_point(), malignant)}</section>"
    )


def _empty() -> str:
    return f'<div class="card empty"><p>{NOTHING_YET}</p></div>'
