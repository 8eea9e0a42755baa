"""The language of a session: how the page begins in it, how it is switched, and the widgets whose labels follow it.

The page's address holds the choice (`?lang=de`), so that a link, a reload and every event of the page say the same;
without one the browser's preferred language counts. Nothing is stored.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.blocks import Block

from skin_gradio.ui.words import DEFAULT, LANGUAGES, Text, in_each_language, language_of, speaking

Part = Text | Callable[[], Any]
Widget = TypeVar("Widget", bound=Block)
_parts: WeakKeyDictionary[Block, Mapping[str, Part]] = WeakKeyDictionary()
GROUP = "Language / Sprache"
# The first guess, before the server has answered; the same rule as `words.language_of`.
HEAD = """<script>
  document.documentElement.lang = (() => {
    const known = LANGUAGES, asked = new URLSearchParams(location.search).get("lang");
    if (known.includes(asked)) return asked;
    return navigator.languages.map((tag) => tag.split("-")[0]).find((tag) => known.includes(tag)) ?? known[0];
  })();
</script>""".replace("LANGUAGES", json.dumps(list(LANGUAGES)))
# The value is the code of the session's language; `input` says that it has become another one.
_SCRIPT = """const mark = () => {
  for (const button of element.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === document.documentElement.lang));
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-language]");
  if (!button || button.getAttribute("aria-pressed") === "true") return;
  const address = new URL(location.href);
  address.searchParams.set("lang", button.dataset.language);
  history.replaceState(null, "", address);
  document.documentElement.lang = button.dataset.language;
  trigger("select");
});
watch("value", () => {
  document.documentElement.lang = props.value;
  trigger("input");
});
new MutationObserver(mark).observe(document.documentElement, { attributeFilter: ["lang"] });
mark();"""
_NAME = """() => {
  const { title, ...names } = NAMES[document.documentElement.lang];
  document.title = title;
  for (const [id, name] of Object.entries(names)) document.getElementById(id)?.setAttribute("aria-label", name);
}"""


def spoken(kind: Callable[..., Widget], parts: Mapping[str, Part], **options: Any) -> Widget:
    """Return a widget whose texts follow the language.

    Args:
        kind: its class.
        parts: its arguments that hold texts, and what to say: a text, or a function that returns the argument.
        options: its other arguments.
    """
    widget = kind(**_said(parts), **options)
    _parts[widget] = parts
    return widget


def _said(parts: Mapping[str, Part]) -> dict[str, Any]:
    return {name: str(part) if isinstance(part, Text) else part() for name, part in parts.items()}


def language_switch() -> gr.HTML:
    """Return the control by which a visitor chooses the language; its value is the language's code.

    Its `input` event says that the session's language has become another one: what is no label is drawn anew then.
    """
    buttons = "".join(
        f'<button type="button" data-language="{code}" lang="{code}" aria-pressed="false"'
        f' aria-label="{name}">{code.upper()}</button>'
        for code, name in LANGUAGES.items()
    )
    return gr.HTML(
        DEFAULT,
        html_template=f'<div class="languages" role="group" aria-label="{GROUP}">{buttons}</div>',
        js_on_load=_SCRIPT,
        elem_id="language",
        apply_default_css=False,
    )


def connect_language(page: gr.Blocks, language: gr.HTML, named: Callable[[], Mapping[str, str]]) -> None:
    """Make all widgets of a page that `spoken` made follow the language of the session; called when all are there.

    Args:
        page: the page; where it opens in English nothing is sent.
        language: the control.
        named: returns texts that only the browser sets: the document's title, and names of elements by their ids.
    """
    followers = [block for block in page.blocks.values() if block in _parts]

    def relabel(request: gr.Request) -> list[Any]:
        code = language_of(request)
        with speaking(code):
            return [code, *(gr.update(**_said(_parts[block])) for block in followers)]

    def greet(request: gr.Request) -> list[Any]:
        return [gr.skip()] * (len(followers) + 1) if language_of(request) == DEFAULT else relabel(request)

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    page.load(greet, None, [language, *followers], **quiet)
    language.select(relabel, None, [language, *followers], **quiet)
    name = _NAME.replace("NAMES", json.dumps(in_each_language(lambda: dict(named()))))
    gr.on([page.load, language.input], None, js=name, api_visibility="private")
