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

PRIOR_NAMES: dict[Prior, str] = {
    "collection": "As common as in the training collection",
    "equal": "Each equally common",
}
_MIX: dict[Prior, str] = {
    "collection": "if diagnoses are as common as in the training collection",
    "equal": "if every diagnosis is equally common",
}
TOP_TITLE = "Most probable diagnosis"
BARS_TITLE = "Probability of each diagnosis"
SPREAD_FROM = 0.05  # the probability from which a bar's range over the views is put into words
_MALIGNANT_TAG = '<span class="tag">malignant</span>'


def percent(probability: float) -> str:
    """Return a probability for reading: whole per cent, and never a certainty that it is not."""
    if probability < 0.005:
        return "<1%"
    return ">99%" if probability > 0.995 else f"{probability:.0%}"


def message(text: str, detail: str = "", kind: str = "problem") -> str:
    """Return an inline message that a screen reader announces; `kind` is problem or note."""
    role = "alert" if kind == "problem" else "status"
    tail = f"<p>{escape(detail)}</p>" if detail else ""
    return f'<div class="notice {kind}" role="{role}"><p><strong>{escape(text)}</strong></p>{tail}</div>'


def in_running_text(name: str) -> str:
    """Return a diagnosis' name as it stands inside a sentence."""
    return name[0].lower() + name[1:]


def sentence(finding: Finding) -> str:
    """Return what the probabilities say in plain English (no HTML)."""
    order = np.argsort(-finding.probabilities, kind="stable")
    first, second = (lesions.BY_CODE[finding.codes[i]] for i in order[:2])
    top, next_ = (float(finding.probabilities[i]) for i in order[:2])
    share = "more than 99" if top > 0.995 else f"about {round(100 * top)}"
    text = (
        f"Of 100 pictures that get this answer, {share} would turn out to be {in_running_text(first.name)},"
        f" for pictures like those the model learned from and {_MIX[finding.prior]}."
    )
    if top < 0.5:
        text += " No diagnosis reaches one half: the model is unsure."
    if top < 0.5 or next_ >= 0.05:
        text += f" Next is {in_running_text(second.name)} with {percent(next_)}."
    return text


def headline(finding: Finding, file_name: str, views: int = 1) -> str:
    """Return the top diagnosis with its sentence; `views` is how many views of the picture it comes from."""
    diagnosis = lesions.BY_CODE[finding.top]
    tag = _MALIGNANT_TAG if diagnosis.malignant else ""
    share = percent(float(finding.probabilities.max()))
    source = f", from {views} views of it" if views > 1 else ""
    return (
        f'<section class="card" aria-label="{TOP_TITLE}" data-said="{escape(f"{diagnosis.name}, {share}")}">'
        f'<p class="overline">{TOP_TITLE} for {escape(file_name)}{source}</p>'
        f'<h2 class="top" tabindex="-1"><span>{escape(diagnosis.name)} <span class="code">{diagnosis.code}</span>'
        f' {tag}</span><span class="top-percent">{escape(share)}</span></h2>'
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
            f'<li class="bar{kind}" data-code="{diagnosis.code}"><span class="bar-name">{escape(diagnosis.name)}'
            f' <span class="code">{diagnosis.code}</span> {_MALIGNANT_TAG if diagnosis.malignant else ""}</span>'
            f'<span class="bar-percent">{escape(percent(probability))}</span>'
            '<span class="bar-track" aria-hidden="true">'
            f'<span style="width:{100 * probability:.2f}%"></span>{mark}</span>{spread}</li>'
        )
    return (
        f'<section class="card" aria-label="{BARS_TITLE}"><h3>{BARS_TITLE}</h3>'
        f'<p class="fine">{_MIX[finding.prior].capitalize()}.</p><ol class="bars">{"".join(rows)}</ol></section>'
    )


def _range(values: np.ndarray, shown: bool) -> tuple[str, str]:
    """Return a mark from the lowest to the highest of the views' answers and, where `shown`, the same in words."""
    low, high = float(values.min()), float(values.max())
    mark = f'<i class="bar-range" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
    words = f"in the {len(values)} views from {percent(low)} to {percent(high)}"
    return mark, f'<span class="bar-spread fine">{escape(words)}</span>' if shown else ""


def score_card(score: float, point: OperatingPoint, malignant_names: list[str]) -> str:
    """Return the malignancy score beside its operating point, and what that point found on held-out pictures."""
    above = score >= point.threshold
    verdict, side = ("Higher score", "at or above") if above else ("Lower score", "below")
    # Figures from pictures that did not choose the threshold, where there are any: those are the ones to trust.
    if point.test_sensitivity is not None and point.test_specificity is not None:
        where, sensitivity, specificity = "test", point.test_sensitivity, point.test_specificity
    else:
        where, sensitivity, specificity = "validation", point.sensitivity, point.specificity
    caveat = (
        f"A higher score is no diagnosis: {percent(1 - specificity)} of the other lesions scored so too."
        if above
        else f"A lower score rules nothing out: {percent(1 - sensitivity)} of the malignant ones scored so too."
    )
    names = together(malignant_names)
    return (
        f'<section class="card score {"above" if above else "below"}" aria-label="Malignancy score">'
        "<h3>Malignancy score</h3>"
        f'<p class="score-line"><span class="score-value">{score:.3f}</span> <strong>{verdict}</strong>:'
        f" {side} the threshold {point.threshold:.3f}, chosen on validation pictures for"
        f" {escape(point.name)}.</p>"
        f'<div class="score-track" aria-hidden="true"><span style="width:{100 * score:.2f}%"></span>'
        f'<i style="left:{100 * point.threshold:.2f}%"></i></div>'
        f"<p>On {where} pictures it found {percent(sensitivity)} of the malignant lesions"
        f" (sensitivity) and left {percent(specificity)} of the others below it (specificity)."
        f" {escape(caveat)}</p>"
        f'<p class="fine">The score is the probability of {escape(names)}, always'
        " for the mix of the training collection.</p></section>"
    )


def together(names: Sequence[str]) -> str:
    """Return what a score over several diagnoses is the probability of, inside a sentence (no HTML)."""
    return any_of(names) + (" together" if len(names) > 1 else "")


def any_of(names: Sequence[str]) -> str:
    """Return names of diagnoses as they stand inside a sentence: "melanoma, nevus or vascular lesion" (no HTML)."""
    *others, last = (in_running_text(name) for name in names)
    return f"{', '.join(others)} or {last}" if others else last


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
