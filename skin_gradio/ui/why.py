"""Why: the picture under a heatmap, for any diagnosis and at any opacity. `why.js` moves the controls' pictures."""

from html import escape
from pathlib import Path

import numpy as np

from skin_gradio import heatmap, lesions
from skin_gradio.classifier import Finding
from skin_gradio.ui import markup
from skin_gradio.ui.words import Text

SCRIPT = (Path(__file__).parent / "why.js").read_text(encoding="utf-8")
OPACITY = 60  # per cent, until somebody moves the slider

TITLE = Text("why.title")
SEEN_TITLE = Text("why.seen_title")
SEEN = Text("why.seen")
CAVEAT = Text("why.caveat")
HEATMAP_FOR, OPACITY_LABEL, EXPLAIN = Text("why.heatmap_for"), Text("why.opacity"), Text("why.explain")
SPOKE, NOTHING_SPOKE = Text("why.spoke"), Text("why.nothing_spoke")
EXPLANATION = Text("why.explanation")


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
        f'<section class="card why" aria-label="{TITLE}"><h2>{TITLE}</h2><div class="why-controls">'
        f'<label>{HEATMAP_FOR} <select data-why="code">{options}</select></label>'
        f'<label>{OPACITY_LABEL} <input type="range" data-why="opacity" min="0" max="100" step="5"'
        f' value="{OPACITY}"></label>'
        f'</div><figure class="stack"><div>{base}{layers}</div>'
        f'<figcaption aria-live="polite">{captions}</figcaption></figure><p class="fine">{CAVEAT}</p>'
        f"<details><summary>{EXPLAIN}</summary><p>{EXPLANATION}</p></details></section>"
    )


def picture_alone(square: np.ndarray) -> str:
    """Return the square that the model saw, uint8 (side, side, 3), without anything that the model made of it."""
    return (
        f'<section class="card why" aria-label="{SEEN_TITLE}"><h2>{SEEN_TITLE}</h2>'
        f'<figure class="stack"><div>{_base(square)}</div></figure>'
        "</section>"
    )


def _base(square: np.ndarray) -> str:
    return f'<img class="base" alt="{SEEN}" src="{markup.data_uri(square)}">'


def _option(finding: Finding, code: str) -> str:
    share = markup.percent(float(finding.probabilities[finding.codes.index(code)]))
    chosen = " selected" if code == finding.top else ""
    return f'<option value="{code}"{chosen}>{escape(markup.name_of(code))} ({escape(share)})</option>'


def _layer(finding: Finding, code: str) -> str:
    name = escape(markup.in_running_text(lesions.BY_CODE[code].name))
    hidden = "" if code == finding.top else " hidden"
    uri = markup.layer_uri(heatmap.layer(finding.heatmap(code)))
    return (
        f'<img class="layer" data-code="{code}" style="opacity:{OPACITY / 100}"{hidden} alt="{HEATMAP_FOR} {name}"'
        f' src="{uri}">'
    )


def _caption(finding: Finding, code: str) -> str:
    name = escape(markup.in_running_text(lesions.BY_CODE[code].name))
    says = heatmap.normalised(finding.heatmap(code)).any()
    text = (SPOKE if says else NOTHING_SPOKE).format(name=name)
    return f'<span data-code="{code}"{"" if code == finding.top else " hidden"}>{text}</span>'
