"""What model.json says about a model's worth on its test pictures, as HTML tables.

What is missing or makes no sense is left out; the rest is shown.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from skin_gradio.models import ModelFolder
from skin_gradio.ui.figure_table import (
    INTERVALS,
    MALFORMED,
    PICTURES,
    Said,
    finite,
    named,
    or_dash,
    table,
    table_of,
)
from skin_gradio.ui.words import Text, number, told

EQUAL, COLLECTION = Text("figures.equal"), Text("figures.collection")

# model.json's keys, with the words and the mix of diagnoses that belong to them
HEADLINE = (
    ("equal_balanced_accuracy", Text("figures.measures.balanced_accuracy"), EQUAL),
    ("equal_macro_auroc", Text("figures.measures.equal_macro_auroc"), EQUAL),
    ("malignant_auroc", Text("figures.measures.malignant_auroc"), COLLECTION),
    ("accuracy", Text("figures.measures.accuracy"), COLLECTION),
    ("expected_calibration_error", Text("figures.measures.expected_calibration_error"), COLLECTION),
)
MORE = (
    ("balanced_accuracy", Text("figures.measures.balanced_accuracy"), COLLECTION),
    ("macro_average_precision", Text("figures.measures.macro_average_precision"), COLLECTION),
    ("malignant_average_precision", Text("figures.measures.malignant_average_precision"), COLLECTION),
    ("sensitivity_at_specificity_90%", Text("figures.measures.sensitivity_at_specificity_90"), COLLECTION),
    ("specificity_at_sensitivity_90%", Text("figures.measures.specificity_at_sensitivity_90"), COLLECTION),
    ("brier_score", Text("figures.measures.brier_score"), COLLECTION),
)
CLASS_COLUMNS = (
    ("equal_recall_{code}", Text("figures.class_columns.equal_recall")),
    ("recall_{code}", Text("figures.class_columns.recall")),
    ("precision_{code}", Text("figures.class_columns.precision")),
    ("auroc_{code}", Text("figures.class_columns.auroc")),
)
FIGURE, MIX, VALUE = Text("figures.figure"), Text("figures.mix"), Text("figures.value")
DIAGNOSIS = Text("figures.diagnosis")
TEST_SPLIT, TEST_SPLIT_OF = Text("figures.test_split"), Text("figures.test_split_of")
PICTURES_OF_LESIONS = Text("figures.pictures_of_lesions")
NOT_TRAINED_ON, IN_COPIES = Text("figures.not_trained_on"), Text("figures.in_copies")
POINTS = Text("figures.points")
POINT_COLUMNS = tuple(
    Text(f"figures.point_columns.{name}") for name in ("name", "threshold", "validation", "sensitivity", "specificity")
)
VIEWS, ONE_VIEW, EIGHT_VIEWS = Text("figures.views"), Text("figures.one_view"), Text("figures.eight_views")
BACC, PARAMETERS = Text("figures.bacc"), Text("figures.parameters")


def learned_from(card: Mapping[str, Any]) -> list[str]:
    """Return the titles of the collections that a model learned from; none where its model.json does not say."""
    training = table_of(card, "training")
    titles = training.get("learned_from") or training.get("collections")
    return [str(title) for title in titles] if isinstance(titles, list) else []


def measured_on(card: Mapping[str, Any]) -> str:
    """Return what the test figures were measured on, as a sentence; as much of it as model.json says."""
    metrics = table_of(card, "metrics")
    collection = metrics.get("collection")
    parts = [TEST_SPLIT_OF.format(collection=collection) if collection else str(TEST_SPLIT)]
    with contextlib.suppress(*MALFORMED):
        parts.append(PICTURES_OF_LESIONS.format(pictures=int(metrics["pictures"]), lesions=int(metrics["lesions"])))
    parts.append(str(NOT_TRAINED_ON))
    if metrics.get("picture_size"):
        parts.append(IN_COPIES.format(size=metrics["picture_size"]))
    return f"{''.join(parts)}. {INTERVALS}"


def headline(card: Mapping[str, Any], rows: Sequence[tuple[str, Said, Said]] = HEADLINE) -> str:
    """Return test figures with their intervals and the mix of diagnoses that each holds for; empty without any."""
    figures = table_of(table_of(card, "metrics"), "figures")
    found = [(title, mix, or_dash(figures, key)) for key, title, mix in rows]
    kept = [row for row in found if row[-1] != "-"]
    return table(measured_on(card), (FIGURE, MIX, VALUE), kept) if kept else ""


def classes(model: ModelFolder) -> str:
    """Return the figures of each diagnosis; empty where model.json has none."""
    metrics = table_of(model.card, "metrics")
    figures, counts = table_of(metrics, "figures"), table_of(metrics, "counts")
    rows = []
    for code in model.codes:
        cells = [or_dash(figures, key.format(code=code)) for key, _ in CLASS_COLUMNS]
        rows.append((named(code), _count(counts, code), *cells))
    if all(set(row[2:]) == {"-"} for row in rows):
        return ""
    return table(measured_on(model.card), (DIAGNOSIS, PICTURES, *(title for _, title in CLASS_COLUMNS)), rows)


def _count(counts: Mapping[str, Any], code: str) -> str:
    count = counts.get(code)
    return number(count, ",") if isinstance(count, int) else "-"


def operating_points(model: ModelFolder) -> str:
    """Return the operating points of the malignancy score: the threshold, and what it gave."""
    figures = table_of(table_of(model.card, "metrics"), "figures")
    rows = [
        (
            told(point.name),
            number(point.threshold, ".4f"),
            f"{number(point.sensitivity, '.3f')} / {number(point.specificity, '.3f')}",
            or_dash(figures, f"sensitivity_{place}"),
            or_dash(figures, f"specificity_{place}"),
        )
        for place, point in enumerate(model.operating_points)
    ]
    return table(POINTS, POINT_COLUMNS, rows)


def views(card: Mapping[str, Any]) -> str:
    """Return the figures of eight views together beside those of one; empty where they were not measured."""
    one, eight = (table_of(table_of(card, key), "figures") for key in ("metrics", "metrics_with_views"))
    rows = [
        (title, mix, or_dash(one, key), or_dash(eight, key)) for key, title, mix in (*HEADLINE, *MORE) if key in eight
    ]
    if not rows:
        return ""
    return table(f"{VIEWS} {INTERVALS}", (FIGURE, MIX, ONE_VIEW, EIGHT_VIEWS), rows)


def headline_figure(card: Mapping[str, Any]) -> str:
    """Return a model's balanced accuracy for a menu; empty where it was not measured."""
    try:
        value = finite(card["metrics"]["figures"]["equal_balanced_accuracy"]["value"])
    except MALFORMED:
        return ""
    return BACC.format(value=value)


def size(card: Mapping[str, Any]) -> str:
    """Return how many parameters a model has, for a menu; empty where its model.json does not say."""
    parameters = card.get("parameters")
    return PARAMETERS.format(millions=parameters / 1e6) if isinstance(parameters, int) else ""
