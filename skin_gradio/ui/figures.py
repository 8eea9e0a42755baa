"""What model.json says about a model's worth, as HTML tables: every number with its interval, every text escaped.

A model.json may come from a stranger. What is missing or makes no sense is left out; the rest is shown.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from skin_gradio import lesions
from skin_gradio.models import ModelFolder

MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a table that is not what it should be raises."""

EQUAL, COLLECTION = "each equally common", "as in the collection"
INTERVALS = "Intervals: 95%, bootstrap over lesions."

# model.json's keys, with the words and the mix of diagnoses that belong to them
HEADLINE = (
    ("equal_balanced_accuracy", "Balanced accuracy (mean recall)", EQUAL),
    ("equal_macro_auroc", "Macro AUROC", EQUAL),
    ("malignant_auroc", "AUROC of the malignancy score", COLLECTION),
    ("accuracy", "Accuracy", COLLECTION),
    ("expected_calibration_error", "Expected calibration error", COLLECTION),
)
MORE = (
    ("balanced_accuracy", "Balanced accuracy (mean recall)", COLLECTION),
    ("macro_average_precision", "Macro average precision", COLLECTION),
    ("malignant_average_precision", "Average precision of the malignancy score", COLLECTION),
    ("sensitivity_at_specificity_90%", "Sensitivity at 90% specificity", COLLECTION),
    ("specificity_at_sensitivity_90%", "Specificity at 90% sensitivity", COLLECTION),
    ("brier_score", "Brier score", COLLECTION),
)
CLASS_COLUMNS = (
    ("equal_recall_{code}", "Recall, each equally common"),
    ("recall_{code}", "Recall, as in the collection"),
    ("precision_{code}", "Precision, as in the collection"),
    ("auroc_{code}", "AUROC"),
)
SUBGROUP_COLUMNS = (
    ("equal_balanced_accuracy", "Balanced accuracy, each equally common"),
    ("accuracy", "Accuracy, as in the collection"),
    ("malignant_auroc", "AUROC of the malignancy score"),
)
ATTRIBUTES = {
    "sex": "Sex",
    "age": "Age",
    "site": "Place on the body",
    "confirmation": "How the diagnosis was made",
}
WITH_LEARNING = "{title}, other pictures of which it learned from"
WITHOUT_LEARNING = "{title}, of which it learned nothing"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts; the first column names the rows. On a phone every cell carries its heading."""
    headings = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td data-label="{escape(title)}">{escape(cell)}</td>'
            for title, cell in zip(head[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="figures"><caption>{escape(caption)}</caption><thead><tr>{headings}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def with_interval(figure: Mapping[str, Any]) -> str:
    """Return a figure of model.json as `0.768 (0.723 to 0.807)`. Raises one of MALFORMED where it is none."""
    value, low, high = (_finite(figure[key]) for key in ("value", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a figure must be a number. Received: {value!r}")
    return number


def _or_dash(figures: Mapping[str, Any], key: str) -> str:
    try:
        return with_interval(figures[key])
    except MALFORMED:
        return "-"


def _table_of(mapping: Any, key: str) -> Mapping[str, Any]:
    found = mapping.get(key) if isinstance(mapping, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def learned_from(card: Mapping[str, Any]) -> list[str]:
    """Return the titles of the collections that a model learned from; none where its model.json does not say."""
    titles = _table_of(card, "training").get("collections")
    return [str(title) for title in titles] if isinstance(titles, list) else []


def measured_on(card: Mapping[str, Any]) -> str:
    """Return what the test figures were measured on, as a sentence; as much of it as model.json says."""
    metrics = _table_of(card, "metrics")
    parts = [f"Test split of {metrics['collection']}" if metrics.get("collection") else "Test split"]
    with contextlib.suppress(*MALFORMED):
        parts.append(f": {int(metrics['pictures']):,} pictures of {int(metrics['lesions']):,} lesions")
    parts.append(", none of which was trained on")
    if metrics.get("picture_size"):
        parts.append(f", in copies of {metrics['picture_size']} pixels")
    return f"{''.join(parts)}. {INTERVALS}"


def headline(card: Mapping[str, Any], rows: Sequence[tuple[str, str, str]] = HEADLINE) -> str:
    """Return test figures with their intervals and the mix of diagnoses that each holds for; empty without any."""
    figures = _table_of(_table_of(card, "metrics"), "figures")
    found = [(title, mix, _or_dash(figures, key)) for key, title, mix in rows]
    kept = [row for row in found if row[-1] != "-"]
    return table(measured_on(card), ("Figure", "Mix of diagnoses", "Value (95% interval)"), kept) if kept else ""


def classes(model: ModelFolder) -> str:
    """Return the figures of each diagnosis; empty where model.json has none."""
    metrics = _table_of(model.card, "metrics")
    figures, counts = _table_of(metrics, "figures"), _table_of(metrics, "counts")
    rows = []
    for code in model.codes:
        cells = [_or_dash(figures, key.format(code=code)) for key, _ in CLASS_COLUMNS]
        rows.append((_named(code), str(counts.get(code, "-")), *cells))
    if all(set(row[2:]) == {"-"} for row in rows):
        return ""
    return table(measured_on(model.card), ("Diagnosis", "Pictures", *(t for _, t in CLASS_COLUMNS)), rows)


def operating_points(model: ModelFolder) -> str:
    """Return the operating points of the malignancy score: the threshold, and what it gave."""
    figures = _table_of(_table_of(model.card, "metrics"), "figures")
    rows = [
        (
            point.name,
            f"{point.threshold:.4f}",
            f"{point.sensitivity:.3f} / {point.specificity:.3f}",
            _or_dash(figures, f"sensitivity_{number}"),
            _or_dash(figures, f"specificity_{number}"),
        )
        for number, point in enumerate(model.operating_points)
    ]
    head = ("Chosen for", "Threshold", "Validation sensitivity / specificity", "Test sensitivity", "Test specificity")
    return table("Thresholds on the malignancy score. They were chosen on validation pictures.", head, rows)


def set_coverage(model: ModelFolder) -> str:
    """Return how often the prediction sets held the right diagnosis on test pictures; empty where that is not known."""
    figures = _table_of(_table_of(model.card, "metrics"), "figures")
    asked = [f"{_finite(entry['coverage']):.0%}" for entry in model.card.get("prediction_sets") or []]
    asked = [coverage for coverage in asked if _or_dash(figures, f"coverage_at_{coverage}") != "-"]
    if not asked:
        return ""
    rows = [
        ("All pictures", *(_or_dash(figures, f"coverage_at_{coverage}") for coverage in asked)),
        *(
            (_named(code), *(_or_dash(figures, f"class_coverage_at_{coverage}_{code}") for coverage in asked))
            for code in model.codes
        ),
        ("Diagnoses in a list, mean", *(_or_dash(figures, f"set_size_at_{coverage}") for coverage in asked)),
    ]
    known = [row for row in rows if set(row[1:]) != {"-"}]
    caption = f"How often the right diagnosis is in the list of those that a picture may well have. {INTERVALS}"
    return table(caption, ("Test pictures", *(f"Lists for {coverage}" for coverage in asked)), known)


def gate(model: ModelFolder) -> str:
    """Return what share of the test pictures the input gate doubts, by collection and class; empty without a gate."""
    measured = [one for one in _measured(model.card) if _table_of(one, "gate")]
    if not measured:
        return ""
    shares = [_table_of(one["gate"], "shares") for one in measured]
    rows = [
        (title, *(_percent(share, key) for share in shares))
        for title, key in (("All pictures", "all"), *((_named(code), code) for code in model.codes))
    ]
    titles = [str(one.get("collection", "?")) for one in measured]
    caption = f"Test pictures that the page would doubt. {_photographs(model.card)}{INTERVALS}"
    return table(caption, ("Test pictures", *titles), [row for row in rows if set(row[1:]) != {"-"}])


def _photographs(card: Mapping[str, Any]) -> str:
    """Return how many photographs of other things the gate doubts, as a sentence; empty where that is not known."""
    unseen = _table_of(_table_of(card, "gate"), "unseen_photographs")
    try:
        share = int(unseen["refused"]) / int(unseen["pictures"])
    except (*MALFORMED, ZeroDivisionError):
        return ""
    return f"Of {int(unseen['pictures']):,} photographs of everyday things that it had not seen it doubts {share:.1%}. "


def _percent(shares: Mapping[str, Any], key: str) -> str:
    try:
        value, low, high = (_finite(shares[key][part]) for part in ("value", "low", "high"))
    except MALFORMED:
        return "-"
    return f"{value:.1%} ({low:.1%} to {high:.1%})"


def views(card: Mapping[str, Any]) -> str:
    """Return the figures of eight views together beside those of one; empty where they were not measured."""
    one, eight = (_table_of(_table_of(card, key), "figures") for key in ("metrics", "metrics_with_views"))
    rows = [
        (title, mix, _or_dash(one, key), _or_dash(eight, key)) for key, title, mix in (*HEADLINE, *MORE) if key in eight
    ]
    if not rows:
        return ""
    caption = f"Eight turned and mirrored views of a picture, averaged, beside one. {INTERVALS}"
    return table(caption, ("Figure", "Mix of diagnoses", "One view", "Eight views"), rows)


def subgroups(card: Mapping[str, Any]) -> str:
    """Return the figures of each group of patients and pictures, a table for each attribute; empty without any."""
    tables = []
    for attribute, groups in _table_of(_table_of(card, "metrics"), "subgroups").items():
        rows = [
            (
                str(group["name"]),
                f"{int(group['pictures']):,} of {int(group['lesions']):,} lesions",
                f"{int(group['malignant']):,}",
                *(_or_dash(_table_of(group, "figures"), key) for key, _ in SUBGROUP_COLUMNS),
            )
            for group in groups
        ]
        title = ATTRIBUTES.get(attribute, str(attribute))
        head = (title, "Pictures", "Malignant", *(title for _, title in SUBGROUP_COLUMNS))
        tables.append(table(f"{title}. A dash: too few pictures for the figure.", head, rows))
    return "".join(tables)


def elsewhere(model: ModelFolder) -> str:
    """Return the same figures on each collection that the model was measured on; empty with fewer than two."""
    card = model.card
    measured = _measured(card)
    if len(measured) < 2:
        return ""
    points = [
        (f"{kind}_{number}", f"{kind.capitalize()} at “{point.name}”", COLLECTION)
        for number, point in enumerate(model.operating_points)
        for kind in ("sensitivity", "specificity")
    ]
    rows = [
        ("Pictures", *(str(metrics.get("pictures", "-")) for metrics in measured)),
        ("Diagnoses that occur", *(_occurring(metrics) for metrics in measured)),
    ]
    for key, title, mix in (*HEADLINE, *points):
        rows.append((f"{title}, {mix}", *(_or_dash(metrics["figures"], key) for metrics in measured)))
    titles = learned_from(card)
    head = ("Figure", *(_with_learning(str(metrics.get("collection", "?")), titles) for metrics in measured))
    return table(
        "The same model on test pictures of several collections. A mean is over the diagnoses that occur in one; the"
        f" model does not know which do. {INTERVALS}",
        head,
        rows,
    )


def _measured(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was measured on each collection, the model's own first."""
    found = [_table_of(card, "metrics"), *_table_of(card, "elsewhere").values()]
    return [metrics for metrics in found if _table_of(metrics, "figures")]


def _named(code: str) -> str:
    return f"{lesions.BY_CODE[code].name} ({code})"


def _occurring(metrics: Mapping[str, Any]) -> str:
    counts = _table_of(metrics, "counts")
    return ", ".join(str(code) for code, count in counts.items() if count) or "-"


def _with_learning(title: str, titles: Sequence[str]) -> str:
    if not titles:
        return title
    return (WITH_LEARNING if title in titles else WITHOUT_LEARNING).format(title=title)


def headline_figure(card: Mapping[str, Any]) -> str:
    """Return a model's balanced accuracy for a menu; empty where it was not measured."""
    try:
        value = _finite(card["metrics"]["figures"]["equal_balanced_accuracy"]["value"])
    except MALFORMED:
        return ""
    return f"balanced accuracy {value:.3f}"


def size(card: Mapping[str, Any]) -> str:
    """Return how many parameters a model has, for a menu; empty where its model.json does not say."""
    parameters = card.get("parameters")
    return f"{parameters / 1e6:.1f} million parameters" if isinstance(parameters, int) else ""
