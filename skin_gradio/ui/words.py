"""The page's words in the visitor's language; they stand in `languages/en.json` and `languages/de.json`.

An event of the page speaks the language that its request asks for: `?lang=de` in the page's address, else the browser's
preferred one. Everything else (endpoints, CSV, logs, tests) speaks English.
"""

import json
import re
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import gradio as gr
import numpy as np
from gradio.context import LocalContext

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""Code -> the language's own name, the default first."""
DEFAULT = "en"
FOLDER = Path(__file__).parent / "languages"
_TOLD = "told."
_GERMAN_MARKS = str.maketrans(",.", ".,")
_speaking: ContextVar[str | None] = ContextVar("speaking", default=None)
Made = TypeVar("Made")


def read_language(language: str) -> dict[str, str]:
    """Return a language file's texts by keys like `single.doubted`."""
    return dict(_flat(json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")), ""))


def _flat(entries: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


@dataclass(frozen=True)
class Words:
    """The texts of one language: `words("single.doubted", name="a.jpg")`. What it lacks is said in English."""

    language: str
    texts: Mapping[str, str]

    @classmethod
    def of(cls, language: str) -> Self:
        """Return the words of a language code; the default's for one that there are no words in."""
        return cls(*_texts(language if language in LANGUAGES else DEFAULT))

    def __call__(self, key: str, **values: Any) -> str:
        """Return a text with its placeholders filled in, numbers as the language writes them.

        Raises KeyError for a key that is in no language file.
        """
        text = self.texts[key]
        return _Formatter(self).format(text, **values) if values else text

    def number(self, value: float | np.number, spec: str) -> str:
        """Return a number by a format specification, as the language writes it: 0.41 by `.0%` is 41% or 41 %."""
        text = format(value, spec)
        return text.translate(_GERMAN_MARKS).replace("%", "\u00a0%") if self.language == "de" else text

    def inside(self, name: str) -> str:
        """Return a name as it stands inside a sentence.

        German names are a noun, or an adjective before one.
        """
        keeps = self.language == "de" and " " not in name
        return name if keeps else name[:1].lower() + name[1:]

    def told(self, text: str) -> str:
        """Return a text that another part of the program made in English: a diagnosis' name, a reason, a doubt.

        What no entry of `told` fits stays as it is.
        """
        if self.language == DEFAULT:
            return text
        if text in self._told:
            return self.texts[self._told[text]]
        for pattern, key in self._patterns:
            if found := pattern.fullmatch(text):
                return self(key, **{name: self.told(part) for name, part in found.groupdict().items()})
        return text

    @cached_property
    def _told(self) -> dict[str, str]:
        return {text: key for key, text in _texts(DEFAULT)[1].items() if key.startswith(_TOLD)}

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """What texts with placeholders look like in English, the most particular first."""
        made = [(_pattern(text), key) for text, key in self._told.items() if "{" in text]
        return sorted(made, key=lambda pair: -len(re.sub(r"\(.*?\)", "", pair[0].pattern)))


@cache
def _texts(language: str) -> tuple[str, dict[str, str]]:
    english = {} if language == DEFAULT else _texts(DEFAULT)[1]
    return language, english | read_language(language)


def _pattern(template: str) -> re.Pattern[str]:
    parts = string.Formatter().parse(template)
    return re.compile("".join(re.escape(text) + (f"(?P<{name}>.+?)" if name else "") for text, name, _, _ in parts))


class _Formatter(string.Formatter):
    """`str.format` that writes numbers as a language does."""

    def __init__(self, words: Words):
        self._words = words

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec and isinstance(value, (int, float, np.number)):
            return self._words.number(value, format_spec)
        return format(value, format_spec)


@dataclass(frozen=True)
class Text:
    """A text of the language files that a module names once; it is said in the language of who asks at that time."""

    key: str

    def __str__(self) -> str:
        return words()(self.key)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def format(self, **values: Any) -> str:
        """Return the text with its placeholders filled in."""
        return words()(self.key, **values)


def words() -> Words:
    """Return the words of the language that is spoken now."""
    return _words_of(language())


@cache
def _words_of(language: str) -> Words:
    return Words.of(language)


def told(text: str) -> str:
    """Return `Words.told` in the language that is spoken now."""
    return words().told(text)


def number(value: float | np.number, spec: str) -> str:
    """Return `Words.number` in the language that is spoken now."""
    return words().number(value, spec)


def language() -> str:
    """Return the language that is spoken now: what `speaking` says, else what the page's request asks for."""
    if chosen := _speaking.get():
        return chosen
    request = LocalContext.request.get(None)
    return DEFAULT if request is None else language_of(request)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak a language inside the block."""
    token = _speaking.set(language)
    try:
        yield
    finally:
        _speaking.reset(token)


def language_of(request: gr.Request) -> str:
    """Return the language of a request: `?lang=` of the page's address, else the browser's preferred one."""
    asked = str(request.query_params.get("lang", ""))
    return asked if asked in LANGUAGES else preferred(str(request.headers.get("accept-language", "")))


def preferred(accepted: str) -> str:
    """Return the first of our languages that an Accept-Language header asks for; the default where it asks for none."""
    wishes = []
    for place, part in enumerate(accepted.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), place, tag.split("-")[0].strip().lower()))
        except ValueError:  # a header may say anything
            continue
    return next((tag for weight, _, tag in sorted(wishes) if weight < 0 and tag in LANGUAGES), DEFAULT)


def in_each_language(make: Callable[[], Made]) -> dict[str, Made]:
    """Return what `make` returns, by language: for scripts in the browser, which choose by the document's language."""
    made = {}
    for code in LANGUAGES:
        with speaking(code):
            made[code] = make()
    return made
