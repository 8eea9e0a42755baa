"""Compare models on the same pictures: figures, paired differences, speed, size, and their average as an ensemble.

    python -m training.compare mobilenet_v2 runs/weights/densenet121
    python -m training.compare A B C --ensemble --on ham10000 isic2017

The differences are paired: every bootstrap resample of lesions is given to all models, so that an interval of a
difference is narrower than the two models' own intervals suggest. The report goes to `runs/reports/compare/`:
`comparison.md` with a table for each collection, `comparison.json` with every figure, and a plot of the differences.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from skin_gradio.engines import Engine, EngineName, open_engine
from skin_gradio.models import ModelFolder, find_model
from training import calibrate, measure, metrics
from training.answers import Answers, answers
from training.card import replace_marked
from training.collection import Collection, load
from training.command import UserError, run_command
from training.evaluate import Part, choose_part, default_collection
from training.examples import refuse_equal_names
from training.provenance import is_first, load_again

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENSEMBLE = "average"
SHOWN = {
    "equal_balanced_accuracy": "BACC, equal priors",
    "equal_macro_auroc": "macro AUROC",
    "auroc_mel": "melanoma AUROC",
    "auroc_bkl": "benign keratosis AUROC",
    "malignant_auroc": "malignant AUROC",
    "binary_equal_balanced_accuracy": "benign/malignant BACC, equal priors",
    "binary_auroc": "benign/malignant AUROC",
    "accuracy": "accuracy",
    "expected_calibration_error": "ECE",
    "brier_score": "Brier score",
}
"""Figures of the tables, by their names in `training.measure`."""


class CompareError(UserError):
    """The models cannot be compared or averaged as asked; the message says why."""


@dataclass(frozen=True)
class CompareCommand:
    """Compare models on the same pictures, with paired bootstrap on the differences."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Two or more model folders, bundled models' names or Hub ids. The first is what the others are compared with."""
    on: tuple[str, ...] = ()
    """Collections: names, or paths of your own. The one that the first model was trained on when not given."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    part: Part = "test"
    """Part to measure on. A collection without training pictures is measured whole."""
    ensemble: bool = False
    """Add the average of all the models, calibrated on the validation part of the first model's collection."""
    engine: EngineName = "onnx"
    """Engine that runs the models."""
    output: Path = Path("runs/reports/compare")
    """Folder of the report."""
    repeats: int = 1000
    """Bootstrap resamples."""
    readme: Path | None = None
    """A README in which the tables are put between the marks `MARK: begin` and `MARK: end`."""
    mark: str = "comparison"
    """MARK."""


@dataclass(frozen=True)
class Contender:
    """A model and the engine that runs it, by the name that the tables call it."""

    name: str
    model: ModelFolder
    engine: Engine


def open_contenders(names: Sequence[str], engine: EngineName) -> list[Contender]:
    """Return the models by name; where two folders' models have one name, by what they were asked for as.

    Raises CompareError for fewer than two different ones or one that is named twice, ModelError where there is no such
    model.
    """
    if len(set(names)) < max(2, len(names)):
        raise CompareError("Name two or more different models, each once.")
    models = [find_model(name) for name in names]
    own = [model.name for model in models]
    shown = [model.name if own.count(model.name) == 1 else name for name, model in zip(names, models, strict=True)]
    return [Contender(s, m, open_engine(m, engine)) for s, m in zip(shown, models, strict=True)]


def compare(sheets: Mapping[str, measure.Sheet], repeats: int = 1000) -> dict[str, Any]:
    """Return every model's figures and each one's difference from the first, with 95 % lesion-bootstrap intervals.

    Args:
        sheets: name -> the answers to the same pictures, in the same order.
        repeats: bootstrap resamples.
    """
    computed = {name: measure.figures_of(sheet) for name, sheet in sheets.items()}
    first, *others = sheets

    def figures(rows: np.ndarray) -> dict[str, float]:
        each = {name: compute(rows) for name, compute in computed.items()}
        values = {f"{name}\n{key}": value for name, found in each.items() for key, value in found.items()}
        for name in others:
            for key, value in each[name].items():
                if key in each[first]:
                    values[f"{name}\n{key}\ndifference"] = value - each[first][key]
        return values

    groups = sheets[first].groups
    values = figures(np.arange(len(groups)))
    everything = measure.with_intervals(values, metrics.lesion_bootstrap(figures, groups, repeats))
    result: dict[str, Any] = {"models": {name: {} for name in sheets}, "differences": {name: {} for name in others}}
    for path, figure in everything.items():
        name, key, *difference = path.split("\n")
        result["differences" if difference else "models"][name][key] = figure
    return result


