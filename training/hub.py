"""The Hugging Face Hub as `training.publish` and `training.space` see it: a connection, its checks, plain errors."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from training.command import UserError

Kind = Literal["model", "space"]
HARMLESS = {".gitattributes", ".gitignore", "README.md", "LICENSE"}
"""What a repository that was made on the Hub's page may hold before anything was published to it."""


class HubError(UserError):
    """The Hub refused something or could not be reached; the message names the repository and says what to do."""


def connect(timeout: float) -> Any:
    """Return the Hub's client (HfApi) for the user's token.

    Args:
        timeout: seconds without a sign of life after which a request has failed; the client's own is none at all.
    """
    import huggingface_hub

    huggingface_hub.get_session().timeout = timeout
    return huggingface_hub.HfApi()


def check_name(repository: str) -> None:
    """Raise HubError unless a repository is named as `user/name`."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise HubError(f"{repository!r} cannot be the name of a repository: {_one_line(error)}") from None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise HubError(f"A repository is named USER/NAME or ORGANISATION/NAME. Received: {repository!r}")


def check_token(api: Any, repository: str) -> None:
    """Raise HubError unless the Hub knows the user's token."""
    with plain_errors(repository, "asking the Hub who you are"):
        api.whoami()


def find_repository(api: Any, kind: Kind, repository: str, public: bool) -> Any:
    """Return what the Hub says of a repository, None when there is none yet.

    Raises HubError when it exists with the other visibility: what is private stays so, and nobody publishes by mistake.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    with plain_errors(repository, "looking for the repository"):
        try:
            found = api.repo_info(repository, repo_type=kind)
        except RepositoryNotFoundError:
            return None
    if public and found.private:
        raise HubError(
            f"{repository} exists and is private, and --public does not change that. Change its visibility at"
            f" {page(api, kind, repository)}/settings, or leave --public out. Nothing was published."
        )
    if not public and not found.private:
        raise HubError(
            f"{repository} exists and is public: whatever goes there can be seen by everybody. Say --public if that"
            f" is meant, or make it private at {page(api, kind, repository)}/settings. Nothing was published."
        )
    return found


def check_contents(found: Any, mark: str, what: str) -> None:
    """Raise HubError when an existing repository holds something else: files, but none that begins with `mark`."""
    names = {sibling.rfilename for sibling in found.siblings or ()}
    others = sorted(names - HARMLESS)
    if others and not any(name.startswith(mark) for name in names):
        raise HubError(
            f"{found.id} holds something else: {len(others)} files, the first {others[0]}, and no {mark}. Choose a"
            f" repository for {what} alone. Nothing was published."
        )


def create(api: Any, kind: Kind, repository: str, public: bool, **options: Any) -> None:
    """Create a repository. Raises HubError when the Hub refuses."""
    with plain_errors(repository, "creating the repository"):
        api.create_repo(repository, repo_type=kind, private=not public, **options)


def push(
    api: Any,
    kind: Kind,
    repository: str,
    files: Mapping[str, Path | bytes],
    message: str,
    parent: str | None,
    delete: Sequence[str] = (),
) -> str:
    """Put files into a repository in one commit, after all large ones have arrived; return the commit's hash.

    Args:
        api: the Hub's client.
        kind: model or space.
        repository: `user/name`.
        files: path in the repository -> what it should hold. Files that are there already are not sent again.
        message: of the commit.
        parent: the commit that `main` must still be at, None for a new repository.
        delete: paths to remove in the same commit.

    Raises HubError when anything goes wrong; then no file is visible on the Hub, or the message says what is not known.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    state = "Nothing was published." if parent else "Nothing was published: the new repository is empty."
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations = [*additions, *(CommitOperationDelete(name) for name in delete)]
    with plain_errors(repository, "sending the files", state):
        api.preupload_lfs_files(repository, additions, repo_type=kind, free_memory=False)
    with plain_errors(repository, "making the commit", state, "Whether the commit was made is not known."):
        commit = api.create_commit(repository, operations, commit_message=message, repo_type=kind, parent_commit=parent)
    return str(commit.oid)


def differences(api: Any, kind: Kind, repository: str, revision: str, files: Mapping[str, Path | bytes]) -> list[str]:
    """Return the names of the files that a revision lacks or holds with other contents, by their hashes there."""
    with plain_errors(repository, "reading what the repository holds"):
        entries = list(api.list_repo_tree(repository, revision=revision, repo_type=kind, recursive=True))
    there = {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}
    return [name for name, content in files.items() if name not in there or not _holds(there[name], content)]


