"""The tab about the session's model: what it is, its figures, intended use, limits, privacy, licence and citations."""

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.credit import citations, credit, is_credited
from skin_gradio.models import ModelFolder
from skin_gradio.ui import diagrams, figures, figures_by_part, markup, safeguards
from skin_gradio.ui.figure_table import MALFORMED
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.words import Text, told

INTENDED_USE = Text("about.intended_use")
PRIVACY = Text("about.privacy")
LIMITS = tuple(Text(f"about.limits.{name}") for name in ("sorts", "learned", "mix", "one", "heatmap"))
GATE_LIMIT, ELSEWHERE_LIMIT = Text("about.limits.gate"), Text("about.limits.elsewhere")
LIGHT_SKIN = Text("about.light_skin")
UNKNOWN_ORIGIN = Text("about.unknown_origin")
STRANGERS = Text("about.strangers")
NO_FIGURES = Text("about.no_figures")
MODEL = Text("about.model")
LEARNED = Text("about.learned")
WORDS = tuple(
    (Text(f"about.terms.{name}"), Text(f"about.meanings.{name}")) for name in ("bacc", "recall", "auroc", "ece", "mix")
)
INTERVAL_WORDS = Text("about.interval_words")
TOP_DIAGRAM = tuple(Text(f"about.diagram.top.{part}") for part in ("title", "stated", "share"))
MALIGNANT_DIAGRAM = tuple(Text(f"about.diagram.malignant.{part}") for part in ("title", "stated", "share"))
CONFUSION = {prior: Text(f"about.confusion.{prior}") for prior in ("equal", "collection")}
SIZE, REVISION, AND = Text("about.size"), Text("about.revision"), Text("about.and")
CODE, WEIGHTS = Text("about.code"), Text("about.weights")
_HEADINGS = {
    name: Text(f"about.headings.{name}")
    for name in (
        "figures",
        "classes",
        "more",
        "words",
        "calibration",
        "confusion",
        "points",
        "sets",
        "gate",
        "views",
        "subgroups",
        "elsewhere",
        "use",
        "limits",
        "privacy",
        "licence",
    )
}


def build_about(shelf: Shelf, chosen: gr.Textbox, language: gr.HTML) -> None:
    """Lay out the tab inside the current Blocks; it follows the key of the session's model and the language."""
    with gr.Column(elem_classes="about"):
        model = shelf.first.model
        facts = gr.HTML(about_html(model), elem_id="about-model", apply_default_css=False)
        owed = gr.Markdown(licence(model), elem_id="about-licence")

    def show(key: str) -> tuple[str, str]:
        now = shelf.get(key).model
        return about_html(now), licence(now)

    gr.on(
        [chosen.change, language.input],
        show,
        chosen,
        [facts, owed],
        api_visibility="private",
        show_progress="hidden",
        queue=False,
    )


def about_html(model: ModelFolder) -> str:
    """Return everything about a model but its licence, as HTML; parts that its model.json lacks are left out."""
    strange = "" if model.bundled else f'<p class="notice note" role="note">{STRANGERS}</p>'
    numbers = _tolerant(lambda: figures.headline(model.card)) or f'<p class="fine">{NO_FIGURES}</p>'
    return (
        f"<h2>{escape(model.name)}</h2>{strange}{description(model)}"
        f"<h2>{_HEADINGS['figures']}</h2>{numbers}{_words()}"
        f"{_detail('more', lambda: figures.headline(model.card, figures.MORE))}"
        f"{_detail('classes', lambda: figures.classes(model))}"
        f"{_detail('points', lambda: figures.operating_points(model))}"
        f"{_detail('sets', lambda: safeguards.set_coverage(model))}"
        f"{_detail('gate', lambda: safeguards.gate(model))}"
        f"{_detail('views', lambda: figures.views(model.card))}"
        f"{_detail('calibration', lambda: calibration(model.card), opened=True)}"
        f"{_detail('confusion', lambda: confusions(model))}"
        f"{_detail('subgroups', lambda: figures_by_part.subgroups(model.card))}"
        f"{_detail('elsewhere', lambda: figures_by_part.elsewhere(model), opened=True)}"
        f"<h2>{_HEADINGS['use']}</h2><p>{INTENDED_USE}</p>"
        f"<h2>{_HEADINGS['limits']}</h2>{limits(model)}<h2>{_HEADINGS['privacy']}</h2><p>{PRIVACY}</p>"
    )


def _tolerant(make: Callable[[], str]) -> str:
    """Return what `make` makes of a model.json; nothing where the model.json is not what it should be."""
    try:
        return make()
    except MALFORMED:
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
        f"<li>{markup.named(code)}. {escape(told(lesions.BY_CODE[code].note))}</li>" for code in model.codes
    )
    parameters = figures.size(model.card)
    text = MODEL.format(
        size=SIZE.format(parameters=parameters) if parameters else "", pixels=model.input_size, count=len(model.codes)
    )
    origin = LEARNED.format(origin=_origin(model))
    return (
        f'<p class="fine">{REVISION} <code>{escape(model.revision)}</code></p><p>{text}</p><ul>{diagnoses}</ul>'
        f"<p>{escape(origin)}</p>"
    )


def limits(model: ModelFolder) -> str:
    """Return what a model cannot do."""
    published = [title for title in figures.learned_from(model.card) if is_credited(title)]
    origin = LIGHT_SKIN.format(titles=f" {AND} ".join(published)) if published else _origin(model)
    texts = [text.format(origin=origin) for text in LIMITS]
    if model.card.get("gate"):
        texts.append(str(GATE_LIMIT))
    if worst := figures_by_part.worst_elsewhere(model.card):
        title, there, home, here = worst
        texts.append(ELSEWHERE_LIMIT.format(title=title, there=there, home=home, here=here))
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _origin(model: ModelFolder) -> str:
    return f" {AND} ".join(figures.learned_from(model.card)) or str(UNKNOWN_ORIGIN)


def calibration(card: dict[str, Any]) -> str:
    """Return the reliability diagrams of the top diagnosis and of the malignancy score; those that there are."""
    bins = card["metrics"]["reliability"]
    made = "".join(
        _tolerant(partial(_diagram, bins, key, *map(str, texts)))
        for key, texts in (("top", TOP_DIAGRAM), ("malignant", MALIGNANT_DIAGRAM))
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
    return diagrams.confusion(str(CONFUSION[key]), model.codes, matrices[key])


def licence(model: ModelFolder) -> str:
    """Return licences, credit and citations for what a model learned from, as Markdown."""
    titles = figures.learned_from(model.card)
    credits = f"{WEIGHTS} {credit(titles)}." if credit(titles) else ""
    return f"## {_HEADINGS['licence']}\n\n{CODE} {credits}\n\n{citations(titles)}"
