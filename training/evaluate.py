"""Measure a model on one or several collections; write a report, and a local folder's test figures into its card.

    python -m training.evaluate weights/mobilenet_v2
    python -m training.evaluate mobilenet_v2 --on ham10000 isic2017
    python -m training.evaluate user/repository --on my_pictures/labels.csv --no-pictures
    python -m training.evaluate weights/mobilenet_v2 --views

The report goes to `runs/reports/NAME/`: `report.html` (one file, opens offline), `metrics.json`, the plots, and each
collection's answers as `predictions-COLLECTION.csv`. For the ISIC 2018 Task 3 layout `submission-isic2018.csv` has the
challenge's format, with probabilities at equal priors, which is what its balanced accuracy asks for.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import tyro

from skin_gradio.classifier import at_prior
from skin_gradio.engines import Engine, EngineName, open_engine
from skin_gradio.models import ModelFolder, find_model
from training import card, collection, curves, export, measure, subgroups
from training.answers import Answers, answers
from training.collection import Collection, DatasetError
from training.command import UserError, run_command
from training.isic2018 import ONE_HOT
from training.provenance import has_changed, is_first, recorded_collections

Part = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a model on collections of labelled pictures and write a report."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, a bundled model's name or a Hub id."""
    on: tuple[str, ...] = ()
    """Collections: ham10000, isic2017, isic2018, or paths of your own (a folder with one sub-folder per class, or a CSV
    with the columns image and label). The one that the model was trained on when not given."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    part: Part = "test"
    """Part to measure on. `all` suits pictures of your own that the model has never seen; a collection without training
    pictures is measured whole anyway."""
    views: bool = False
    """Measure the answers of eight views together (test-time augmentation), at eight times the time."""
    engine: EngineName = "onnx"
    """Engine that runs the model."""
    output: Path | None = None
    """Folder of the report; runs/reports/NAME, or runs/reports/NAME-views, when not given."""
    repeats: int = 1000
    """Bootstrap resamples."""
    pictures: bool = True
    """Show the worst mistakes in the report, with their pictures."""
    write: bool = True
    """Write the test figures into a local folder's model.json and card; those of paths of your own only where the model
    was trained on them."""
    readme: Path | None = None
    """A README whose figures (between its marks) are replaced as well."""


@dataclass(frozen=True)
class Measured:
    """One collection's answers, figures and curves."""

    source: Collection
    answers: Answers
    sheet: measure.Sheet
    figures: dict[str, Any]
    """What model.json holds of it."""
    curves: dict[str, Any]
    views: bool = False
    """Whether the answers are those of eight views together."""


def choose_part(source: Collection, part: Part) -> pd.DataFrame:
    """Return the rows of a part, renumbered; all rows where none of the collection is for training.

    Raises DatasetError when the collection has no such part.
    """
    whole = part == "all" or (part == "test" and "train" not in set(source.table["split"]))
    table = source.table.reset_index(drop=True) if whole else source.part(part)
    if table.empty:
        parts = ", ".join(sorted(source.table["split"].unique()))
        raise DatasetError(f"{source.title} has no pictures in the part {part!r}; it has {parts or 'none at all'}.")
    return table


def measure_collection(
    model: ModelFolder,
    engine: Engine,
    source: Collection,
    part: Part = "test",
    repeats: int = 1000,
    views: bool = False,
) -> Measured:
    """Return everything that is measured of a model on a part of a collection.

    Pictures whose label the model cannot give (a model of three diagnoses, asked about a fourth) are left out and
    counted. Raises DatasetError when the part is empty, none of its pictures can be read, or none of its labels is one
    of the model's.
    """
    table = choose_part(source, part)
    fits = table["label"].map({label: measure.can_answer(model.codes, label, source) for label in source.classes})
    unknown = table["label"][~fits].value_counts()
    if not fits.any():
        raise DatasetError(f"{source.title} has no label that the model knows; it knows {', '.join(model.codes)}.")
    given = answers(model, engine, table[fits], views)
    sheet = measure.answer_sheet(model, source, given.table, given.probabilities, views)
    figures = {
        "collection": source.title,
        "split": part if set(table["split"]) == {part} else "all",
        "grouped": source.grouped,
        "picture_size": given.picture_size,
        "unreadable": len(given.unreadable),
        "unknown_labels": {str(label): int(count) for label, count in unknown.items()},
        **measure.measure(sheet, repeats),
        "gate": None if given.doubts is None else measure.refusals(sheet, given.doubts, repeats),
        "reliability": curves.reliability(sheet, repeats),
        "subgroups": subgroups.subgroups(sheet, given.table, repeats),
    }
    return Measured(source, given, sheet, figures, curves.curves(sheet, repeats), views)