def _holds(entry: Any, content: Path | bytes) -> bool:
    data = content if isinstance(content, bytes) else content.read_bytes()
    if entry.lfs:
        return bool(entry.lfs.sha256 == hashlib.sha256(data).hexdigest())
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def page(api: Any, kind: Kind, repository: str) -> str:
    """Return the address of a repository's page."""
    return f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{repository}"


@contextmanager
def plain_errors(
    repository: str, doing: str, state: str = "Nothing was published.", unknown: str = ""
) -> Iterator[None]:
    """Turn what the Hub's client raises into a HubError of one line.

    Args:
        repository: `user/name`, for the message.
        doing: what was being done, for the message.
        state: what is on the Hub after a refusal.
        unknown: said in its place when the Hub may have done what it was asked, though no answer came.
    """
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except UserError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        reason, answered = explain(error, repository, doing)
        if unknown and not answered:
            state = f"{unknown} Run the command again: what has arrived is not sent twice."
        raise HubError(f"{reason} {state}".strip()) from error


def explain(error: BaseException, repository: str, doing: str) -> tuple[str, bool]:
    """Return a sentence about a failed request and what to do, and whether the Hub answered with a refusal."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    answer = next((link for link in chain if isinstance(link, HfHubHTTPError)), None)
    if answer is not None and answer.response is not None:
        status = answer.response.status_code
        if isinstance(error, RuntimeError):  # the storage's answer, for which the client names the file
            return f"{repository}: {_one_line(error)} The storage answered {status}. Try again.", status < 500
        if error is not answer:  # what the client made of the answer, such as a list of faults in the card
            return f"{repository}: {doing} failed: {_one_line(error)}", status < 500
        return _refusal(answer, status, repository, doing), status < 500
    cause = next((link for link in chain if isinstance(link, HTTPError)), error)
    if isinstance(cause, LocalTokenNotFoundError):
        return (
            f"{repository}: there is no Hugging Face token. Log in with `hf auth login`, or set HF_TOKEN to a token"
            " that may write (https://huggingface.co/settings/tokens).",
            True,
        )
    if isinstance(cause, OfflineModeIsEnabled):
        return f"{repository}: HF_HUB_OFFLINE keeps the Hub out of reach. Unset it and run the command again.", True
    if "Timeout" in type(cause).__name__:
        return (
            f"{repository}: the Hub did not answer in time while {doing}. Try again later, or raise --timeout.",
            False,
        )
    if type(cause).__name__ == "ConnectError":
        from huggingface_hub import constants

        return (
            f"{repository}: the Hub cannot be reached at {constants.ENDPOINT} ({_one_line(cause)}). Check the network,"
            " the proxy settings and HF_ENDPOINT.",
            False,
        )
    if isinstance(cause, (HTTPError, ConnectionError)):
        # Not from the HTTP client: from Xet, the Hub's newer transport, which some proxies and mirrors do not know.
        other = "" if isinstance(cause, HTTPError) else ", or with HF_HUB_DISABLE_XET=1"
        return f"{repository}: the connection broke off while {doing} ({_one_line(cause)}). Try again{other}.", False
    return f"{repository}: {doing} failed: {_one_line(error)}", False


def _refusal(error: Any, status: int, repository: str, doing: str) -> str:
    said = getattr(error, "server_message", None)
    answer = f"{repository}: the Hub answered {status} while {doing}{f' ({_one_line(said)})' if said else ''}."
    advice = {
        401: "It does not accept the token: log in with `hf auth login`, or set HF_TOKEN to a token that may write"
        " (https://huggingface.co/settings/tokens).",
        402: "The account's plan does not include this: see https://huggingface.co/pricing.",
        403: f"The token may not do this: use one with write access to {repository.split('/')[0]}"
        " (https://huggingface.co/settings/tokens).",
        404: f"Check the name: {repository.split('/')[0]} must be a user or organisation on the Hub that the token may"
        " write to.",
        409: "It exists already, hidden from this token, or is being changed: look at it and run the command again.",
        412: "Somebody changed the repository in the meantime. Look at it and run the command again.",
        429: f"It wants fewer requests: wait{_waiting_time(error)} and run the command again.",
    }
    if status >= 500:
        return f"{answer} The Hub has trouble of its own: try again later (https://status.huggingface.co)."
    return f"{answer} {advice.get(status, '')}".strip()


def _waiting_time(error: Any) -> str:
    headers = error.response.headers
    seconds = re.search(r"\bt=(\d+)", headers.get("ratelimit", "")) or re.fullmatch(
        r"(\d+)", headers.get("retry-after", "")
    )
    return f" {seconds[1]} seconds" if seconds else " some minutes"


def _one_line(text: object) -> str:
    return " ".join(str(text).split()) or type(text).__name__
