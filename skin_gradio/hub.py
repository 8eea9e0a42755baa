"""A repository on the Hugging Face Hub -> its model folder, in the cache of the Hub's client."""

import contextlib
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    DryRunError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from skin_gradio.models import FILES, MAX_FILE_BYTES, DamagedFile, ModelError, ModelFolder, read_folder, shortened

SECONDS = 30.0
"""Without a sign of life for this long the Hub counts as out of reach; its client would wait for ever."""


def read_repository(repository: str, revision: str | None) -> ModelFolder:
    """Return a repository's model; where a file of it is damaged in the cache, fetch that file once more.

    Args:
        repository: `user/name`.
        revision: a branch, tag or commit; the main branch when None.

    Raises ModelError when the model cannot be fetched, or when its files are not what its model.json says.
    """
    forgotten: set[str] = set()
    before = ""
    while True:
        try:
            folder = _fetch(repository, revision)
        except ModelError as error:
            raise ModelError(f"{before}{error}") from None
        try:
            return read_folder(folder, f"{repository}@")
        except DamagedFile as damaged:
            if damaged.name in forgotten:
                raise
            before = f"{damaged} It was to be fetched again, but: "
            for name in {damaged.name, "model.json"} - forgotten:  # either may be the one that is wrong
                _forget(folder, name)
                forgotten.add(name)


def _fetch(repository: str, revision: str | None) -> Path:
    wanted: dict[str, Any] = {"repo_id": repository, "revision": revision, "allow_patterns": list(FILES)}
    hooks = huggingface_hub.get_session().event_hooks["request"]
    if _limit_waiting not in hooks:
        hooks.append(_limit_waiting)
    try:
        with contextlib.suppress(DryRunError):  # the Hub is out of reach: then only what is on this disk already counts
            _check_sizes(repository, huggingface_hub.snapshot_download(**wanted, dry_run=True))
        return Path(huggingface_hub.snapshot_download(**wanted))
    except RepositoryNotFoundError:
        raise ModelError(f"The Hub has no repository {repository}, or it is private and no token is set.") from None
    except RevisionNotFoundError:
        raise ModelError(f"The Hub's repository {repository} has no revision {revision}.") from None
    except (HTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{repository} could not be fetched from the Hub: {shortened(reason)}") from None
    except ModelError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError):  # what its client makes of an answer that is none
        raise ModelError(
            f"{repository} could not be fetched: what answers at {constants.ENDPOINT} does not speak as the Hub does;"
            " perhaps a network that wants a login, or a proxy."
        ) from None


def _limit_waiting(request: Any) -> None:
    """Give a request of the Hub's client a time limit where it has none."""
    given = request.extensions.get("timeout") or {}
    limits = {kind: given.get(kind) for kind in ("connect", "read", "write", "pool")}
    request.extensions["timeout"] = {kind: SECONDS if limit is None else limit for kind, limit in limits.items()}


def _check_sizes(repository: str, files: list[Any]) -> None:
    for file in files:
        if (file.file_size or 0) > MAX_FILE_BYTES:
            raise ModelError(
                f"{repository}: {file.filename} has {file.file_size:,} bytes; up to {MAX_FILE_BYTES:,} are fetched."
            )


def _forget(snapshot: Path, name: str) -> None:
    """Delete a file from the cache, if that is allowed: its name in a snapshot, and the bytes that this links to."""
    path = snapshot / name
    content = path.resolve()
    with contextlib.suppress(OSError):
        path.unlink()
        if content.is_relative_to(snapshot.parent.parent.resolve()):
            content.unlink(missing_ok=True)
