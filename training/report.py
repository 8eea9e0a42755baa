"""The report of a measurement: one HTML file that opens offline, the plots as files, and every figure as JSON."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from skin_gradio import heatmap, lesions
from skin_gradio.credit import credit, learned
from skin_gradio.engines import Engine
from skin_gradio.images import read_picture
from skin_gradio.models import ModelFolder
from training import measure, plots, subgroups
from training.provenance import learned_from

if TYPE_CHECKING:
    from training.evaluate import Measured

MISTAKES = 12
_SIDE = 192
_TEMPLATE = "report.html.j2"

HEADLINE = (
    ("equal_balanced_accuracy", "Balanced accuracy (BACC)", "equal", "balanced_accuracy"),
    ("equal_macro_auroc", "Macro AUROC", "equal", "macro_auroc"),
    ("accuracy", "Accuracy", "collection", "accuracy"),
    ("balanced_accuracy", "Balanced accuracy (BACC)", "collection", "balanced_accuracy"),
    ("macro_f1", "Macro F1", "collection", ""),
    ("macro_average_precision", "Macro average precision", "collection", ""),
    ("expected_calibration_error", "Expected calibration error (ECE)", "collection", "expected_calibration_error"),
    ("brier_score", "Brier score (0 to 2)", "collection", "brier_score"),
)
MALIGNANT = (
    ("malignant_auroc", "AUROC of the malignancy score", "collection", "malignant_auroc"),
    (
        "malignant_average_precision",
        "Average precision of the malignancy score",
        "collection",
        "malignant_average_precision",
    ),
    ("sensitivity_at_specificity_90%", "Sensitivity at 90 % specificity", "collection", ""),
    ("sensitivity_at_specificity_95%", "Sensitivity at 95 % specificity", "collection", ""),
    ("specificity_at_sensitivity_90%", "Specificity at 90 % sensitivity", "collection", ""),
    ("specificity_at_sensitivity_95%", "Specificity at 95 % sensitivity", "collection", ""),
    ("binary_equal_balanced_accuracy", "Balanced accuracy, two groups", "equal", "binary_balanced_accuracy"),
    ("binary_balanced_accuracy", "Balanced accuracy, two groups", "collection", "binary_balanced_accuracy"),
    ("binary_accuracy", "Accuracy, two groups", "collection", "binary_accuracy"),
    ("binary_expected_calibration_error", "ECE, two groups", "collection", ""),
    ("binary_brier_score", "Brier score, two groups (0 to 2)", "collection", ""),
)
CLASS_COLUMNS = (
    ("equal_recall", "Recall, equal priors"),
    ("recall", "Recall"),
    ("precision", "Precision"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
    ("average_precision", "Average precision"),
)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its picture: data URIs of the square that the model saw, and of its heatmap over it."""

    image: str
    truth: str
    answer: str
    probability: float
    picture: str
    overlay: str


def write_report(
    model: ModelFolder, engine: Engine, results: "list[Measured]", output: Path, pictures: bool = True
) -> None:
    """Write `report.html`, `metrics.json` and the plots (SVG) into a folder.

    Args:
        model: that was measured.
        engine: that runs it, for the heatmaps of the mistakes.
        results: one for each collection, at least one.
        output: the folder, which exists.
        pictures: show the worst mistakes, with their pictures.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    everything = {
        "model": {"name": model.name, "revision": model.revision, "classes": list(model.codes), "prior": model.prior},
        "collections": {
            result.source.name: {
                **result.figures,
                "curves": result.curves,
                "unreadable_pictures": [vars(row) for row in result.answers.unreadable],
            }
            for result in results
        },
    }
    (output / "metrics.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    record = model.card.get("training") or {}
    learning = plots.learning_curves(record.get("history") or [], record.get("best_epoch"))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": figure_text, "name": class_name}
    text = environment.get_template(_TEMPLATE).render(
        model=model,
        record=record,
        learning=_save(learning, output / "learning-curves.svg") if learning else "",
        results=results,
        sections=[_section(model, engine, result, output, pictures) for result in results],
        pictures=pictures,
        headline=HEADLINE,
        malignant=MALIGNANT,
        class_columns=CLASS_COLUMNS,
        subgroup_names=plots.SUBGROUP_NAMES,
        min_lesions=subgroups.MIN_LESIONS,
        min_of_each=subgroups.MIN_OF_EACH,
        credit=credit([result.source.title for result in results]),
    )
    (output / "report.html").write_text(text, encoding="utf-8")


def figure_text(figure: dict[str, float] | None) -> str:
    """Return a figure with its interval, such as `0.768 (0.723 to 0.807)`; a dash where there is none."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**figure) if figure else "-"


