"""Publish a model folder to the Hugging Face Hub, or the app that serves it as a Space.

python -m training.publish weights/mobilenet_v2 USER/skin-lesions
python -m training.publish --space USER/skin-lesions USER/skin-lesion-classifier
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from PIL import Image

from skin_gradio.engines import open_engine
from skin_gradio.models import BUNDLED, FILES, ModelError, ModelFolder, find_model, read_folder, sha256
from training import card, hub
from training.command import UserError, run_command

TOLERANCE = 1e-6
"""Largest difference of a probability between the local folder and what comes back from the Hub."""
PICTURES = 4


class PublishError(UserError):
    """A folder, tag or option that cannot be published, or a revision that did not come back as it was sent."""


@dataclass(frozen=True)
class PublishCommand:
    """Publish a model to the Hugging Face Hub, or with --space the app that serves it.

    The token is that of `hf auth login`, or HF_TOKEN. A new repository is private unless --public is given.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A model folder or a bundled model's name; with --space a Hub id (user/repository[@revision]) as well."""
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REPOSITORY")]
    """Where it goes: USER/NAME or ORGANISATION/NAME."""
    space: bool = False
    """Publish the app as a Gradio Space that names the model."""
    public: bool = False
    """Make a new repository public. One that exists keeps its visibility; this must agree with it."""
    tag: str | None = None
    """Name of the published revision; `v` and the date of the model's export when not given."""
    rewrite_card: bool = False
    """Write the folder's README.md again from its model.json before it is published."""
    timeout: float = 120
    """Seconds without a sign of life after which the Hub counts as out of reach."""


def local_model(name: str, rewrite_card: bool = False) -> ModelFolder:
    """Return a model on this machine after checking all of its files, the card included.

    Raises ModelError when its files are not what model.json says, and PublishError when it is no model folder or its
    card is not the one that model.json makes.
    """
    folder = next((folder for folder in (Path(name), BUNDLED / name) if name and folder.is_dir()), None)
    if folder is None:
        raise PublishError(f"{name!r} is neither a model folder nor a bundled model's name.")
    model = read_folder(folder)
    try:
        made = card.model_card(model.card)
    except (KeyError, TypeError, ValueError) as error:
        raise PublishError(f"{folder}: model.json lacks what its card is made of: {error!r}.") from None
    readme = folder / "README.md"
    if rewrite_card:
        readme.write_text(made, encoding="utf-8")
    if not readme.is_file() or readme.read_text(encoding="utf-8", errors="replace") != made:
        raise PublishError(
            f"{readme} is not the card that model.json makes, so its figures may be wrong."
            " --rewrite-card writes it again."
        )
    return model


def choose_tag(model: ModelFolder, wanted: str | None) -> str:
    """Return the name for the published revision. Raises PublishError for one that cannot name it."""
    exported = (model.card.get("training") or {}).get("exported")
    if not wanted and not exported:
        raise PublishError(f"{model.path}: model.json has no date of export to make a tag of; name one with --tag.")
    tag = wanted or f"v{exported}"
    if (
        not re.fullmatch(r"[A-Za-z0-9]([\w.-]*\w)?", tag, re.ASCII)
        or tag == "main"
        or re.fullmatch(r"[0-9a-f]{7,40}", tag)
    ):
        raise PublishError(
            "A tag is made of letters, digits, dots, hyphens and underscores, and is neither `main` nor looks like a"
            f" commit. Received: {tag!r}"
        )
    return tag


def publish(command: PublishCommand) -> str:
    """Publish a model folder: one commit, a check that it loads back, then the tag. Return the commit's hash.

    Raises UserError or ModelError with what went wrong, what is on the Hub now, and what to do.
    """
    model = local_model(command.model, command.rewrite_card)
    tag = choose_tag(model, command.tag)
    repository = command.repository
    files: dict[str, Path | bytes] = {name: model.file(name) for name in FILES}
    hub.check_name(repository)
    api = hub.connect(command.timeout)
    hub.check_token(api, repository)

    found = hub.find_repository(api, "model", repository, command.public)
    tagged = None
    if found is None:
        hub.create(api, "model", repository, command.public)
    else:
        hub.check_contents(found, "model.json", "this model")
        tagged = _tagged_commit(api, repository, tag)
    if tagged is None:
        size = sum(model.file(name).stat().st_size for name in FILES)
        print(f"sending {len(FILES)} files ({size / 1e6:.1f} MB) to {hub.page(api, 'model', repository)}")
        commit = hub.push(
            api, "model", repository, files, f"Publish {model.name} as {tag}", found.sha if found else None
        )
    elif changed := hub.differences(api, "model", repository, tagged, files):
        raise PublishError(
            f"{repository} has the tag {tag} already, at the commit {tagged[:12]}, whose {', '.join(changed)} differ"
            " from this folder's. Choose another name with --tag. Nothing was published."
        )
    else:
        commit = tagged
        print(f"{repository} holds these files already, as {tag}")
    named = f"as {tag}" if tagged else "in `main` and without a tag"
    check_revision(model, repository, commit, named, found.sha if found else None)
    print(f"commit {commit} loads back and answers as {model.path} does")
    if tagged is None:
        state = f"The commit {commit} is on the Hub and loads back, but has no tag. Run the command again."
        with hub.plain_errors(repository, f"setting the tag {tag}", state):
            api.create_tag(repository, tag=tag, revision=commit)
    print(f"published as {tag}; open it with: python app.py --model {repository}@{tag}")
    return commit


