"""What model.json says about its safeguards, as HTML tables: the prediction sets and the input gate.

What is missing or makes no sense is left out; the rest is shown.
"""

from collections.abc import Mapping
from typing import Any

from skin_gradio.models import ModelFolder
from skin_gradio.ui.figure_table import (
    ALL_PICTURES,
    INTERVALS,
    MALFORMED,
    TEST_PICTURES,
    Said,
    finite,
    measured,
    named,
    or_dash,
    table,
    table_of,
)
from skin_gradio.ui.words import Text, number

COVERAGE, LISTS_FOR, SET_SIZE = Text("figures.coverage"), Text("figures.lists_for"), Text("figures.set_size")
DOUBTED, PHOTOGRAPHS = Text("figures.doubted"), Text("figures.photographs")
SHARE_WITH_INTERVAL = Text("figures.share_with_interval")


def set_coverage(model: ModelFolder) -> str:
    """Return how often the prediction sets held the right diagnosis on test pictures; empty where that is not known."""
    figures = table_of(table_of(model.card, "metrics"), "figures")
    asked = [f"{finite(entry['coverage']):.0%}" for entry in model.card.get("prediction_sets") or []]
    asked = [coverage for coverage in asked if or_dash(figures, f"coverage_at_{coverage}") != "-"]
    if not asked:
        return ""
    rows: list[tuple[Said, ...]] = [
        (ALL_PICTURES, *(or_dash(figures, f"coverage_at_{coverage}") for coverage in asked)),
        *(
            (named(code), *(or_dash(figures, f"class_coverage_at_{coverage}_{code}") for coverage in asked))
            for code in model.codes
        ),
        (SET_SIZE, *(or_dash(figures, f"set_size_at_{coverage}") for coverage in asked)),
    ]
    known = [row for row in rows if set(row[1:]) != {"-"}]
    lists = [LISTS_FOR.format(coverage=number(float(coverage[:-1]) / 100, ".0%")) for coverage in asked]
    return table(f"{COVERAGE} {INTERVALS}", (TEST_PICTURES, *lists), known)


def gate(model: ModelFolder) -> str:
    """Return what share of the test pictures the input gate doubts, by collection and class; empty without a gate."""
    found = [one for one in measured(model.card) if table_of(one, "gate")]
    if not found:
        return ""
    shares = [table_of(one["gate"], "shares") for one in found]
    rows: list[tuple[Said, ...]] = [
        (title, *(_percent(share, key) for share in shares))
        for title, key in ((str(ALL_PICTURES), "all"), *((named(code), code) for code in model.codes))
    ]
    titles = [str(one.get("collection", "?")) for one in found]
    caption = f"{DOUBTED} {_photographs(model.card)}{INTERVALS}"
    return table(caption, (TEST_PICTURES, *titles), [row for row in rows if set(row[1:]) != {"-"}])


def _photographs(card: Mapping[str, Any]) -> str:
    """Return how many photographs of other things the gate doubts, as a sentence; empty where that is not known."""
    unseen = table_of(table_of(card, "gate"), "unseen_photographs")
    try:
        share = int(unseen["refused"]) / int(unseen["pictures"])
    except (*MALFORMED, ZeroDivisionError):
        return ""
    return PHOTOGRAPHS.format(pictures=int(unseen["pictures"]), share=share) + " "


def _percent(shares: Mapping[str, Any], key: str) -> str:
    try:
        value, low, high = (finite(shares[key][part]) for part in ("value", "low", "high"))
    except MALFORMED:
        return "-"
    return SHARE_WITH_INTERVAL.format(value=value, low=low, high=high)