def common_answers(contenders: Sequence[Contender], source: Collection, part: Part) -> dict[str, Answers]:
    """Return every model's answers to the pictures that all of them could read and have a class for."""
    table = choose_part(source, part)
    for one in contenders:
        fits = {label: measure.can_answer(one.model.codes, label, source) for label in source.classes}
        table = table[table["label"].map(fits)]
    if table.empty:
        raise CompareError(f"{source.title} has no picture whose label all the models know.")
    # Every model reads the same files by the same code, so all leave out the same ones.
    return {one.name: answers(one.model, one.engine, table) for one in contenders}


def sheets_of(
    contenders: Sequence[Contender], source: Collection, given: Mapping[str, Answers]
) -> dict[str, measure.Sheet]:
    """Return the models' answers beside the labels, all reduced to benign and malignant where one tells no more."""
    sheets = {
        one.name: measure.answer_sheet(one.model, source, given[one.name].table, given[one.name].probabilities)
        for one in contenders
    }
    if len({sheet.codes for sheet in sheets.values()}) > 1:
        sheets = {name: sheet.binary() for name, sheet in sheets.items()}
    return sheets


@dataclass(frozen=True)
class Ensemble:
    """The average of several models' probabilities at equal priors, calibrated as one."""

    prior: np.ndarray
    calibration: calibrate.Calibration
    thresholds: tuple[float, ...]
    sets: measure.Sets

    def sheet(self, members: Sequence[measure.Sheet]) -> measure.Sheet:
        """Return the average's answers to the pictures that the members answered.

        Raises CompareError for answers that were reduced to benign and malignant.
        """
        if members[0].probabilities.shape[1] != len(self.prior):
            raise CompareError("The average of seven-class models cannot be measured on benign and malignant alone.")
        probabilities = self.calibration.probabilities(average_logits(members), self.prior)
        first = members[0]
        return measure.Sheet(
            first.codes, self.prior, first.labels, probabilities, first.groups, self.thresholds, self.sets
        )


def average_logits(members: Sequence[measure.Sheet]) -> np.ndarray:
    """Return float (n, classes), the log of the mean of the members' probabilities at equal priors."""
    return np.log(np.maximum(np.mean([member.equal for member in members], axis=0), 1e-12))


def fit_ensemble(members: Sequence[measure.Sheet]) -> Ensemble:
    """Calibrate the average of the members on validation pictures and choose its operating points there."""
    first = members[0]
    logits = average_logits(members)
    calibration = calibrate.fit(logits, first.labels, first.prior)
    probabilities = calibration.probabilities(logits, first.prior)
    score = probabilities[:, first.malignant].sum(axis=1)
    points = calibrate.operating_points(first.positive, score)
    sets = calibrate.prediction_sets(first.labels, probabilities)
    return Ensemble(
        first.prior,
        calibration,
        tuple(float(point["threshold"]) for point in points),
        measure.sets_of(sets),
    )


def costs(one: Contender, repeats: int = 30) -> dict[str, float]:
    """Return the milliseconds of a picture (median of `repeats`, one at a time), parameters, and megabytes on disk."""
    size = one.model.input_size
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    seconds = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        one.engine.run(picture)
        seconds.append(time.perf_counter() - start)
    return {
        "milliseconds": 1000 * float(np.median(seconds[3:])),
        "parameters": float(one.model.card.get("parameters", float("nan"))),
        "megabytes": one.model.file("model.onnx").stat().st_size / 1e6,
        "input_size": float(size),
    }