def _tagged_commit(api: Any, repository: str, tag: str) -> str | None:
    with hub.plain_errors(repository, "reading the tags"):
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repository, repo_type="model").tags}
    return tags.get(tag)


def check_revision(model: ModelFolder, repository: str, commit: str, named: str, before: str | None) -> None:
    """Fetch a commit into an empty cache, as any user would, and compare it with the local folder.

    Args:
        model: the local folder.
        repository: `user/name`.
        commit: hash of what was published.
        named: by which name it can be found there, for the message.
        before: hash of what was there before, None if nothing was.

    Raises PublishError when it cannot be fetched, a file differs, or a probability differs by more than TOLERANCE.
    """
    from huggingface_hub.errors import HTTPError

    try:
        with _empty_cache() as cache:
            fetched = find_model(f"{repository}@{commit}")
            if not fetched.path.resolve().is_relative_to(cache):
                raise PublishError(f"it came from {fetched.path} and not from the Hub.")
            compare(fetched, model)
    except (PublishError, ModelError, HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        last = f" {repository}@{before} is what was there before." if before and before != commit else ""
        raise PublishError(
            f"{repository}: the commit {commit} is on the Hub, {named}, but was not seen to load back:"
            f" {reason} Run the command again to repeat the check; do not use the commit until it passes.{last}"
        ) from error


def compare(fetched: ModelFolder, local: ModelFolder) -> None:
    """Raise PublishError unless two model folders hold the same files and give the same probabilities."""
    for name in FILES:
        if not fetched.file(name).is_file() or sha256(fetched.file(name)) != sha256(local.file(name)):
            raise PublishError(f"its {name} is not the one that was sent.")
    pictures = generated_pictures(local.input_size)
    answers = [open_engine(model, "onnx").run(pictures).probabilities for model in (fetched, local)]
    difference = float(np.abs(answers[0] - answers[1]).max())
    if not difference <= TOLERANCE:
        raise PublishError(f"its probabilities differ from the local ones by up to {difference:.1e}.")


def generated_pictures(size: int) -> np.ndarray:
    """Return uint8 (PICTURES, size, size, 3): smooth random colours, the same at every call."""
    small = np.random.default_rng(0).integers(40, 230, (PICTURES, 5, 5, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC)) for p in small])


@contextmanager
def _empty_cache() -> Iterator[Path]:
    """Give the Hub's client another, empty cache for a while."""
    from huggingface_hub import constants

    kept = constants.HF_HUB_CACHE
    with tempfile.TemporaryDirectory(prefix="skin-publish-", ignore_cleanup_errors=True) as folder:
        constants.HF_HUB_CACHE = folder
        try:
            yield Path(folder).resolve()
        finally:
            constants.HF_HUB_CACHE = kept


def publish_space(command: PublishCommand) -> str:
    """Publish the app as a Space that names the model; return the commit's hash.

    Raises UserError or ModelError with what went wrong, what is on the Hub now, and what to do.
    """
    from training import space

    if command.tag:
        raise PublishError("--tag names a model's revision; a Space has none.")
    here = Path(command.model).is_dir() or (BUNDLED / command.model).is_dir()
    model = local_model(command.model, command.rewrite_card) if here else command.model
    return space.publish_space(model, command.repository, command.public, command.timeout)


def main() -> None:
    """Run the command line."""
    command = tyro.cli(PublishCommand)
    if command.space:
        publish_space(command)
    else:
        publish(command)


if __name__ == "__main__":
    run_command(main)
