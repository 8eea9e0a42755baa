"""Diagrams of a model's test figures, drawn here: inline SVG and shaded tables.

Lines and text take the colour of the text around them, so light and dark need no second drawing; each diagram has a
title and a description for a screen reader and its numbers as a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from skin_gradio import lesions
from skin_gradio.ui.figure_table import PICTURES, WITH_INTERVAL, table
from skin_gradio.ui.words import Text, number, told

DESCRIPTION, INTERVAL = Text("diagrams.description"), Text("diagrams.interval")
AS_TABLE = Text("diagrams.as_table")
_SIDE, _MARGIN = 300, 42
RIGHT = ' class="right"'
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Group:
    """Pictures with a similar stated probability: how many, its mean, and the share that it came true for, 0 to 1."""

    count: int
    stated: float
    share: float
    low: float
    high: float


def groups(bins: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return model.json's bins of a reliability diagram.

    Raises KeyError, OverflowError, TypeError or ValueError where they are none.
    """
    found = [
        Group(int(one["count"]), *(float(one[key]) for key in ("confidence", "share", "low", "high"))) for one in bins
    ]
    if not found or not all(0 <= value <= 1 for one in found for value in (one.stated, one.share, one.low, one.high)):
        raise ValueError("a reliability diagram needs shares from 0 to 1")
    if not all(one.count > 0 for one in found):
        raise ValueError("each group of a reliability diagram needs pictures")
    return found


def reliability(name: str, title: str, stated: str, share: str, found: Sequence[Group]) -> str:
    """Return a reliability diagram with its table.

    Args:
        name: makes the ids of its title and description unique on the page.
        title: what the diagram shows.
        stated: the words for its horizontal axis, the probability that the model stated.
        share: the words for its vertical axis, the share that it came true for.
        found: the groups of pictures.
    """
    widest = max(found, key=lambda one: abs(one.stated - one.share))
    description = DESCRIPTION.format(groups=len(found), count=widest.count, stated=widest.stated, share=widest.share)
    largest = max(one.count for one in found)
    points = "".join(_point(one, largest) for one in found)
    svg = (
        f'<svg class="reliability" viewBox="0 0 {_SIDE + _MARGIN + 22} {_SIDE + _MARGIN + 6}" role="img"'
        f' aria-labelledby="{name}-title {name}-description"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>{_axes(stated, share)}{points}</svg>'
    )
    rows = [
        (
            number(one.stated, ".3f"),
            WITH_INTERVAL.format(value=one.share, low=one.low, high=one.high),
            number(one.count, ","),
        )
        for one in found
    ]
    numbers = table(title, (stated, INTERVAL.format(share=share), PICTURES), rows)
    return (
        f'<figure class="diagram"><figcaption>{escape(title)}</figcaption>{svg}'
        f"<details><summary>{AS_TABLE}</summary>{numbers}</details></figure>"
    )


def _x(value: float) -> float:
    return round(_MARGIN + _SIDE * value, 1)


def _y(value: float) -> float:
    return round(6 + _SIDE * (1 - value), 1)


def _axes(stated: str, share: str) -> str:
    lines = "".join(
        f'<path class="grid" d="M{_x(tick)} {_y(0)}V{_y(1)}M{_x(0)} {_y(tick)}H{_x(1)}"/>'
        f'<text x="{_x(tick)}" y="{_y(0) + 16}" text-anchor="middle">{number(tick, ".0%")}</text>'
        f'<text x="{_x(0) - 5}" y="{_y(tick) + 4}" text-anchor="end">{number(tick, ".0%")}</text>'
        for tick in _TICKS
    )
    middle = _y(0.5)
    return (
        f'<g aria-hidden="true">{lines}<path class="diagonal" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"/>'
        f'<text x="{_x(0.5)}" y="{_y(0) + 34}" text-anchor="middle">{escape(stated)}</text>'
        f'<text x="10" y="{middle}" text-anchor="middle" transform="rotate(-90 10 {middle})">{escape(share)}</text></g>'
    )


def _point(one: Group, largest: int) -> str:
    radius = 2.5 + 5 * (one.count / largest) ** 0.5
    return (
        f'<g class="point"><path d="M{_x(one.stated)} {_y(one.low)}V{_y(one.high)}"/>'
        f'<circle cx="{_x(one.stated)}" cy="{_y(one.share)}" r="{radius:.1f}"/></g>'
    )


def confusion(title: str, codes: Sequence[str], matrix: Sequence[Sequence[Any]]) -> str:
    """Return a confusion matrix as a table, rows the truth, shaded by the share of the row.

    Raises TypeError or ValueError for one that does not fit the classes or holds no counts.
    """
    counts = [[int(value) for value in row] for row in matrix]
    if [len(row) for row in counts] != [len(codes)] * len(codes) or min(min(row) for row in counts) < 0:
        raise ValueError(f"a confusion matrix of {len(codes)} classes needs as many rows and columns of counts")
    head = "".join(f'<th scope="col"><abbr title="{_name(code)}">{code}</abbr></th>' for code in codes)
    rows = "".join(
        f'<tr><th scope="row"><abbr title="{_name(code)}">{code}</abbr></th>{_cells(place, row)}</tr>'
        for place, (code, row) in enumerate(zip(codes, counts, strict=True))
    )
    return (
        f'<table class="confusion"><caption>{escape(title)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cells(place: int, row: Sequence[int]) -> str:
    total = sum(row) or 1
    return "".join(
        f'<td style="--share:{100 * value / total:.0f}%"{RIGHT if place == column else ""}>{value}</td>'
        for column, value in enumerate(row)
    )


def _name(code: str) -> str:
    return escape(told(lesions.BY_CODE[code].name))
