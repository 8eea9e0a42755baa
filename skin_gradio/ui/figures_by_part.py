"""What model.json says about a model's worth on parts of the test pictures and on other collections, as HTML tables.

What is missing or makes no sense is left out; the rest is shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from skin_gradio.credit import learned
from skin_gradio.models import ModelFolder
from skin_gradio.ui.figure_table import (
    INTERVALS,
    MALFORMED,
    PICTURES,
    Said,
    finite,
    measured,
    or_dash,
    table,
    table_of,
)
from skin_gradio.ui.figures import COLLECTION, FIGURE, HEADLINE, learned_from
from skin_gradio.ui.words import Text, number, told, words

COLUMNS = (
    ("equal_balanced_accuracy", Text("figures.subgroup_columns.equal_balanced_accuracy")),
    ("accuracy", Text("figures.subgroup_columns.accuracy")),
    ("malignant_auroc", Text("figures.subgroup_columns.malignant_auroc")),
)
ATTRIBUTES = {name: Text(f"figures.attributes.{name}") for name in ("sex", "age", "site", "confirmation")}
MALIGNANT, DASH = Text("figures.malignant"), Text("figures.dash")
OF_LESIONS = Text("figures.of_lesions")
AT_POINT = {kind: Text(f"figures.at_point.{kind}") for kind in ("sensitivity", "specificity")}
ELSEWHERE, OCCURRING = Text("figures.elsewhere"), Text("figures.occurring")
WITH_LEARNING = Text("figures.with_learning")
WITHOUT_LEARNING = Text("figures.without_learning")


def subgroups(card: Mapping[str, Any]) -> str:
    """Return the figures of each group of patients and pictures, a table for each attribute; empty without any."""
    tables = []
    for attribute, groups in table_of(table_of(card, "metrics"), "subgroups").items():
        rows = [
            (
                _group(str(group["name"])),
                OF_LESIONS.format(pictures=int(group["pictures"]), lesions=int(group["lesions"])),
                number(int(group["malignant"]), ","),
                *(or_dash(table_of(group, "figures"), key) for key, _ in COLUMNS),
            )
            for group in groups
        ]
        title = str(ATTRIBUTES.get(attribute, attribute))
        head: tuple[Said, ...] = (title, PICTURES, MALIGNANT, *(title for _, title in COLUMNS))
        tables.append(table(DASH.format(title=title), head, rows))
    return "".join(tables)


def _group(name: str) -> str:
    """Return a group's name in the language that is spoken, a stranger's as it is."""
    text = Text(f"figures.groups.{name}")
    return str(text) if text.key in words().texts else name


def elsewhere(model: ModelFolder) -> str:
    """Return the same figures on each collection that the model was measured on; empty with fewer than two."""
    card = model.card
    found = measured(card)
    if len(found) < 2:
        return ""
    points = [
        (f"{kind}_{place}", text.format(point=told(point.name)), COLLECTION)
        for place, point in enumerate(model.operating_points)
        for kind, text in AT_POINT.items()
    ]
    rows: list[tuple[Said, ...]] = [
        (PICTURES, *(_counted(metrics) for metrics in found)),
        (OCCURRING, *(_occurring(metrics) for metrics in found)),
    ]
    for key, title, mix in (*HEADLINE, *points):
        rows.append((f"{title}, {mix}", *(or_dash(metrics["figures"], key) for metrics in found)))
    titles = learned_from(card)
    head: tuple[Said, ...] = (
        FIGURE,
        *(_with_learning(str(metrics.get("collection", "?")), titles) for metrics in found),
    )
    return table(f"{ELSEWHERE} {INTERVALS}", head, rows)


def worst_elsewhere(card: Mapping[str, Any]) -> tuple[str, float, str, float] | None:
    """Return where the AUROC of the malignancy score is lowest, and lower than on the model's own collection.

    That is that collection's title and figure, and the own one's; None where it is lower nowhere, or nobody measured.
    """
    found = []
    for metrics in measured(card):
        try:
            value = finite(metrics["figures"]["malignant_auroc"]["value"])
        except MALFORMED:
            return None
        found.append((str(metrics.get("collection", "?")), value))
    if not found:
        return None
    worst = min(found, key=lambda one: one[1])
    return (*worst, *found[0]) if worst[1] < found[0][1] else None


def _occurring(metrics: Mapping[str, Any]) -> str:
    counts = table_of(metrics, "counts")
    return ", ".join(str(code) for code, count in counts.items() if count) or "-"


def _counted(metrics: Mapping[str, Any]) -> str:
    pictures = metrics.get("pictures")
    return number(pictures, ",") if isinstance(pictures, int) else "-"


def _with_learning(title: str, titles: Sequence[str]) -> str:
    if not titles:
        return title
    return (WITH_LEARNING if learned(title, titles) else WITHOUT_LEARNING).format(title=title)
