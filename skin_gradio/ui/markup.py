"""The page's HTML: bars, scores, pictures and messages. Whatever comes from a user is escaped here."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from skin_gradio import lesions
from skin_gradio.classifier import Finding, Prior
from skin_gradio.models import OperatingPoint
from skin_gradio.ui.words import Text, number, told, words

PRIOR_NAMES: dict[Prior, Text] = {
    "collection": Text("markup.prior.collection"),
    "equal": Text("markup.prior.equal"),
}
_MIX: dict[Prior, Text] = {"collection": Text("markup.mix.collection"), "equal": Text("markup.mix.equal")}
TOP_TITLE, TOP_FOR, TOP_FOR_VIEWS = Text("markup.top_title"), Text("markup.top_for"), Text("markup.top_for_views")
SENTENCE, MORE_THAN, ABOUT = Text("markup.sentence"), Text("markup.more_than"), Text("markup.about")
UNSURE, UNSURE_OF_TWO, NEXT = Text("markup.unsure"), Text("markup.unsure_of_two"), Text("markup.next")
BARS_TITLE, IN_THE_VIEWS = Text("markup.bars_title"), Text("markup.in_the_views")
SCORE_TITLE, SCORE_IS = Text("markup.score_title"), Text("markup.score_is")
HIGHER, LOWER = Text("markup.higher"), Text("markup.lower")
HIGHER_CAVEAT, LOWER_CAVEAT = Text("markup.higher_caveat"), Text("markup.lower_caveat")
FOUND = {"test": Text("markup.found.test"), "validation": Text("markup.found.validation")}
TOGETHER, OR = Text("markup.together"), Text("markup.or")
MALIGNANT = Text("markup.malignant")
_INSIDE = {group.name: Text(f"markup.inside.{group.code}") for group in lesions.GROUPS}
UNSURE_BELOW, UNSURE_OF_TWO_BELOW = 0.5, 0.6
SPREAD_FROM = 0.05  # the probability from which a bar's range over the views is put into words


def percent(probability: float) -> str:
    """Return a probability for reading: whole per cent, and never a certainty that it is not."""
    if probability < 0.005:
        return "<" + number(0.01, ".0%")
    return ">" + number(0.99, ".0%") if probability > 0.995 else number(probability, ".0%")


def message(text: Text | str, detail: Text | str = "", kind: str = "problem") -> str:
    """Return an inline message that a screen reader announces; `kind` is problem or note."""
    role = "alert" if kind == "problem" else "status"
    tail = f"<p>{escape(str(detail))}</p>" if detail else ""
    return f'<div class="notice {kind}" role="{role}"><p><strong>{escape(str(text))}</strong></p>{tail}</div>'


def name_of(code: str) -> str:
    """Return a diagnosis' name."""
    return told(lesions.BY_CODE[code].name)


def in_running_text(name: object) -> str:
    """Return a diagnosis' name as it stands inside a sentence."""
    return str(_INSIDE.get(str(name)) or words().inside(told(str(name))))


def sentence(finding: Finding) -> str:
    """Return what the probabilities say in plain words (no HTML)."""
    order = np.argsort(-finding.probabilities, kind="stable")
    first, second = (lesions.BY_CODE[finding.codes[i]] for i in order[:2])
    top, next_ = (float(finding.probabilities[i]) for i in order[:2])
    share = str(MORE_THAN) if top > 0.995 else ABOUT.format(count=round(100 * top))
    texts = [SENTENCE.format(share=share, name=in_running_text(first.name), mix=_MIX[finding.prior])]
    of_two = len(finding.codes) == 2
    if unsure := top < (UNSURE_OF_TWO_BELOW if of_two else UNSURE_BELOW):
        texts.append(str(UNSURE_OF_TWO if of_two else UNSURE))
    if unsure or next_ >= 0.05:
        texts.append(NEXT.format(name=in_running_text(second.name), share=percent(next_)))
    return " ".join(texts)


def headline(finding: Finding, file_name: str, views: int = 1, model: str = "") -> str:
    """Return the top diagnosis with its sentence.

    Args:
        finding: the answer.
        file_name: of the picture.
        views: how many views of the picture it comes from.
        model: the name of the model, where nothing around the headline says it.
    """
    diagnosis = lesions.BY_CODE[finding.top]
    name, share = name_of(diagnosis.code), percent(float(finding.probabilities.max()))
    title = TOP_FOR_VIEWS.format(file=file_name, views=views) if views > 1 else TOP_FOR.format(file=file_name)
    if model:
        title = f"{title} · {model}"
    return (
        f'<section class="card" aria-label="{TOP_TITLE}" data-said="{escape(f"{name}, {share}")}">'
        f'<p class="overline">{escape(title)}</p>'
        f'<h2 class="top" tabindex="-1"><span>{named(diagnosis.code)}{_tag(diagnosis)}</span>'
        f'<span class="top-percent">{escape(share)}</span></h2>'
        f"<p>{escape(sentence(finding))}</p></section>"
    )


