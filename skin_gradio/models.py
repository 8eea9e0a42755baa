"""A model folder on disk or on the Hub: find, verify, read."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skin_gradio import lesions

Choice = Literal["any", "bundled"]
"""What others may open on this machine: the bundled models only, or any folder and any Hub id as well."""

FORMAT_VERSION = 1
FILES = ("model.keras", "model.onnx", "model.json", "README.md")
BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_MODEL = "mobilenet_v2"
MAX_CARD_BYTES = 4_000_000
MAX_FILE_BYTES = 1_000_000_000
"""A larger file is neither fetched nor read: no model that this program is for comes near."""
MAX_INPUT_SIZE = 1024
MAX_NAME = 100
"""Characters of a model's name."""
MIN_PRIOR = 1e-6
"""A rarer class would turn rounding errors into probabilities when each class is to count the same."""
_MAX_LEVELS = 40
_MAX_NUMBER = 2**53
_MAX_SAID = 300


class ModelError(ValueError):
    """A model that cannot be used; the message names it, says why, and is safe to show to a user."""


class DamagedFile(ModelError):
    """A file of a model folder that is not what it was made as.

    Attributes:
        name: the file's.
    """

    def __init__(self, folder: Path, name: str, reason: str):
        super().__init__(f"{folder}: {name} {reason}")
        self.name = name


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the malignancy score and what it gave, 0 to 1 each.

    The threshold was chosen on validation pictures; `test_sensitivity` and `test_specificity` are what it gave on
    pictures that had no part in that, None where the model was not measured.
    """

    name: str
    threshold: float
    sensitivity: float
    specificity: float
    test_sensitivity: float | None = None
    test_specificity: float | None = None


@dataclass(frozen=True)
class ModelFolder:
    """A verified model folder. `card` is model.json as a whole; the other fields are what classification needs."""

    path: Path
    name: str
    revision: str
    codes: tuple[str, ...]
    prior: tuple[float, ...]
    input_size: int
    operating_points: tuple[OperatingPoint, ...]
    card: dict[str, Any]

    def file(self, name: str) -> Path:
        """Return the path of one of the folder's files."""
        return self.path / name

    @property
    def bundled(self) -> bool:
        """Whether the model came with the project; any other is a stranger's."""
        return self.path.resolve().parent == BUNDLED

    @property
    def key(self) -> str:
        """A name that `find_model` opens this model by: bundled name, Hub id with its commit, or absolute folder."""
        if self.bundled:
            return self.path.name
        return self.revision if "@" in self.revision else str(self.path.resolve())


def find_model(name: str = DEFAULT_MODEL) -> ModelFolder:
    """Return the model that a name means.

    Args:
        name: a folder, the name of a bundled model, or a Hugging Face Hub id with an optional revision
            (`user/repository` or `user/repository@revision`).

    Raises ModelError when there is none, when it cannot be fetched, or when its files are not what its model.json says.
    """
    for folder in (Path(name), BUNDLED / name):
        if name and _is_folder(folder):
            return read_folder(folder)
    if is_hub_id(name):
        from skin_gradio.hub import read_repository  # its client takes long to import

        repository, _, revision = name.partition("@")
        return read_repository(repository, revision or None)
    raise ModelError(
        f"There is no model {name!r}: it is no folder, no bundled model ({', '.join(bundled_models()) or 'none here'})"
        " and no Hub id of the form user/repository[@revision]."
    )


