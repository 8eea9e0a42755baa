"""Why: the picture under a heatmap, for any diagnosis and at any opacity. `why.js` moves the controls' pictures."""

from html import escape
from pathlib import Path

import numpy as np

from skin_gradio import heatmap, lesions
from skin_gradio.classifier import Finding
from skin_gradio.ui import markup

SCRIPT = (Path(__file__).parent / "why.js").read_text(encoding="utf-8")
OPACITY = 60  # per cent, until somebody moves the slider

TITLE = "Why: where the model looked"
SEEN_TITLE = "What the model would see"
SEEN = "The central square of the picture, as the model saw it"
CAVEAT = (
    "A heatmap shows where the score came from. It is no proof that the model is right, or right for a good reason."
)
EXPLANATION = (
    "The network works on a coarse grid of places. The colours tell how much each place raised the score of the chosen"
    " diagnosis, from dark violet (a little) over green to yellow (the most). They are scaled to the highest place of"
    " that diagnosis, so they compare places within one heatmap: not two diagnoses, and not two pictures. Rulers, hairs"
    " or the rim of the picture can light up too: then the score may rest on something that is not the lesion."
)


def panel(square: np.ndarray, finding: Finding) -> str:
    """Return the square that the model saw with a heatmap over it that can be changed and faded.

    Args:
        square: uint8 (side, side, 3) RGB.
        finding: whose heatmaps are shown; the one of its top diagnosis first.
    """
    order = [finding.codes[i] for i in np.argsort(-finding.probabilities, kind="stable")]
    options = "".join(_option(finding, code) for code in order)
    layers = "".join(_layer(finding, code) for code in order)
    captions = "".join(_caption(finding, code) for code in order)
    base = _base(square)
    return (
        f'<section class="card why" aria-label="{TITLE}"><h3>{TITLE}</h3><div class="why-controls">'
        f'<label>Heatmap for <select data-why="code">{options}</select></label>'
        f'<label>Opacity <input type="range" data-why="opacity" min="0" max="100" step="5" value="{OPACITY}"></label>'
        f'</div><figure class="stack"><div>{base}{layers}</div>'
        f'<figcaption aria-live="polite">{captions}</figcaption></figure><p class="fine">{CAVEAT}</p>'
        f"<details><summary>What do the colours say?</summary><p>{EXPLANATION}</p></details></section>"
    )


def picture_alone(square: np.ndarray) -> str:
    """Return the square that the model saw, uint8 (side, side, 3), without anything that the model made of it."""
    return (
        f'<section class="card why" aria-label="{SEEN_TITLE}"><h3>{SEEN_TITLE}</h3>'
        f'<figure class="stack"><div>{_base(square)}</div></figure>'
        "</section>"
    )


def _base(square: np.ndarray) -> str:
    return f'<img class="base" alt="{SEEN}" src="{markup.data_uri(square)}">'


def _option(finding: Finding, code: str) -> str:
    share = markup.percent(float(finding.probabilities[finding.codes.index(code)]))
    chosen = " selected" if code == finding.top else ""
    return f'<option value="{code}"{chosen}>{escape(lesions.BY_CODE[code].name)} ({escape(share)})</option>'


def _layer(finding: Finding, code: str) -> str:
    name = escape(markup.in_running_text(lesions.BY_CODE[code].name))
    hidden = "" if code == finding.top else " hidden"
    uri = markup.layer_uri(heatmap.layer(finding.heatmap(code)))
    return (
        f'<img class="layer" data-code="{code}" style="opacity:{OPACITY / 100}"{hidden} alt="Heatmap for {name}"'
        f' src="{uri}">'
    )


def _caption(finding: Finding, code: str) -> str:
    name = escape(markup.in_running_text(lesions.BY_CODE[code].name))
    says = heatmap.normalised(finding.heatmap(code)).any()
    text = f"Yellow: what spoke most for {name}; green: less." if says else f"No place in the picture spoke for {name}."
    return f'<span data-code="{code}"{"" if code == finding.top else " hidden"}>{text}</span>'
