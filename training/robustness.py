"""What changes of a picture that change no diagnosis do to a model's answers.

    python -m training.robustness weights/mobilenet_v2
    python -m training.robustness runs/weights/mobilenet_v2_ham10000 weights/mobilenet_v2 --readme training/README.md

Every picture of a part is answered as it is and under each of CHANGES: another camera's rim, light, colours, distance
and sharpness. The rare diagnoses bcc, df and vasc are looked at apart: a model that has learned "this camera, hence one
of the diagnoses of its collection" answers nv there. The table goes to `runs/reports/robustness/robustness.csv`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import tyro

from skin_gradio.classifier import at_prior
from skin_gradio.engines import Engine, open_engine
from skin_gradio.models import ModelFolder, find_model
from training import augment, collection, metrics
from training.card import replace_marked
from training.collection import Collection, label_positions, read_training_picture
from training.command import UserError, run_command
from training.evaluate import Part, choose_part

RARE = ("bcc", "df", "vasc")
"""Diagnoses that HAM10000 holds and ISIC 2017 lacks; akiec, the fourth, shades into benign keratosis."""
BATCH = 64
Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RobustnessCommand:
    """Answer pictures as they are and as other cameras might have taken them."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Model folders, bundled models' names or Hub ids."""
    on: str = "ham10000"
    """A collection."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    part: Part = "validation"
    """Part to answer; the test part is for finished models."""
    output: Path = Path("runs/reports/robustness")
    """Folder of the table."""
    readme: Path | None = None
    """A README in which the table is put between the marks `robustness: begin` and `robustness: end`."""


def _rim(picture: np.ndarray) -> np.ndarray:
    side = len(picture)
    y, x = np.ogrid[:side, :side]
    inside = np.hypot(x - side / 2, y - side / 2) < 0.47 * side
    return np.where(inside[..., None], picture, picture // 12).astype(np.uint8)


def _gain(red: float, green: float, blue: float) -> Change:
    table = np.clip(np.arange(256)[:, None] * np.array([red, green, blue]), 0, 255).astype(np.uint8)[None]
    return lambda picture: cv2.LUT(picture, table)


def _gamma(power: float) -> Change:
    table = (255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return lambda picture: cv2.LUT(picture, table)


def _zoom(factor: float) -> Change:
    def change(picture: np.ndarray) -> np.ndarray:
        side = len(picture)
        if factor < 1:
            picture = cv2.GaussianBlur(picture, (0, 0), 0.5 * np.sqrt(1 / factor**2 - 1))
        matrix = np.array([[factor, 0, (1 - factor) * side / 2], [0, factor, (1 - factor) * side / 2]])
        return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)

    return change


def _grey_world(picture: np.ndarray) -> np.ndarray:
    return augment.grey_world(picture, 1.0)


def _sharpen(picture: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(picture, 2.5, cv2.GaussianBlur(picture, (0, 0), 1.2), -1.5, 0)


def _jpeg(picture: np.ndarray) -> np.ndarray:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


CHANGES: dict[str, Change] = {
    "as it is": lambda picture: picture,
    "round dark rim": _rim,
    "warmer light": _gain(1.1, 1.0, 0.85),
    "cooler light": _gain(0.88, 1.0, 1.12),
    "grey-world white balance": _grey_world,
    "darker": _gamma(1.5),
    "brighter": _gamma(0.7),
    "from farther (0.7)": _zoom(0.7),
    "from nearer (1.4)": _zoom(1.4),
    "softer": lambda picture: cv2.GaussianBlur(picture, (0, 0), 1.5),
    "sharper": _sharpen,
    "JPEG, quality 40": _jpeg,
}


def changed_answers(model: ModelFolder, engine: Engine, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return for each of CHANGES the places of the answers at equal priors, int (n,), to a table's pictures.

    The changes are made on the picture at the model's size. Raises DatasetError for a picture that cannot be read.
    """
    answers: dict[str, list[np.ndarray]] = {name: [] for name in CHANGES}
    prior, paths = np.array(model.prior), list(table["path"])
    for start in range(0, len(paths), BATCH):
        pictures = [read_training_picture(path).resized(model.input_size) for path in paths[start : start + BATCH]]
        for name, change in CHANGES.items():
            outputs = engine.run(np.stack([change(picture) for picture in pictures]))
            answers[name].append(at_prior(outputs.probabilities, prior, "equal").argmax(axis=1))
    return {name: np.concatenate(found) for name, found in answers.items()}


def summary(codes: Sequence[str], labels: np.ndarray, answers: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return a row for each change.

    It holds the BACC, the mean recall of RARE, the share of RARE that is answered nv, and of all answers the share that
    is another one than to the picture as it is.

    Args:
        codes: the model's classes, in order.
        labels: int (n,), the truth.
        answers: change -> int (n,).
    """
    rare = [codes.index(code) for code in RARE]
    is_rare, plain = np.isin(labels, rare), answers["as it is"]
    rows = []
    for name, found in answers.items():
        recalls = metrics.recalls(labels, found, len(codes))
        rows.append(
            {
                "change": name,
                "balanced_accuracy": float(np.nanmean(recalls)),
                "rare_recall": float(np.nanmean(recalls[rare])),
                "rare_called_nv": float((found[is_rare] == codes.index("nv")).mean()),
                "other_answer": float((found != plain).mean()),
            }
        )
    return pd.DataFrame(rows)


def measure(model: ModelFolder, source: Collection, part: Part) -> pd.DataFrame:
    """Return `summary` of a model on a part of a collection. Raises UserError for a model that lacks RARE or nv."""
    if not {*RARE, "nv"} <= set(model.codes):
        raise UserError(f"{model.name} does not know {', '.join(RARE)} and nv, which are what is looked at here.")
    table = choose_part(source, part)
    answers = changed_answers(model, open_engine(model, "onnx"), table)
    return summary(model.codes, label_positions(source, table["label"], model.codes), answers)


def as_markdown(found: dict[str, pd.DataFrame]) -> str:
    """Return the models' tables side by side as one Markdown table."""
    names = list(found)
    head = [f"{figure}, {name}" for figure in ("BACC", "rare recall", "rare called nv") for name in names]
    lines = [f"| change | {' | '.join(head)} |", "|---" * (1 + len(head)) + "|"]
    for row, change in enumerate(CHANGES):
        figures = [
            f"{found[name][column][row]:.3f}"
            for column in ("balanced_accuracy", "rare_recall", "rare_called_nv")
            for name in names
        ]
        lines.append(f"| {change} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    command = tyro.cli(RobustnessCommand)
    models = [find_model(name) for name in command.models]
    if len({model.name for model in models}) < len(models):
        raise UserError("Two of these models have the same name; measure them apart.")
    source = collection.load(command.on, command.data)
    found = {model.name: measure(model, source, command.part) for model in models}
    command.output.mkdir(parents=True, exist_ok=True)
    table = pd.concat([table.assign(model=name) for name, table in found.items()])
    table.to_csv(command.output / "robustness.csv", index=False, lineterminator="\n")
    print(as_markdown(found))
    if command.readme:
        replace_marked(command.readme, "robustness", as_markdown(found))


if __name__ == "__main__":
    run_command(main)