def is_hub_id(name: str) -> bool:
    """Say whether a name has the form of a Hub id: user/repository or user/repository@revision."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name)) and not name.startswith((".", "/"))


def bundled_models() -> list[str]:
    """Return the names of the models that come with the project: the default first, then from large to small."""
    found = (card.parent.name for card in BUNDLED.glob("*/model.json"))
    whole = (name for name in found if not name.startswith("."))  # an export in the making, or the one it replaces
    return sorted(whole, key=lambda name: (name != DEFAULT_MODEL, -_size(BUNDLED / name / "model.onnx"), name))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # being replaced just now, or lost
        return 0


def find_bundled(name: str) -> ModelFolder:
    """Return a bundled model, wherever the program was started.

    Raises ModelError when there is none of that name or when its files are not what its model.json says.
    """
    if name not in bundled_models():
        raise ModelError(f"There is no bundled model {name!r}; there are {', '.join(bundled_models())}.")
    return read_folder(BUNDLED / name)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for a path, or a folder that may not be looked into
        return False


def read_folder(folder: Path, origin: str = "") -> ModelFolder:
    """Return a folder's model after checking that its files are whole and its model.json makes sense.

    Raises ModelError for a missing file, a wrong checksum, an unknown format version, unknown classes or figures out of
    range.
    """
    card = read_card(folder)
    if (version := card.get("format_version")) != FORMAT_VERSION:
        shown = shortened(repr(version))
        raise ModelError(f"{folder}: model.json has format version {shown}; this program reads {FORMAT_VERSION}.")
    checksums = card.get("sha256")
    if not isinstance(checksums, dict) or not {"model.keras", "model.onnx"} <= set(checksums):
        raise ModelError(f"{folder}: model.json lacks the checksums of model.keras and model.onnx.")
    for file_name, expected in checksums.items():
        if file_name not in FILES:
            shown = shortened(repr(file_name))
            raise ModelError(f"{folder}: model.json lists a file that is no part of a model folder: {shown}.")
        check_file(folder, file_name, expected)
    try:
        return _parse(folder, card, origin)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{folder}: model.json is not usable: {shortened(reason)}.") from None


def shortened(text: str) -> str:
    """Return as much of a text from a model.json as a message has room for."""
    return text if len(text) <= _MAX_SAID else f"{text[:_MAX_SAID]} ..."


def check_file(folder: Path, name: str, expected: Any) -> None:
    """Raise ModelError unless a file is there, not too large, and has the checksum that model.json expects."""
    path = folder / name
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise ModelError(f"{folder}: {name} has {size:,} bytes; up to {MAX_FILE_BYTES:,} are read.")
        whole = sha256(path) == expected
    except FileNotFoundError:
        raise ModelError(f"{folder}: {name} is missing.") from None
    except OSError as error:
        raise ModelError(f"{folder}: {name} cannot be read: {error.strerror or error}.") from None
    if not whole:
        raise DamagedFile(folder, name, "is damaged or was changed: its checksum is not model.json's.")


def read_card(folder: Path) -> dict[str, Any]:
    """Return a folder's model.json as it stands.

    Raises ModelError where there is none, it is no table, or it holds what no program could show or calculate with:
    deep nesting, numbers beyond 2**53, text that is not Unicode.
    """
    path = folder / "model.json"
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ModelError(f"{folder}: model.json is larger than {MAX_CARD_BYTES} bytes.")
        card = json.loads(path.read_text(encoding="utf-8"))
        _check_values(card, _MAX_LEVELS)
    except FileNotFoundError:
        raise ModelError(f"{folder}: model.json is missing; this is no model folder.") from None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise DamagedFile(folder, "model.json", f"cannot be read: {shortened(str(error))}") from None
    if not isinstance(card, dict):
        raise ModelError(f"{folder}: model.json holds no table.")
    return card


def _check_values(value: Any, levels: int) -> None:
    """Raise ValueError where a value of a model.json is nested too deep, too large or broken text."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise ValueError("it holds a number beyond 2**53")
    elif isinstance(value, (dict, list)):
        if not levels:
            raise ValueError(f"it is nested more than {_MAX_LEVELS} levels deep")
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _check_values(part, levels - 1)


def _parse(folder: Path, card: dict[str, Any], origin: str) -> ModelFolder:
    codes = tuple(card["classes"])
    if len(codes) < 2 or len(set(codes)) != len(codes) or any(code not in lesions.BY_CODE for code in codes):
        raise ValueError(f"its classes are {list(codes)}, this program knows {list(lesions.CODES)}")
    prior = tuple(float(value) for value in card["prior"])
    if len(prior) != len(codes) or not all(MIN_PRIOR <= value <= 1 for value in prior) or abs(sum(prior) - 1) > 1e-3:
        raise ValueError(
            f"its prior must be {len(codes)} numbers from {MIN_PRIOR:g} on with the sum 1, and is {list(prior)}"
        )
    size = card["input_size"]
    if not isinstance(size, int) or not 16 <= size <= MAX_INPUT_SIZE:
        raise ValueError(f"its input size must be a whole number from 16 to {MAX_INPUT_SIZE}, and is {size!r}")
    if not isinstance(name := card["name"], str) or not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"its name must be a text of 1 to {MAX_NAME} characters, and is {name!r}")
    points = _operating_points(card)
    # A Hub snapshot's folder is named by its commit; elsewhere the checksums say which version this is.
    revision = folder.name if origin else str(card["sha256"]["model.onnx"])[:12]
    return ModelFolder(folder, name, origin + revision, codes, prior, size, points, card)


def _operating_points(card: dict[str, Any]) -> tuple[OperatingPoint, ...]:
    tested = (card.get("metrics") or {}).get("figures") or {}
    points = []
    for number, point in enumerate(card["operating_points"]):
        figures = [float(point[name]) for name in ("threshold", "sensitivity", "specificity")]
        if f"sensitivity_{number}" in tested:
            figures += [float(tested[f"{name}_{number}"]["value"]) for name in ("sensitivity", "specificity")]
        if not all(0 <= value <= 1 for value in figures):
            raise ValueError("its operating points need figures from 0 to 1")
        points.append(OperatingPoint(str(point["name"]), *figures))
    if not points:
        raise ValueError("it has no operating points")
    return tuple(points)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open(os.fspath(path), "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