def table_of(compared: Mapping[str, Any], expenses: Mapping[str, Mapping[str, float]]) -> str:
    """Return one collection's comparison as Markdown: figures, differences from the first model, and costs."""
    first, *others = compared["models"]
    keys = [key for key in SHOWN if any(key in figures for figures in compared["models"].values())]
    names = list(compared["models"])
    lines = [f"| figure | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for key in keys:
        cells = [_cell(compared["models"][name].get(key)) for name in names]
        lines.append(f"| {SHOWN[key]} | {' | '.join(cells)} |")
    for title, unit, form in (
        ("one picture, the graph alone", "milliseconds", "{:.1f} ms"),
        ("model.onnx", "megabytes", "{:.1f} MB"),
        ("input", "input_size", "{:.0f} px"),
    ):
        lines.append(f"| {title} | {' | '.join(form.format(expenses[name][unit]) for name in names)} |")
    lines += ["", f"| difference from {first} | {' | '.join(others)} |", "|---|" + "---|" * len(others)]
    for key in keys:
        cells = [_cell(compared["differences"][name].get(key), "+.3f") for name in others]
        lines.append(f"| {SHOWN[key]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure: Mapping[str, float] | None, form: str = ".3f") -> str:
    if figure is None:
        return "-"
    return f"{figure['value']:{form}} ({figure['low']:{form}} to {figure['high']:{form}})"


def differences_plot(compared: Mapping[str, Any], title: str) -> "Figure":
    """Return a plot of the differences from the first model with their intervals; zero is no difference."""
    from matplotlib.figure import Figure

    from training.plots import COLOURS

    first, *others = compared["models"]
    keys = [key for key in SHOWN if all(key in compared["differences"][name] for name in others)]
    figure = Figure(figsize=(8, 1.2 + 0.28 * len(keys) * (1 + len(others))), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(others):
        places = np.arange(len(keys)) * (len(others) + 1) + number
        found = [compared["differences"][name][key] for key in keys]
        values = np.array([one["value"] for one in found])
        reach = np.abs(np.array([[one["low"] for one in found], [one["high"] for one in found]]) - values)
        axes.errorbar(values, places, xerr=reach, fmt="o", ms=5, capsize=3, color=COLOURS[number % 7], label=name)
    axes.axvline(0, color="#767676", lw=1)
    axes.set_yticks(np.arange(len(keys)) * (len(others) + 1) + (len(others) - 1) / 2, [SHOWN[key] for key in keys])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference from {first} (95 % interval, paired bootstrap over lesions)")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Run the command line."""
    from training.plots import svg

    command = tyro.cli(CompareCommand)
    contenders = open_contenders(command.models, command.engine)
    home = default_collection(contenders[0].model)
    names = command.on or (home,)
    sources = [load(name, command.data) for name in names]
    refuse_equal_names(sources)
    ensemble = None
    if command.ensemble:
        if len({one.model.codes for one in contenders}) > 1:
            raise CompareError("Only models with the same classes can be averaged.")
        if command.part != "test":
            raise CompareError("The average is calibrated on validation pictures and measured on test pictures only.")
        if ENSEMBLE in {one.name for one in contenders}:
            raise CompareError(f"One of the models is called {ENSEMBLE}, as the average of --ensemble is.")
        first = contenders[0].model
        mine = (name for name, source in zip(names, sources, strict=True) if is_first(first.card, source))
        [known] = load_again(first.card, [next(mine, home)], command.data)
        learnt = sheets_of(contenders, known, common_answers(contenders, known, "validation"))
        ensemble = fit_ensemble(list(learnt.values()))
    expenses = {one.name: costs(one) for one in contenders}
    if ensemble:
        expenses[ENSEMBLE] = {
            unit: sum(each[unit] for each in expenses.values()) for unit in ("milliseconds", "parameters", "megabytes")
        } | {"input_size": max(each["input_size"] for each in expenses.values())}
    command.output.mkdir(parents=True, exist_ok=True)
    parts, tables, everything = ["# Comparison"], [], {}
    for source in sources:
        given = common_answers(contenders, source, command.part)
        sheets = sheets_of(contenders, source, given)
        if ensemble:
            sheets[ENSEMBLE] = ensemble.sheet(list(sheets.values()))
        compared = compare(sheets, command.repeats)
        everything[source.name] = {**compared, "costs": expenses, "pictures": len(next(iter(sheets.values())).labels)}
        part = next(iter(given.values())).table
        tables.append((f"{source.title}, {len(part)} pictures", table_of(compared, expenses)))
        parts += [
            f"## {tables[-1][0]}",
            *([] if source.grouped else ["Without known lesions, the intervals are too narrow if some repeat."]),
            tables[-1][1],
            f"![Differences on {source.title}](differences-{source.name}.svg)",
        ]
        plot = svg(differences_plot(compared, source.title))
        (command.output / f"differences-{source.name}.svg").write_text(plot, encoding="utf-8")
        print("\n" + "\n\n".join(tables[-1]))
    (command.output / "comparison.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (command.output / "comparison.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    if command.readme:
        shown = [table if len(tables) == 1 else f"**{title}**\n\n{table}" for title, table in tables]
        replace_marked(command.readme, command.mark, "\n\n".join(shown))
    print(f"\nWritten to {command.output / 'comparison.md'}.")


if __name__ == "__main__":
    run_command(main)
