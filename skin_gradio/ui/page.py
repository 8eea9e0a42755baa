"""The page as a whole: header, the choice of prior, the tabs, and the endpoints for programs."""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.engines import EngineName
from skin_gradio.models import Choice
from skin_gradio.ui.about import build_about
from skin_gradio.ui.api import add_endpoints
from skin_gradio.ui.batch import MAX_UPLOAD_BYTES, build_batch
from skin_gradio.ui.compare import build_compare
from skin_gradio.ui.examples import write_examples
from skin_gradio.ui.expiry import Expiry
from skin_gradio.ui.language import HEAD, connect_language, language_switch, spoken
from skin_gradio.ui.markup import PRIOR_NAMES
from skin_gradio.ui.model_choice import build_model_choice
from skin_gradio.ui.outside import fetch_nothing
from skin_gradio.ui.runs import Runs
from skin_gradio.ui.sessions import keep_sessions_lean
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.single import build_single
from skin_gradio.ui.words import Text

TITLE = Text("page.title")
ONE_PICTURE, MANY_PICTURES = Text("page.one_picture"), Text("page.many_pictures")
COMPARE, ABOUT = Text("page.compare"), Text("page.about")
DIAGNOSES, GROUPS = Text("page.diagnoses"), Text("page.groups")
PURPOSE = Text("page.purpose")
DISCLAIMER = Text("page.disclaimer")
PRIOR_QUESTION = Text("page.prior_question")
PRIOR_HELP = Text("page.prior_help")

# How often and after how many seconds Gradio deletes uploads that share its folder with those of other programs. It
# goes by a clock that may jump, so this is long.
_LONG_STOP = (600, 24 * 3600)
# Gradio keeps what a session's states hold until this many others were used after it, and by its own default 10,000 of
# them, for visitors who left long ago.
_SESSIONS = 500
# Gradio scopes a style sheet to the page's content. Outside of it: what is scrolled to does not hide under the
# disclaimer, which stays at the top; of the footer a phone sees one link and no divider.
# A link like /#about opens a tab; the first tab puts its own name into the address, so what stood there is kept before.
_HEAD = (
    "<style>html { scroll-padding-top: 96px; }"
    "@media (max-width: 767px) { footer .divider { display: none !important; } }</style>"
    "<script>window.linkedTab = location.hash.slice(1);</script>"
)
_OPEN_LINKED_TAB = "() => document.getElementById(`${window.linkedTab}-button`)?.click()"
_NAME_TAB_IN_ADDRESS = '() => history.replaceState(null, "", `${location.pathname}${location.search}#TAB`)'


def _asked(classifier: Classifier) -> str:
    codes = classifier.model.codes
    return str(GROUPS) if codes == lesions.TASKS["malignancy"] else DIAGNOSES.format(count=len(codes))


def _header(classifier: Classifier) -> str:
    return f"<header><h1>{TITLE}</h1><p>{PURPOSE.format(asked=_asked(classifier))}</p></header>"


def _priors() -> list[tuple[str, str]]:
    return [(str(name), value) for value, name in PRIOR_NAMES.items()]


def _named() -> dict[str, str]:
    # Gradio's radio is a fieldset without a name for a screen reader.
    return {"title": str(TITLE), "prior": str(PRIOR_QUESTION)}


def build_page(
    classifier: Classifier, engine: EngineName = "auto", choice: Choice = "bundled", uploads: Path | None = None
) -> gr.Blocks:
    """Return the page; launch it with `launch_options()`.

    Args:
        classifier: the model that a session starts with.
        engine: what runs the models that visitors choose.
        choice: which those may be.
        uploads: Gradio's folder for uploads where no other program uses it: all that lies there expires. Without it,
            Gradio deletes the uploads of this page after a day.
    """
    fetch_nothing()
    keep_sessions_lean()
    shelf, runs = Shelf(classifier, engine, choice), Runs()
    drawings_folder = Path(tempfile.mkdtemp(prefix="skin-drawings-"))
    drawings = write_examples(drawings_folder)
    with gr.Blocks(title=str(TITLE), analytics_enabled=False, delete_cache=None if uploads else _LONG_STOP) as page:
        language = language_switch()
        spoken(
            gr.HTML,
            {"value": lambda: f'<div class="disclaimer" role="note">{DISCLAIMER}</div>'},
            elem_id="disclaimer",
            apply_default_css=False,
        )
        header = gr.HTML(_header(classifier), elem_id="page-header", apply_default_css=False)
        prior = spoken(
            gr.Radio,
            {"choices": _priors, "label": PRIOR_QUESTION, "info": PRIOR_HELP},
            value="collection",
            elem_id="prior",
        )
        # Held by the browser: what the server holds of a session can go while the page stays open.
        chosen = gr.Textbox(shelf.first_key, visible="hidden", elem_id="chosen-model")
        build_model_choice(shelf, chosen, language)
        with gr.Tabs():
            with spoken(gr.Tab, {"label": ONE_PICTURE}, id="single", elem_id="single") as single:
                asked = build_single(shelf, chosen, prior, language, drawings)
            with spoken(gr.Tab, {"label": MANY_PICTURES}, id="batch", elem_id="batch") as many:
                build_batch(shelf, chosen, prior, language, runs)
            with spoken(gr.Tab, {"label": COMPARE}, id="compare", elem_id="compare") as compare:
                build_compare(shelf, chosen, prior, language, asked)
            with spoken(gr.Tab, {"label": ABOUT}, id="about", elem_id="about") as about:
                build_about(shelf, chosen, language)
        add_endpoints(shelf)
        connect_language(page, language, _named)
        gr.on(
            [chosen.change, language.input],
            lambda key: _header(shelf.get(key)),
            chosen,
            header,
            api_visibility="private",
            show_progress="hidden",
            queue=False,
        )

        def leave(request: gr.Request) -> None:
            runs.cancel(str(request.session_hash))

        page.unload(leave)
        page.load(None, js=_OPEN_LINKED_TAB, api_visibility="private")
        for tab in (single, many, compare, about):
            tab.select(None, js=_NAME_TAB_IN_ADDRESS.replace("TAB", tab.elem_id), api_visibility="private")
    page.queue(default_concurrency_limit=4, max_size=200)
    runs.watch()
    if uploads:
        Expiry(uploads, forget=page.upload_file_set.discard).watch()

    def clean_up() -> None:
        runs.delete_all()
        shutil.rmtree(drawings_folder, ignore_errors=True)

    atexit.register(clean_up)
    return page


def launch_options() -> dict[str, Any]:
    """Return what `launch` needs for this page: its looks, the size of uploads, and nothing that calls another host."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=fonts,
        font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        # Gradio's own choices have less contrast than 4.5 to 1.
        body_text_color_subdued="*neutral_600",
        link_text_color="*primary_700",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
    )
    return {
        "theme": theme,
        "css_paths": sorted(Path(__file__).parent.glob("*.css"), reverse=True),  # style.css first
        "max_file_size": MAX_UPLOAD_BYTES,
        "state_session_capacity": _SESSIONS,
        "head": HEAD + _HEAD,
        "footer_links": ["api", "settings"],
        "run_history": False,
        "ssr_mode": False,
    }
