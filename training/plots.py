"""Figures of the report, drawn with matplotlib from what `training.measure` and `training.curves` return.

Every function returns a matplotlib Figure; nothing here touches pyplot's global state. Colours are those of Okabe & Ito
(Color Universal Design, 2008), which most people without full colour vision tell apart.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skin_gradio import lesions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MAIN, _SECOND, _GREY = "#0072B2", "#D55E00", "#767676"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "svg.hashsalt": "report",
}
PRIOR_NAMES = {"equal": "each class equally common", "collection": "as common as in the training collection"}
SUBGROUP_NAMES = {"sex": "Sex", "age": "Age, years", "site": "Body site", "confirmation": "Confirmed by"}


def svg(figure: "Figure") -> str:
    """Return a figure as an SVG document, the same for the same figure."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), io.StringIO() as text:
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
        return text.getvalue()


def _panels(width: float, height: float, columns: int = 1, **options: Any) -> tuple["Figure", list["Axes"]]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    return figure, list(axes)


def _legend(axes: "Axes", **options: Any) -> None:
    axes.legend(frameon=False, fontsize=9, **options)


def roc(measured: dict[str, Any], curves: dict[str, Any], points: Sequence[str] = ()) -> "Figure":
    """Return the ROC curves: malignancy with its 95 % band and the operating points `points`, and class by class."""
    figure, (left, right) = _panels(10.5, 4.8, 2)
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
        axes.set(xlabel="1 - specificity (false alarms)", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_aspect("equal")
    figures = measured["figures"]
    if band := curves.get("band"):
        left.fill_between(
            band["false_positive_rate"],
            band["low"],
            band["high"],
            color=_MAIN,
            alpha=0.18,
            linewidth=0,
            label="95 % band",
        )
        curve = curves["roc"]["malignancy"]
        area = figures["malignant_auroc"]["value"]
        left.plot(*curve.values(), color=_MAIN, linewidth=2, label=f"Malignancy score, AUROC {area:.3f}")
        for number, name in enumerate(points):
            if f"sensitivity_{number}" in figures and f"specificity_{number}" in figures:
                place = 1 - figures[f"specificity_{number}"]["value"], figures[f"sensitivity_{number}"]["value"]
                shape = "os^D"[number % 4]
                left.plot(*place, shape, color=_SECOND, markersize=8, label=f"Operating point “{name}”")
        _legend(left, loc="lower right")
    else:
        _note(left, "needs malignant and benign pictures")
    left.set_title("Malignant against benign")
    _class_curves(right, measured, curves["roc"], "auroc", "lower right")
    right.set_title("Each class against all others")
    return figure


def precision_recall(measured: dict[str, Any], curves: dict[str, Any]) -> "Figure":
    """Return the precision-recall curves: malignancy with its baseline, and class by class."""
    figure, (left, right) = _panels(10.5, 4.8, 2)
    for axes in (left, right):
        axes.set(xlabel="Recall (sensitivity)", ylabel="Precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.set_aspect("equal")
    if curve := curves["precision_recall"].get("malignancy"):
        malignant = lesions.malignant_mask(measured["classes"])
        counts = [measured["counts"][code] for code in measured["classes"]]
        share = sum(n for n, bad in zip(counts, malignant, strict=True) if bad) / sum(counts)
        area = measured["figures"]["malignant_average_precision"]["value"]
        left.plot(*curve.values(), color=_MAIN, linewidth=2, label=f"Malignancy score, average precision {area:.3f}")
        left.axhline(share, color=_GREY, linestyle=":", linewidth=1, label=f"Any score that tells nothing, {share:.3f}")
        _legend(left, loc="lower left")
    else:
        _note(left, "needs malignant and benign pictures")
    left.set_title("Malignant against benign")
    _class_curves(right, measured, curves["precision_recall"], "average_precision", "lower left")
    right.set_title("Each class against all others")
    return figure


def _note(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", color=_GREY, backgroundcolor="white")


def _class_curves(axes: "Axes", measured: dict[str, Any], curves: dict[str, Any], figure: str, corner: str) -> None:
    for place, code in enumerate(measured["classes"]):
        if code in curves:
            value = measured["figures"][f"{figure}_{code}"]["value"]
            axes.plot(
                *curves[code].values(),
                color=COLOURS[place % len(COLOURS)],
                linestyle=_DASHES[place % len(_DASHES)],
                linewidth=1.6,
                label=f"{code} {value:.3f}",
            )
    if axes.get_legend_handles_labels()[1]:
        title = {"auroc": "Class, AUROC", "average_precision": "Class, average precision"}[figure]
        _legend(axes, loc=corner, title=title, alignment="left")
    else:
        _note(axes, "needs more than one class")


def reliability(measured: dict[str, Any]) -> "Figure":
    """Return the reliability diagrams of the top answer and the malignancy score, above the pictures in each bin."""
    figure, axes = _panels(10.5, 5.4, 2)
    titles = {
        "top": ("Probability of the top answer", "Share that was right"),
        "malignant": ("Malignancy score", "Share that was malignant"),
    }
    for main, (name, (x_label, y_label)) in zip(axes, titles.items(), strict=True):
        bins = measured["reliability"][name]
        width = 1 / (15 if name == "top" else 10)
        confidence = [entry["confidence"] for entry in bins]
        share = np.array([entry["share"] for entry in bins])
        spread = np.abs(np.array([[entry["low"], entry["high"]] for entry in bins]).T - share)
        main.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1, label="Perfect calibration")
        main.errorbar(
            confidence, share, yerr=spread, color=_MAIN, marker="o", markersize=5, linewidth=1.5, capsize=2,
            label="Measured, 95 % interval",
        )  # fmt: skip
        main.set(ylabel=y_label, xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
        main.tick_params(labelbottom=False)
        _legend(main, loc="lower right")
        main.set_title(x_label)
        below = main.inset_axes((0, -0.3, 1, 0.25), sharex=main)
        left_ends = [int(min(value, 1 - 1e-9) / width) * width for value in confidence]
        below.bar(left_ends, [entry["count"] for entry in bins], width=width * 0.92, align="edge", color="#9ab8cc")
        below.set(xlabel=f"{x_label} (stated)", ylabel="Pictures")
        below.spines[["top", "right"]].set_visible(False)
    return figure


def confusion(measured: dict[str, Any]) -> "Figure":
    """Return the confusion matrices at both priors: counts, coloured by their share of the row."""
    codes = measured["classes"]
    side = max(3.6, 0.62 * len(codes) + 0.9)
    figure, axes = _panels(2 * side + 1.2, side + 0.6, 2)
    for one, (prior, name) in zip(axes, PRIOR_NAMES.items(), strict=True):
        counts = np.array(measured["confusion_matrix"][prior])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        one.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            if counts[row].sum():
                text = f"{counts[row, column]}\n{shares[row, column]:.0%}" if counts[row, column] else "0"
                colour = "white" if shares[row, column] > 0.55 else "#222222"
                one.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
            elif column == len(codes) // 2:
                one.text(column, row, "no pictures", ha="center", va="center", fontsize=8, color=_GREY)
        one.set_xticks(range(len(codes)), codes, rotation=45 if len(codes) > 3 else 0)
        one.set_yticks(range(len(codes)), [f"{code} ({n})" for code, n in zip(codes, counts.sum(axis=1), strict=True)])
        one.set(xlabel="Answer", ylabel="Truth (pictures)")
        one.set_title(f"Priors: {name}", fontsize=10)
        one.spines[:].set_visible(False)
        one.tick_params(length=0)
    return figure


def subgroups(measured: dict[str, Any]) -> "Figure | None":
    """Return balanced accuracy and malignant AUROC by subgroup with intervals; None where no group has figures."""
    rows: list[tuple[str, dict[str, Any] | None]] = []
    for column, groups in measured["subgroups"].items():
        if known := [group for group in groups if group["figures"]]:
            rows += [
                (SUBGROUP_NAMES[column], None),
                *((f"{group['name']} ({group['pictures']})", group) for group in known),
            ]
    if not rows:
        return None
    figure, axes = _panels(10.5, 0.27 * len(rows) + 1.2, 2, sharey=True)
    panels = (
        ("equal_balanced_accuracy", "Balanced accuracy, equal priors", _MAIN),
        ("malignant_auroc", "Malignant AUROC", _SECOND),
    )
    for one, (key, title, colour) in zip(axes, panels, strict=True):
        if key in measured["figures"]:
            one.axvline(measured["figures"][key]["value"], color=_GREY, linestyle=":", linewidth=1.2)
        for place, (_, group) in enumerate(rows):
            if group and (entry := group["figures"].get(key)):
                one.plot([entry["low"], entry["high"]], [place, place], color=colour, linewidth=1.6)
                one.plot(entry["value"], place, "o", color=colour, markersize=5)
        one.set(xlabel=f"{title} (dotted: all pictures)", ylim=(len(rows) - 0.4, -0.6))
        one.set_xlim(right=1.01)
        one.grid(axis="x", color="#e4e4e4", linewidth=0.8)
        one.set_axisbelow(True)
    axes[0].set_yticks(range(len(rows)), [text for text, _ in rows])
    for label, (_, group) in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if group else "bold")
    for one in axes:
        one.tick_params(axis="y", length=0)
    return figure


def learning_curves(history: Sequence[dict[str, Any]], best_epoch: int | None = None) -> "Figure | None":
    """Return loss and validation scores by epoch, with the picture size of each stage; None without a history."""
    epochs = [entry["epoch"] for entry in history if "epoch" in entry]
    if len(epochs) != len(history) or not epochs:
        return None
    figure, (left, right) = _panels(10.5, 4.2, 2)
    lines = (
        (left, "loss", "Training loss", _MAIN, "-"),
        (left, "validation_loss", "Validation loss", _SECOND, "--"),
        (right, "validation_balanced_accuracy", "Validation balanced accuracy", _MAIN, "-"),
        (right, "validation_accuracy", "Validation accuracy", _SECOND, "--"),
        (right, "validation_macro_auroc", "Validation macro AUROC", "#009E73", "-."),
        (right, "accuracy", "Accuracy on augmented training pictures", _GREY, ":"),
    )
    for axes, key, name, colour, dashes in lines:
        values = [(entry["epoch"], entry[key]) for entry in history if isinstance(entry.get(key), int | float)]
        if values:
            axes.plot(*zip(*values, strict=True), color=colour, linestyle=dashes, marker="o", markersize=3, label=name)
    for axes in (left, right):
        _mark_stages(axes, history)
        if best_epoch:
            axes.axvline(best_epoch, color="#000000", linewidth=1, label=f"Best epoch, {best_epoch}")
        axes.set_xlabel("Epoch")
        axes.locator_params(axis="x", integer=True)
    left.set(ylabel="Loss (nats)", ylim=(0, None))
    right.set(ylabel="Score", ylim=(None, 1.0))
    _legend(left, loc="lower left")
    _legend(right, loc="lower right")
    return figure


def _mark_stages(axes: "Axes", history: Sequence[dict[str, Any]]) -> None:
    previous = None
    for entry in history:
        size = entry.get("size")
        if size != previous and size is not None:
            if previous is not None:
                axes.axvline(entry["epoch"] - 0.5, color="#cccccc", linewidth=1)
            axes.annotate(
                f"{size} px", (entry["epoch"] - 0.4, 1.0), xycoords=("data", "axes fraction"), fontsize=8, color=_GREY,
                xytext=(0, 3), textcoords="offset points", va="bottom",
            )  # fmt: skip
        previous = size
