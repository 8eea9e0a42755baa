"""The app as a Gradio Space: which files it is made of, the model that it names, and how it gets to the Hub."""

import re
from pathlib import Path
from typing import Any

import skin_gradio
from skin_gradio.engines import open_engine
from skin_gradio.models import FILES, ModelFolder, find_model
from training import hub
from training.command import UserError

SOURCE = Path(skin_gradio.__file__).resolve().parent.parent
TOP_FILES = ("app.py", "requirements.txt", "README.md", "LICENSE")
OWN_FOLDERS = ("skin_gradio/", "weights/")
"""Folders of a Space that hold only what is published: what is no part of the app any more is removed from them."""
VARIABLE = "SKIN_MODEL"


class SpaceError(UserError):
    """The app cannot be published as a Space as it was asked; the message says why."""


def publish_space(model: ModelFolder | str, repository: str, public: bool, timeout: float) -> str:
    """Publish the app as a Space that names a model, in one commit; return the commit's hash.

    Args:
        model: a local folder, which goes into the Space as `weights/NAME`; or a Hub id (`user/repository[@revision]`),
            which the Space fetches when it starts.
        repository: the Space, `user/name`.
        public: whether a new Space can be seen by everybody.
        timeout: seconds without a sign of life after which the Hub counts as out of reach.

    Raises UserError or ModelError with what went wrong, what is on the Hub now, and what to do.
    """
    hub.check_name(repository)
    api = hub.connect(timeout)
    hub.check_token(api, repository)
    model_id = _pinned(api, model) if isinstance(model, str) else ""
    name = model_id if isinstance(model, str) else model.name
    files = space_files(model_id or model)
    found = hub.find_repository(api, "space", repository, public)
    if found is None:
        variables = [{"key": VARIABLE, "value": name}]
        hub.create(api, "space", repository, public, space_sdk="gradio", space_variables=variables)
        stale: list[str] = []
    else:
        hub.check_contents(found, "skin_gradio/", "this app")
        there = [sibling.rfilename for sibling in found.siblings or ()]
        stale = [path for path in there if path.startswith(OWN_FOLDERS) and path not in files]
    address = hub.page(api, "space", repository)
    print(f"sending {len(files)} files to {address}")
    message = f"Publish the app {skin_gradio.__version__} with {name}"
    commit = hub.push(api, "space", repository, files, message, found.sha if found else None, stale)
    if changed := hub.differences(api, "space", repository, commit, files):
        raise SpaceError(
            f"{repository}: the commit {commit} is on the Hub, but {', '.join(changed)} are not there as they were"
            " sent. Run the command again."
        )
    if found:
        _name_model(api, repository, name, commit)
    print(f"commit {commit}; the Space names the model {name} and builds now: {address}?logs=build")
    if model_id:
        _say_what_a_private_model_needs(api, model_id, address)
    return commit


def space_files(model: ModelFolder | str) -> dict[str, Path | bytes]:
    """Return path in the Space -> contents, for a local model or a Hub id.

    Raises SpaceError when the app's source is not here, or when the model's name cannot be a folder's.
    """
    missing = [name for name in TOP_FILES if not (SOURCE / name).is_file()]
    if missing:
        raise SpaceError(f"{SOURCE} lacks {', '.join(missing)}: run the command from a clone of the project.")
    files: dict[str, Path | bytes] = {name: SOURCE / name for name in TOP_FILES}
    for path in sorted((SOURCE / "skin_gradio").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            files[path.relative_to(SOURCE).as_posix()] = path
    if isinstance(model, str):
        files["README.md"] = _with_model((SOURCE / "README.md").read_text(encoding="utf-8"), model.partition("@")[0])
        return files
    if not re.fullmatch(r"\w[\w.-]*", model.name, re.ASCII):
        raise SpaceError(f"{model.path}: the model's name, {model.name!r}, cannot be a folder's name in the Space.")
    return {**files, **{f"weights/{model.name}/{name}": model.file(name) for name in FILES}}


def _with_model(readme: str, model_id: str) -> bytes:
    """Name the model in the README's header, by which the Hub links the two pages."""
    start, header, text = readme.split("---\n", 2)
    return f"{start}---\n{header}models: [{model_id}]\n---\n{text}".encode()


def _pinned(api: Any, model_id: str) -> str:
    """Return a Hub id with its revision, after loading it. Raises ModelError when it cannot be used."""
    model = find_model(model_id)
    open_engine(model, "onnx")
    repository, _, revision = model_id.partition("@")
    return f"{repository}@{revision or model.path.name}"


def _name_model(api: Any, repository: str, name: str, commit: str) -> None:
    state = f"The commit {commit} is there, but its variable {VARIABLE} is not {name}. Run the command again."
    with hub.plain_errors(repository, f"setting the Space's variable {VARIABLE}", state):
        known = api.get_space_variables(repository).get(VARIABLE)
        if known is None or known.value != name:
            api.add_space_variable(repository, VARIABLE, name)


def _say_what_a_private_model_needs(api: Any, model_id: str, address: str) -> None:
    repository, _, revision = model_id.partition("@")
    with hub.plain_errors(repository, "asking whether the model is private", state="The Space was published."):
        private = api.repo_info(repository, revision=revision).private
    if private:
        print(f"{repository} is private: the Space starts once its secret HF_TOKEN may read it ({address}/settings)")
