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
from skin_gradio.ui.words import Text, number, told

Said = Text | str
MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a table that is not what it should be raises."""

EQUAL, COLLECTION = Text("figures.equal"), Text("figures.collection")
INTERVALS = Text("figures.intervals")

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
SUBGROUP_COLUMNS = (
    ("equal_balanced_accuracy", Text("figures.subgroup_columns.equal_balanced_accuracy")),
    ("accuracy", Text("figures.subgroup_columns.accuracy")),
    ("malignant_auroc", Text("figures.subgroup_columns.malignant_auroc")),
)
ATTRIBUTES = {name: Text(f"figures.attributes.{name}") for name in ("sex", "age", "site", "confirmation")}
FIGURE, MIX, VALUE = Text("figures.figure"), Text("figures.mix"), Text("figures.value")
PICTURES, MALIGNANT, DASH = Text("figures.pictures"), Text("figures.malignant"), Text("figures.dash")
ALL_PICTURES, TEST_PICTURES = Text("figures.all_pictures"), Text("figures.test_pictures")
TEST_SPLIT, TEST_SPLIT_OF = Text("figures.test_split"), Text("figures.test_split_of")
PICTURES_OF_LESIONS, OF_LESIONS = Text("figures.pictures_of_lesions"), Text("figures.of_lesions")
NOT_TRAINED_ON, IN_COPIES = Text("figures.not_trained_on"), Text("figures.in_copies")
WITH_INTERVAL, SHARE_WITH_INTERVAL = Text("figures.with_interval"), Text("figures.share_with_interval")
POINTS = Text("figures.points")
POINT_COLUMNS = tuple(
    Text(f"figures.point_columns.{name}") for name in ("name", "threshold", "validation", "sensitivity", "specificity")
)
AT_POINT = {kind: Text(f"figures.at_point.{kind}") for kind in ("sensitivity", "specificity")}
COVERAGE, LISTS_FOR, SET_SIZE = Text("figures.coverage"), Text("figures.lists_for"), Text("figures.set_size")
DOUBTED, PHOTOGRAPHS = Text("figures.doubted"), Text("figures.photographs")
VIEWS, ONE_VIEW, EIGHT_VIEWS = Text("figures.views"), Text("figures.one_view"), Text("figures.eight_views")
ELSEWHERE, OCCURRING = Text("figures.elsewhere"), Text("figures.occurring")
BACC, PARAMETERS = Text("figures.bacc"), Text("figures.parameters")
WITH_LEARNING = Text("figures.with_learning")
WITHOUT_LEARNING = Text("figures.without_learning")


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
    value, low, high = (_finite(figure[key]) for key in ("value", "low", "high"))
    return WITH_INTERVAL.format(value=value, low=low, high=high)


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
    figures = _table_of(_table_of(card, "metrics"), "figures")
    found = [(title, mix, _or_dash(figures, key)) for key, title, mix in rows]
    kept = [row for row in found if row[-1] != "-"]
    return table(measured_on(card), (FIGURE, MIX, VALUE), kept) if kept else ""


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
            told(point.name),
            number(point.threshold, ".4f"),
            f"{number(point.sensitivity, '.3f')} / {number(point.specificity, '.3f')}",
            _or_dash(figures, f"sensitivity_{place}"),
            _or_dash(figures, f"specificity_{place}"),
        )
        for place, point in enumerate(model.operating_points)
    ]
    return table(POINTS, POINT_COLUMNS, rows)


def set_coverage(model: ModelFolder) -> str:
    """Return how often the prediction sets held the right diagnosis on test pictures; empty where that is not known."""
    figures = _table_of(_table_of(model.card, "metrics"), "figures")
    asked = [f"{_finite(entry['coverage']):.0%}" for entry in model.card.get("prediction_sets") or []]
    asked = [coverage for coverage in asked if _or_dash(figures, f"coverage_at_{coverage}") != "-"]
    if not asked:
        return ""
    rows: list[tuple[Said, ...]] = [
        (ALL_PICTURES, *(_or_dash(figures, f"coverage_at_{coverage}") for coverage in asked)),
        *(
            (_named(code), *(_or_dash(figures, f"class_coverage_at_{coverage}_{code}") for coverage in asked))
            for code in model.codes
        ),
        (SET_SIZE, *(_or_dash(figures, f"set_size_at_{coverage}") for coverage in asked)),
    ]
    known = [row for row in rows if set(row[1:]) != {"-"}]
    lists = [LISTS_FOR.format(coverage=number(float(coverage[:-1]) / 100, ".0%")) for coverage in asked]
    return table(f"{COVERAGE} {INTERVALS}", (TEST_PICTURES, *lists), known)


def gate(model: ModelFolder) -> str:
    """Return what share of the test pictures the input gate doubts, by collection and class; empty without a gate."""
    measured = [one for one in _measured(model.card) if _table_of(one, "gate")]
    if not measured:
        return ""
    shares = [_table_of(one["gate"], "shares") for one in measured]
    rows: list[tuple[Said, ...]] = [
        (title, *(_percent(share, key) for share in shares))
        for title, key in ((str(ALL_PICTURES), "all"), *((_named(code), code) for code in model.codes))
    ]
    titles = [str(one.get("collection", "?")) for one in measured]
    caption = f"{DOUBTED} {_photographs(model.card)}{INTERVALS}"
    return table(caption, (TEST_PICTURES, *titles), [row for row in rows if set(row[1:]) != {"-"}])


def _photographs(card: Mapping[str, Any]) -> str:
    """Return how many photographs of other things the gate doubts, as a sentence; empty where that is not known."""
    unseen = _table_of(_table_of(card, "gate"), "unseen_photographs")
    try:
        share = int(unseen["refused"]) / int(unseen["pictures"])
    except (*MALFORMED, ZeroDivisionError):
        return ""
    return PHOTOGRAPHS.format(pictures=int(unseen["pictures"]), share=share) + " "


def _percent(shares: Mapping[str, Any], key: str) -> str:
    try:
        value, low, high = (_finite(shares[key][part]) for part in ("value", "low", "high"))
    except MALFORMED:
        return "-"
    return SHARE_WITH_INTERVAL.format(value=value, low=low, high=high)


def views(card: Mapping[str, Any]) -> str:
    """Return the figures of eight views together beside those of one; empty where they were not measured."""
    one, eight = (_table_of(_table_of(card, key), "figures") for key in ("metrics", "metrics_with_views"))
    rows = [
        (title, mix, _or_dash(one, key), _or_dash(eight, key)) for key, title, mix in (*HEADLINE, *MORE) if key in eight
    ]
    if not rows:
        return ""
    return table(f"{VIEWS} {INTERVALS}", (FIGURE, MIX, ONE_VIEW, EIGHT_VIEWS), rows)


def subgroups(card: Mapping[str, Any]) -> str:
    """Return the figures of each group of patients and pictures, a table for each attribute; empty without any."""
    tables = []
    for attribute, groups in _table_of(_table_of(card, "metrics"), "subgroups").items():
        rows = [
            (
                told(str(group["name"])),
                OF_LESIONS.format(pictures=int(group["pictures"]), lesions=int(group["lesions"])),
                number(int(group["malignant"]), ","),
                *(_or_dash(_table_of(group, "figures"), key) for key, _ in SUBGROUP_COLUMNS),
            )
            for group in groups
        ]
        title = str(ATTRIBUTES.get(attribute, attribute))
        head: tuple[Said, ...] = (title, PICTURES, MALIGNANT, *(title for _, title in SUBGROUP_COLUMNS))
        tables.append(table(DASH.format(title=title), head, rows))
    return "".join(tables)


def elsewhere(model: ModelFolder) -> str:
    """Return the same figures on each collection that the model was measured on; empty with fewer than two."""
    card = model.card
    measured = _measured(card)
    if len(measured) < 2:
        return ""
    points = [
        (f"{kind}_{place}", text.format(point=told(point.name)), COLLECTION)
        for place, point in enumerate(model.operating_points)
        for kind, text in AT_POINT.items()
    ]
    rows: list[tuple[Said, ...]] = [
        (PICTURES, *(str(metrics.get("pictures", "-")) for metrics in measured)),
        (OCCURRING, *(_occurring(metrics) for metrics in measured)),
    ]
    for key, title, mix in (*HEADLINE, *points):
        rows.append((f"{title}, {mix}", *(_or_dash(metrics["figures"], key) for metrics in measured)))
    titles = learned_from(card)
    head: tuple[Said, ...] = (
        FIGURE,
        *(_with_learning(str(metrics.get("collection", "?")), titles) for metrics in measured),
    )
    return table(f"{ELSEWHERE} {INTERVALS}", head, rows)


def _measured(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was measured on each collection, the model's own first."""
    found = [_table_of(card, "metrics"), *_table_of(card, "elsewhere").values()]
    return [metrics for metrics in found if _table_of(metrics, "figures")]


def _named(code: str) -> str:
    return f"{told(lesions.BY_CODE[code].name)} ({code})"


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
    return BACC.format(value=value)


def size(card: Mapping[str, Any]) -> str:
    """Return how many parameters a model has, for a menu; empty where its model.json does not say."""
    parameters = card.get("parameters")
    return PARAMETERS.format(millions=parameters / 1e6) if isinstance(parameters, int) else ""