def bars(finding: Finding, views: np.ndarray | None = None) -> str:
    """Return every diagnosis with its probability, the highest first.

    Args:
        finding: what the bars show.
        views: float (views, classes), the answers of single views at the finding's prior, whose range is marked.
    """
    rows: list[str] = []
    for i in np.argsort(-finding.probabilities, kind="stable"):
        diagnosis, probability = lesions.BY_CODE[finding.codes[i]], float(finding.probabilities[i])
        kind = " malignant" if diagnosis.malignant else ""
        mark, spread = ("", "") if views is None else _range(views[:, i], shown=probability >= SPREAD_FROM or not rows)
        rows.append(
            f'<li class="bar{kind}" data-code="{diagnosis.code}">'
            f'<span class="bar-name">{named(diagnosis.code)}{_tag(diagnosis)}</span>'
            f'<span class="bar-percent">{escape(percent(probability))}</span>'
            '<span class="bar-track" aria-hidden="true">'
            f'<span style="width:{100 * probability:.2f}%"></span>{mark}</span>{spread}</li>'
        )
    return (
        f'<section class="card" aria-label="{BARS_TITLE}"><h3>{BARS_TITLE}</h3>'
        f'<p class="fine">{_capitalised(str(_MIX[finding.prior]))}.</p><ol class="bars">{"".join(rows)}</ol></section>'
    )


def _range(values: np.ndarray, shown: bool) -> tuple[str, str]:
    """Return a mark from the lowest to the highest of the views' answers and, where `shown`, the same in words."""
    low, high = float(values.min()), float(values.max())
    mark = f'<i class="bar-range" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
    text = IN_THE_VIEWS.format(views=len(values), low=percent(low), high=percent(high))
    return mark, f'<span class="bar-spread fine">{escape(text)}</span>' if shown else ""


def named(code: str) -> str:
    """Return a diagnosis' name and its code, as HTML; a group's name alone, which says what its code would."""
    mark = "" if lesions.is_group(code) else f' <span class="code">{escape(code)}</span>'
    return f"{escape(name_of(code))}{mark}"


def _tag(diagnosis: lesions.Diagnosis) -> str:
    told_by_name = lesions.is_group(diagnosis.code)
    return f' <span class="tag">{MALIGNANT}</span>' if diagnosis.malignant and not told_by_name else ""


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def score_card(score: float, point: OperatingPoint, malignant_names: list[str]) -> str:
    """Return the malignancy score beside its operating point, and what that point found on held-out pictures."""
    above = score >= point.threshold
    # Figures from pictures that did not choose the threshold, where there are any: those are the ones to trust.
    if point.test_sensitivity is not None and point.test_specificity is not None:
        found, sensitivity, specificity = FOUND["test"], point.test_sensitivity, point.test_specificity
    else:
        found, sensitivity, specificity = FOUND["validation"], point.sensitivity, point.specificity
    caveat = (
        HIGHER_CAVEAT.format(share=percent(1 - specificity))
        if above
        else LOWER_CAVEAT.format(share=percent(1 - sensitivity))
    )
    verdict = (HIGHER if above else LOWER).format(threshold=point.threshold, point=escape(told(point.name)))
    measured = found.format(sensitivity=percent(sensitivity), specificity=percent(specificity))
    return (
        f'<section class="card score {"above" if above else "below"}" aria-label="{SCORE_TITLE}">'
        f"<h3>{SCORE_TITLE}</h3>"
        f'<p class="score-line"><span class="score-value">{number(score, ".3f")}</span> {verdict}</p>'
        f'<div class="score-track" aria-hidden="true"><span style="width:{100 * score:.2f}%"></span>'
        f'<i style="left:{100 * point.threshold:.2f}%"></i></div>'
        f"<p>{escape(measured)} {escape(caveat)}</p>"
        f'<p class="fine">{escape(SCORE_IS.format(names=together(malignant_names)))}</p></section>'
    )


def together(names: Sequence[str]) -> str:
    """Return what a score over several diagnoses is the probability of, inside a sentence (no HTML)."""
    return TOGETHER.format(names=any_of(names)) if len(names) > 1 else any_of(names)


def any_of(names: Sequence[str]) -> str:
    """Return names of diagnoses as they stand inside a sentence: "melanoma, nevus or vascular lesion" (no HTML)."""
    *others, last = (in_running_text(name) for name in names)
    return OR.format(others=", ".join(others), last=last) if others else last


def data_uri(pixels: np.ndarray) -> str:
    """Return uint8 (h, w, 3) RGB as a JPEG inside a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return jpeg_uri(buffer.getvalue())


def jpeg_uri(jpeg: bytes) -> str:
    """Return a JPEG file's bytes as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def layer_uri(pixels: np.ndarray) -> str:
    """Return uint8 (h, w, 4) RGBA as a WebP inside a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=60, alpha_quality=60, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
