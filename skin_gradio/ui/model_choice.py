"""The choice of model: which one a session uses, and how it is switched."""

from collections.abc import Iterator
from contextlib import suppress
from html import escape
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.models import BUNDLED, ModelError, ModelFolder, read_card
from skin_gradio.ui.figures import headline_figure, size
from skin_gradio.ui.language import spoken
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.words import Text, told

TITLE = Text("model_choice.title")
OFFERED = Text("model_choice.offered")
TYPED = Text("model_choice.typed")
TYPED_HELP = Text("model_choice.typed_help")
TYPED_EXAMPLE = Text("model_choice.typed_example")
USE = Text("model_choice.use")
OTHERS_OFF = Text("model_choice.others_off")
FETCHING = Text("model_choice.fetching")
TRYING = Text("model_choice.trying")
OPENING = Text("model_choice.opening")
CLASSES = Text("model_choice.classes")
TWO_GROUPS = Text("model_choice.two_groups")
IN_USE = Text("model_choice.in_use")
NOT_CHANGED = Text("model_choice.not_changed")
NOTHING_TYPED = "Type a folder or a Hub id first."


def build_model_choice(shelf: Shelf, chosen: gr.Textbox, language: gr.HTML) -> None:
    """Lay out the choice, folded away, inside the current Blocks.

    Args:
        shelf: the models that can be opened.
        chosen: is set to the key of the session's model.
        language: the control; what the choice says follows its `input`.
    """
    with gr.Accordion(TITLE.format(name=shown_name(shelf.first.model)), open=False, elem_id="model-choice") as fold:
        offered = spoken(
            gr.Dropdown,
            {"choices": lambda: [(label(shelf, key), key) for key in shelf.offered], "label": OFFERED},
            value=shelf.first_key,
            filterable=False,
            elem_id="model-offered",
        )
        with gr.Row(visible=shelf.choice == "any", elem_classes="model-typed"):
            typed = spoken(
                gr.Textbox,
                {"label": TYPED, "info": TYPED_HELP, "placeholder": TYPED_EXAMPLE},
                max_lines=1,
                elem_id="model-typed",
                scale=4,
            )
            use = spoken(gr.Button, {"value": USE}, elem_id="model-use", min_width=140, scale=1)
        if shelf.choice != "any":
            spoken(gr.HTML, {"value": lambda: f'<p class="fine">{OTHERS_OFF}</p>'}, apply_default_css=False)
        status = gr.HTML(_status(in_use(shelf.first)), elem_id="model-status", apply_default_css=False)

    def switch(name: str, key: str) -> Iterator[tuple[Any, ...]]:
        try:
            for step in switching(shelf, name):
                if isinstance(step, Classifier):
                    yield step.model.key, *_shown(shelf, step)
                else:
                    yield gr.skip(), _status(step), gr.skip(), gr.skip()
        except ModelError as error:
            try:
                before = shelf.get(key)
            except gr.Error:  # the session's model is gone as well
                before = shelf.first
            gr.Warning(escape(NOT_CHANGED.format(reason=told(str(error)), name=shown_name(before.model))), duration=30)
            yield before.model.key, *_shown(shelf, before)

    results = [chosen, status, fold, offered]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    shared: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 2, **private}
    offered.input(switch, [offered, chosen], results, **shared)
    gr.on([use.click, typed.submit], switch, [typed, chosen], results, **shared)
    language.input(lambda key: _shown(shelf, shelf.get(key)), chosen, [status, fold, offered], queue=False, **private)


def switching(shelf: Shelf, name: str) -> Iterator[str | Classifier]:
    """Open the model that somebody names; yields what is being done, in words, and last the classifier.

    An offered model that is open is not read again; one that was replaced on disk meanwhile is opened after the next
    start of the program.

    Raises ModelError when the name means no model that may be opened here, or the model cannot be used.
    """
    name = (name or "").strip()
    if not name:
        raise ModelError(NOTHING_TYPED)
    if name in shelf.offered and (kept := shelf.kept(name)):  # open already: nothing to read and check again
        yield kept
        return
    yield FETCHING.format(name=name)
    model = shelf.find(name)
    yield (OPENING if model.bundled else TRYING).format(name=model.name)
    yield shelf.open(model)


def shown_name(model: ModelFolder) -> str:
    """Return a model's name for people: where it did not come with the page, also where it is from."""
    return model.name if model.bundled else f"{model.name} ({model.key})"


def label(shelf: Shelf, key: str) -> str:
    """Return an offered model's name with its headline figure and size, for a menu; its files are not checked yet.

    Where it sorts into two groups that is said as well: its figure is not to be compared with that of seven diagnoses.
    """
    first = shelf.first.model
    if key == shelf.first_key:
        name, card = shown_name(first), first.card
    else:
        name, card = key, {}
        with suppress(ModelError):  # choosing it will say what is wrong
            card = read_card(BUNDLED / key)
    task = str(TWO_GROUPS) if card.get("classes") == list(lesions.TASKS["malignancy"]) else None
    return ", ".join(filter(None, [name, task, headline_figure(card), size(card)]))


def in_use(classifier: Classifier) -> str:
    """Return which model is in use and what it is, as one line of text."""
    model = classifier.model
    facts = [
        CLASSES.format(count=len(model.codes), size=model.input_size),
        headline_figure(model.card),
    ]
    return IN_USE.format(
        name=shown_name(model),
        revision=model.revision,
        facts=", ".join(filter(None, facts)),
        engine=classifier.engine.name,
    )


def _shown(shelf: Shelf, classifier: Classifier) -> tuple[Any, ...]:
    """Return updates of the status line, the fold's title and the menu."""
    key = classifier.model.key
    return (
        _status(in_use(classifier)),
        gr.update(label=TITLE.format(name=shown_name(classifier.model))),
        gr.update(value=key if key in shelf.offered else None),
    )


def _status(text: str) -> str:
    return f'<p class="fine model-status" role="status">{escape(text)}</p>'
