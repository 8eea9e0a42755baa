"""Whether a picture can be judged at all, and if not, why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Doubt:
    """One reason not to trust an answer: a `code` for programs and a sentence for people."""

    code: str
    message: str
