"""A place to drop files on, for one picture or for many, and the check of what a browser says it uploaded.

Gradio's own image box decodes what it gets and its file box takes 1,000 files a request; here any file reaches
`skin_gradio.images`, which alone decides what is wrong with it, and thousands go up a few at a time.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from skin_gradio.ui.words import Text, in_each_language

_SCRIPT = (Path(__file__).parent / "dropzone.js").read_text(encoding="utf-8")
# The script puts a text of the document's language where `data-word` or, as a name, `data-label` says.
_FOLDER = (
    '<label class="zone-button"><span data-word="folder"></span>'
    '<input type="file" data-kind="folder" webkitdirectory></label>'
)
_CLEAR = '<button type="button" class="zone-button" data-act="clear" data-word="clear" hidden></button>'
_PASTE = '<button type="button" class="zone-button" data-act="paste" data-word="paste"></button>'
_CAMERA = '<button type="button" class="zone-button" data-act="camera" data-word="camera"></button>'
_CAMERA_BOX = """
<div class="zone-camera" hidden>
  <video playsinline muted data-label="video"></video>
  <button type="button" class="zone-button strong" data-act="shoot" data-word="shoot"></button>
  <button type="button" class="zone-button" data-act="stop" data-word="stop"></button>
</div>"""
WORDS = {
    name: Text(f"dropzone.{name}")
    for name in (
        *("files", "file", "folder", "clear", "paste", "camera", "video", "shoot", "stop", "uploading", "counting"),
        *("one_ready", "many_ready", "one_lost", "many_lost", "and_others", "too_large", "failed", "no_picture"),
        *("no_clipboard", "no_camera"),
    )
}
"""What the script says, in every language."""


@dataclass(frozen=True)
class Upload:
    """A file on the server and the name (with its folders) that it had on the user's machine."""

    path: Path
    name: str


def drop_zone(title: Text, hint: Text, many: bool, elem_id: str, max_bytes: int) -> gr.HTML:
    """Return a drop zone; its value is JSON for `read_uploads`, its `upload` event fires when all files are there.

    Args:
        title: what to drop.
        hint: which files are taken.
        many: take several files and folders, add later ones to them and offer to clear; else one file replaces another.
        elem_id: the element's id, which its labels refer to.
        max_bytes: a larger file is refused before it is sent.
    """
    first = "files" if many else "file"
    kind = "multiple" if many else 'accept="image/*"'
    choose = (
        f'<label class="zone-button strong"><span data-word="{first}"></span>'
        f'<input type="file" data-kind="files" {kind}></label>'
    )
    actions = choose + (_FOLDER + _CLEAR if many else _PASTE + _CAMERA)
    template = (
        '<div class="zone" role="group" data-label="title"><p class="zone-title" data-word="title"></p>'
        f'<div class="zone-actions">{actions}</div>{"" if many else _CAMERA_BOX}'
        '<p class="zone-hint" data-word="hint"></p><p class="zone-status" role="status"></p></div>'
    )
    texts = {**WORDS, "title": title, "hint": hint}
    said = in_each_language(lambda: {name: str(text) for name, text in texts.items()})
    settings = json.dumps({"many": many, "maxBytes": max_bytes, "words": said})
    return gr.HTML(
        "",
        html_template=template,
        js_on_load=f"const settings = {settings};\n{_SCRIPT}",
        apply_default_css=False,
        elem_id=elem_id,
    )


def read_uploads(value: str | None) -> list[Upload]:
    """Return the uploads that a drop zone's value lists; entries that no upload made are left out.

    The value comes from a browser and may say anything, so a path counts only inside Gradio's upload folder.
    """
    return [upload for upload in map(_upload, _entries(value)) if upload]


def count_listed(value: str | None) -> int:
    """Return how many uploads a drop zone's value lists, also those that have expired since."""
    return len(_entries(value))


def _entries(value: str | None) -> list[Any]:
    try:
        entries = json.loads(value or "[]")
    except ValueError:
        return []
    return entries if isinstance(entries, list) else []


def _upload(entry: Any) -> Upload | None:
    path, name = (entry.get("path"), entry.get("name")) if isinstance(entry, dict) else (None, None)
    if not isinstance(path, str) or not (checked := uploaded_path(path)):
        return None
    return Upload(checked, name if isinstance(name, str) and name else checked.name)


def uploaded_path(path: str) -> Path | None:
    """Return the resolved path if it is a file inside Gradio's upload folder."""
    if "\0" in path:
        return None
    resolved = Path(path).resolve()
    return resolved if resolved.is_relative_to(Path(get_upload_folder()).resolve()) and resolved.is_file() else None