def default_collection(model: ModelFolder) -> str:
    """Return the collection that the model learned from first, as `--on` takes it; ham10000 where none is recorded."""
    return (*recorded_collections(model.card), "ham10000")[0]


def belongs_into_card(model: ModelFolder, name: str, source: Collection) -> bool:
    """Say whether figures on a collection, called `name` by the user, go into model.json and the card.

    Those on pictures of the user's own do only where the model learned from these.
    """
    return name in collection.NAMED or (
        default_collection(model) not in collection.NAMED and is_first(model.card, source)
    )


def with_figures(model: ModelFolder, results: list[Measured]) -> dict[str, Any]:
    """Return model.json with test figures: the primary collection's as `metrics`, others under `elsewhere` by name.

    Of the answers of eight views, the primary collection's headline figures alone go into it, as `metrics_with_views`.
    """
    document = dict(model.card)
    for result in results:
        if result.views:
            if is_first(model.card, result.source):
                document["metrics_with_views"] = card.headline_figures(result.figures)
        elif is_first(model.card, result.source):
            document["metrics"] = result.figures
        else:
            document["elsewhere"] = {**document.get("elsewhere", {}), result.source.name: result.figures}
    return document


def write_tables(model: ModelFolder, result: Measured, output: Path) -> None:
    """Write `predictions-NAME.csv` and, for ISIC 2018, the challenge's submission at equal priors."""
    probabilities = result.answers.probabilities
    predictions = result.answers.table[["image", "label", "group"]].copy()
    for place, code in enumerate(model.codes):
        predictions[code] = probabilities[:, place].round(6)
    predictions.to_csv(output / f"predictions-{result.source.name}.csv", index=False, lineterminator="\n")
    if result.source.name == "isic2018" and {code.lower() for code in ONE_HOT} == set(model.codes):
        table = submission(model, result.answers)
        table.to_csv(output / "submission-isic2018.csv", index=False, lineterminator="\n")


def submission(model: ModelFolder, given: Answers) -> pd.DataFrame:
    """Return the ISIC 2018 Task 3 challenge's table: image and ONE_HOT, probabilities at equal priors."""
    equal = at_prior(given.probabilities, np.array(model.prior), "equal")
    table = pd.DataFrame({"image": given.table["image"]})
    for column in ONE_HOT:
        table[column] = equal[:, model.codes.index(column.lower())].round(6)
    return table


def main() -> None:
    """Run the command line."""
    from training import report

    command = tyro.cli(EvaluateCommand)
    model = find_model(command.model)
    names = command.on or (default_collection(model),)
    sources = [collection.load(name, command.data) for name in names]
    for source in sources:
        choose_part(source, command.part)
    if len({source.name for source in sources}) < len(sources):
        raise UserError(f"Two of {', '.join(names)} have the same name, and their files would too; measure them apart.")
    engine = open_engine(model, command.engine)
    results = [
        measure_collection(model, engine, source, command.part, command.repeats, command.views) for source in sources
    ]
    output = command.output or Path("runs/reports") / (model.name + "-views" * command.views)
    output.mkdir(parents=True, exist_ok=True)
    for name, result in zip(names, results, strict=True):
        write_tables(model, result, output)
        figures = {name: round(figure["value"], 4) for name, figure in result.figures["figures"].items()}
        print(f"{result.source.title}, {result.figures['pictures']} pictures: {json.dumps(figures, indent=1)}")
        partial = set(result.source.table["split"]) != {"test"} and result.figures["split"] == "test"
        if has_changed(model.card, result.source):
            print(
                f"{name} has not the test part that it had when the model was trained (pictures came or went, or it is"
                " another folder of that name): some of these may have been trained on, and the card stays."
            )
        elif partial and name not in collection.NAMED and not is_first(model.card, result.source):
            print(f"{name}: only its test part was measured; --part all measures every picture.")
        for row in result.answers.unreadable:
            print(f"left out {row.path}: {row.reason}")
        for label, count in result.figures["unknown_labels"].items():
            print(f"left out {count} pictures with the label {label}, which the model does not know")
    report.write_report(model, engine, results, output, command.pictures)
    print(f"Report written to {output / 'report.html'}.")
    shown = [r for name, r in zip(names, results, strict=True) if belongs_into_card(model, name, r.source)]
    # A Hub model's folder is the Hub's cache, whose files must stay what its revision says.
    if shown and command.part == "test" and command.write and "@" not in model.revision:
        document = with_figures(model, shown)
        export.write_document(model.path, document)
        print(f"Figures written to {model.path / 'model.json'} and the card beside it.")
        if command.readme and "metrics" in document:
            card.replace_marked(command.readme, "figures", card.figures_section(document))


if __name__ == "__main__":
    run_command(main)