def class_name(code: str) -> str:
    """Return a class' full name."""
    return lesions.BY_CODE[code].name


def _section(model: ModelFolder, engine: Engine, result: "Measured", output: Path, pictures: bool) -> dict[str, Any]:
    """Return what the template shows of one collection beside its figures."""
    measured, name = result.figures, result.source.name
    drawn = {
        "confusion": plots.confusion(measured),
        "roc": plots.roc(measured, result.curves, [point.name for point in model.operating_points]),
        "precision_recall": plots.precision_recall(measured, result.curves),
        "reliability": plots.reliability(measured),
        "subgroups": plots.subgroups(measured),
    }
    return {
        "points": measure.operating_points(model, result.views),
        "plots": {
            key: _save(figure, output / f"{key.replace('_', '-')}-{name}.svg") if figure else ""
            for key, figure in drawn.items()
        },
        "seen_in_training": measured["split"] != "test"
        and learned(result.source.title, learned_from(model.card.get("training") or {})),
        "sets": [key for key in measured["figures"] if key.startswith("coverage_at_")],
        "mistakes": mistakes(model, engine, result) if pictures else [],
    }


def _save(figure: Any, path: Path) -> str:
    """Write a plot and return it as a data URI: inside an image its ids cannot clash with another plot's."""
    text = plots.svg(figure)
    path.write_text(text, encoding="utf-8")
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def mistakes(model: ModelFolder, engine: Engine, result: "Measured", count: int = MISTAKES) -> list[Mistake]:
    """Return the wrong answers that the model was surest of, surest first and one a lesion."""
    sheet, table = result.sheet, result.answers.table
    answer, sure = sheet.probabilities.argmax(axis=1), sheet.probabilities.max(axis=1)
    wrong = np.flatnonzero(answer != sheet.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")]
    # Pictures of one lesion make the same mistake; one of them is shown.
    worst = surest[np.sort(np.unique(sheet.groups[surest], return_index=True)[1])[:count]]
    if not len(worst):
        return []
    pixels = np.stack([read_picture(path).resized(model.input_size) for path in table["path"].iloc[worst]])
    maps = engine.run(pixels).heatmaps
    return [
        Mistake(
            image=str(table["image"].iloc[row]),
            truth=sheet.codes[sheet.labels[row]],
            answer=sheet.codes[answer[row]],
            probability=float(sure[row]),
            picture=_jpeg(pixels[i]),
            overlay=_jpeg(
                heatmap.overlay(pixels[i], maps[i][..., _shown_class(model, result, row, answer[row])], side=_SIDE)
            ),
        )
        for i, row in enumerate(worst)
    ]


def _shown_class(model: ModelFolder, result: "Measured", row: int, answer: int) -> int:
    """Return the class whose map explains an answer: the answer itself, or the likeliest diagnosis of its group."""
    if result.sheet.codes == model.codes:
        return answer
    members = np.array(lesions.malignant_mask(model.codes)) == bool(answer)
    return int(np.where(members, result.answers.probabilities[row], -1).argmax())


def _jpeg(pixels: np.ndarray) -> str:
    picture = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    with io.BytesIO() as data:
        picture.save(data, "JPEG", quality=88)
        return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
