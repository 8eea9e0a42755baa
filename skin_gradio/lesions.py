"""The diagnoses: code, full name, malignant or not, a plain note. The one place for their order.

Codes and their grouping are those of HAM10000 (Tschandl, Rosendahl & Kittler, Sci. Data 5, 180161, 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """One diagnostic category: its dataset code, full name, malignancy and a note for a lay reader."""

    code: str
    name: str
    malignant: bool
    note: str


DIAGNOSES = (
    Diagnosis(
        "akiec",
        "Actinic keratosis / Bowen's disease",
        True,
        "Sun damage of the upper skin layer, or an early carcinoma confined to it; it can become invasive.",
    ),
    Diagnosis(
        "bcc",
        "Basal cell carcinoma",
        True,
        "The most common skin cancer; it grows locally and rarely spreads.",
    ),
    Diagnosis(
        "bkl",
        "Benign keratosis",
        False,
        "Seborrhoeic keratosis, solar lentigo or lichen-planus-like keratosis.",
    ),
    Diagnosis("df", "Dermatofibroma", False, "A firm benign nodule of the deeper skin."),
    Diagnosis("mel", "Melanoma", True, "A cancer of the pigment cells; it can spread early."),
    Diagnosis("nv", "Melanocytic nevus", False, "A mole: a benign growth of pigment cells."),
    Diagnosis(
        "vasc",
        "Vascular lesion",
        False,
        "Angioma, angiokeratoma, pyogenic granuloma or a bleeding in the skin.",
    ),
)
GROUPS = (
    Diagnosis("benign", "Benign lesion", False, "Benign keratosis, dermatofibroma, nevus or vascular lesion."),
    Diagnosis("malignant", "Malignant lesion", True, "Actinic keratosis, basal cell carcinoma or melanoma."),
)
CODES = tuple(diagnosis.code for diagnosis in DIAGNOSES)
BY_CODE = {diagnosis.code: diagnosis for diagnosis in (*DIAGNOSES, *GROUPS)}
TASKS = {"diagnosis": CODES, "malignancy": tuple(group.code for group in GROUPS)}
"""What a model can be trained to answer, and its classes in order."""


def is_group(code: str) -> bool:
    """Say whether a code is that of a group of diagnoses, not of one diagnosis."""
    return code in TASKS["malignancy"]


def as_answer(code: str, codes: Sequence[str]) -> str | None:
    """Return which of a model's classes a diagnosis or a group belongs to; None where it belongs to none of them."""
    if code in codes:
        return code
    group = GROUPS[BY_CODE[code].malignant].code
    return group if group in codes else None


def agree(one: str, other: str) -> bool:
    """Say whether two codes can be true of one lesion: the same diagnosis, or a group and a diagnosis that is in it."""
    if is_group(one) or is_group(other):
        return BY_CODE[one].malignant == BY_CODE[other].malignant
    return one == other


def malignant_mask(codes: Sequence[str]) -> list[bool]:
    """Return for each code whether its diagnosis is malignant (akiec, bcc and mel are).

    Raises KeyError for an unknown code.
    """
    return [BY_CODE[code].malignant for code in codes]
