"""Figures of model.json as text, and tables of them: every number with its interval, every text escaped.

A model.json may come from a stranger. Reading what is missing or makes no sense raises one of MALFORMED, or gives a
dash or nothing, as each function says.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from skin_gradio import lesions
from skin_gradio.ui.words import Text, told

Said = Text | str
MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a table that is not what it should be raises."""
INTERVALS = Text("figures.intervals")
PICTURES, TEST_PICTURES, ALL_PICTURES = (
    Text("figures.pictures"),
    Text("figures.test_pictures"),
    Text("figures.all_pictures"),
)
WITH_INTERVAL = Text("figures.with_interval")


def table(caption: Said, head: Sequence[Said], rows: Sequence[Sequence[Said]]) -> str:
    """Return a table of texts; the first column names the rows. On a phone every cell carries its heading."""
    headings = "".join(f'<th scope="col">{escape(str(text))}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{escape(str(row[0]))}</th>'
        + "".join(
            f'<td data-label="{escape(str(title))}">{escape(str(cell))}</td>'
            for title, cell in zip(head[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="figures"><caption>{escape(str(caption))}</caption><thead><tr>{headings}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def with_interval(figure: Mapping[str, Any]) -> str:
    """Return a figure of model.json as `0.768 (0.723 to 0.807)`. Raises one of MALFORMED where it is none."""
    value, low, high = (finite(figure[key]) for key in ("value", "low", "high"))
    return WITH_INTERVAL.format(value=value, low=low, high=high)


def finite(value: Any) -> float:
    """Return a figure of model.json. Raises TypeError or ValueError where it is no finite number."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a figure must be a number. Received: {value!r}")
    return number


def or_dash(figures: Mapping[str, Any], key: str) -> str:
    """Return `with_interval` of the figure with a key; a dash where there is none."""
    try:
        return with_interval(figures[key])
    except MALFORMED:
        return "-"


def table_of(mapping: Any, key: str) -> Mapping[str, Any]:
    """Return the table with a key inside another one; an empty one where there is none."""
    found = mapping.get(key) if isinstance(mapping, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def named(code: str) -> str:
    """Return a diagnosis' name with its code."""
    return f"{told(lesions.BY_CODE[code].name)} ({code})"


def measured(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was measured on each collection, the model's own first."""
    found = [table_of(card, "metrics"), *table_of(card, "elsewhere").values()]
    return [metrics for metrics in found if table_of(metrics, "figures")]
