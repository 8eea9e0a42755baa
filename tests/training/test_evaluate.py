"""The command: parts, files it writes, and what it leaves alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_gradio.images import read_picture
from skin_gradio.models import BUNDLED, read_folder
from tests.test_input_gate import gate_entry
from training import card, evaluate, plots
from training.collection import Collection, DatasetError
from training.command import UserError

from . import answered


@pytest.fixture
def folder(tmp_path):
    """A copy of the bundled model without its figures."""
    copy = tmp_path / "model"
    shutil.copytree(BUNDLED / "mobilenet_v2", copy)
    document = json.loads((copy / "model.json").read_text())
    document.pop("metrics")
    (copy / "model.json").write_text(json.dumps(document))
    return copy


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Run the command on generated collections; returns the report's folder."""
    sources = {
        "ham10000": answered.collection(tmp_path / "ham10000"),
        "isic2017": answered.collection(tmp_path / "isic2017", "isic2017", ("bkl", "mel", "nv")),
        "mine": answered.collection(tmp_path / "mine", "mine", ("mel", "nv")),
    }
    sources["ham10000"].table.loc[:3, "split"] = ["train", "validation", "validation", "train"]

    def start(*options):
        output = tmp_path / "report"
        monkeypatch.setattr(plots, "svg", lambda figure: "<svg/>")  # drawing takes seconds; test_report.py does it
        monkeypatch.setattr(evaluate.collection, "load", lambda name, base: sources[name])
        monkeypatch.setattr(
            "sys.argv", ["evaluate", str(folder), "--output", str(output), "--repeats", "5", "--no-pictures", *options]
        )
        evaluate.main()
        return output

    return start


def test_test_figures_go_into_the_models_document_and_card(run, folder):
    run("--on", "isic2017", "ham10000", "mine")
    document = json.loads((folder / "model.json").read_text())
    assert document["metrics"]["collection"] == "HAM10000"
    assert document["metrics"]["pictures"] == 10
    assert {"equal_balanced_accuracy", "malignant_auroc", "sensitivity_0"} <= set(document["metrics"]["figures"])
    assert list(document["elsewhere"]) == ["isic2017"]  # a user's own pictures are in the report alone
    assert set(document["elsewhere"]["isic2017"]) == set(document["metrics"])
    written = (folder / "README.md").read_text()
    assert written == card.model_card(document)
    assert "| Pictures | | 6 |" in written
    assert (folder / "model.json").stat().st_size < 200_000
    assert read_folder(folder).operating_points[0].test_sensitivity is not None


def test_figures_of_eight_views_stand_beside_those_of_one(run, folder):
    run()
    elsewhere = json.loads((folder / "model.json").read_text()).get("elsewhere")
    output = run("--views", "--on", "ham10000", "isic2017")
    document = json.loads((folder / "model.json").read_text())
    both = document["metrics_with_views"], document["metrics"]
    assert [one["collection"] for one in both] == ["HAM10000", "HAM10000"]
    assert {"equal_balanced_accuracy", "sensitivity_0", "coverage_at_90%"} <= set(both[0]["figures"])
    assert set(both[0]["figures"]) < set(both[1]["figures"])
    assert "recall_mel" not in both[0]["figures"]
    assert document.get("elsewhere") == elsewhere
    assert "| figure | prior | one view | eight views |" in (folder / "README.md").read_text()
    assert "average over eight views" in (output / "report.html").read_text()


def test_what_the_gate_doubts_is_in_figures_card_and_report(run, folder):
    document = json.loads((folder / "model.json").read_text())
    fitted = {"collections": ["HAM10000"], "fitted_on": {"pictures": 200, "photographs": 0}}
    (folder / "model.json").write_text(json.dumps({**document, "gate": {**gate_entry(), **fitted}}))
    output = run("--on", "ham10000", "isic2017")
    document = json.loads((folder / "model.json").read_text())
    for measured in (document["metrics"], document["elsewhere"]["isic2017"]):
        share = measured["gate"]["shares"]["all"]["value"]
        assert 0 < measured["gate"]["pictures"] == round(share * measured["pictures"])
    text = (folder / "README.md").read_text()
    assert "| test pictures doubted | HAM10000 | ISIC2017 |" in text
    assert "without photographs of other things" in text
    assert "What the input gate doubts" in (output / "report.html").read_text()


def test_figures_elsewhere_stay_when_another_collection_is_measured(run, folder):
    run("--on", "isic2017")
    run()
    document = json.loads((folder / "model.json").read_text())
    assert "metrics" in document
    assert "isic2017" in document["elsewhere"]


@pytest.mark.parametrize("options", [("--no-write",), ("--part", "validation"), ("--part", "all")])
def test_nothing_is_written_into_the_model_without_test_figures_or_leave(run, folder, options):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    output = run(*options)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (output / "report.html").is_file()


def test_the_marked_part_of_a_readme_is_replaced(run, folder, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- figures: begin -->old<!-- figures: end -->\nafter\n")
    run("--readme", str(readme))
    document = json.loads((folder / "model.json").read_text())
    assert card.figures_section(document) in readme.read_text()


def test_predictions_name_every_picture_with_its_probabilities(run):
    output = run("--on", "isic2017")
    table = pd.read_csv(output / "predictions-isic2017.csv")
    assert list(table.columns) == ["image", "label", "group", "akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    assert len(table) == 6
    np.testing.assert_allclose(table.iloc[:, 3:].sum(axis=1), 1, atol=1e-5)


def test_a_submission_has_the_challenges_columns_at_equal_priors(classifier, tmp_path):
    source = answered.collection(tmp_path / "isic2018", "isic2018")
    result = evaluate.measure_collection(classifier.model, classifier.engine, source, "test", 2)
    evaluate.write_tables(classifier.model, result, tmp_path)
    table = pd.read_csv(tmp_path / "submission-isic2018.csv")
    assert list(table.columns) == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    row = result.answers.probabilities[0] / np.array(classifier.model.prior)
    assert table["image"][0] == result.answers.table["image"][0]
    assert table["MEL"][0] == pytest.approx(row[classifier.model.codes.index("mel")] / row.sum(), abs=1e-5)


def test_pictures_take_the_path_that_uploads_take(classifier, tmp_path):
    source = answered.collection(tmp_path / "mine")
    given = evaluate.answers(classifier.model, classifier.engine, source.table)
    pixels = np.stack([read_picture(path).resized(32) for path in source.table["path"]])
    expected = classifier.engine.run(pixels).probabilities
    np.testing.assert_allclose(given.probabilities, expected / expected.sum(1, keepdims=True), atol=1e-6)
    assert given.picture_size == "40 x 40"


def test_an_unreadable_picture_is_named_and_the_others_are_measured(classifier, tmp_path):
    source = answered.collection(tmp_path / "mine", "mine", ("mel", "nv"))
    broken = source.table["path"][1]
    broken.write_bytes(b"no picture")
    source.table["path"][2].unlink()
    result = evaluate.measure_collection(classifier.model, classifier.engine, source, "test", 2)
    assert result.figures["pictures"] == 2
    assert [row.image for row in result.answers.unreadable] == ["mel_1", "nv_0"]
    assert "not a picture" in result.answers.unreadable[0].reason
    assert list(result.answers.table["image"]) == ["mel_0", "nv_1"]
    assert result.sheet.labels.tolist() == [classifier.model.codes.index(code) for code in ("mel", "nv")]


def test_pictures_of_a_diagnosis_that_the_model_cannot_give_are_left_out_and_counted(classifier, tmp_path):
    class Narrow:
        def run(self, pictures):
            outputs = classifier.engine.run(pictures)
            kept = outputs.probabilities[:, [2, 4, 5]]
            return replace(outputs, probabilities=kept / kept.sum(axis=1, keepdims=True))

    model = replace(classifier.model, codes=("bkl", "mel", "nv"), prior=(0.2, 0.2, 0.6))
    source = answered.collection(tmp_path / "mine")
    result = evaluate.measure_collection(model, Narrow(), source, "test", 2)
    assert result.figures["pictures"] == 6
    assert result.figures["unknown_labels"] == {"akiec": 2, "bcc": 2, "df": 2, "vasc": 2}
    assert result.figures["figures"]["equal_balanced_accuracy"]["value"] <= 1
    with pytest.raises(DatasetError, match="no label that the model knows; it knows bkl, mel, nv"):
        evaluate.measure_collection(model, Narrow(), answered.collection(tmp_path / "df", labels=("df",)), "test", 2)


def test_a_collection_without_any_readable_picture_is_an_error(classifier, tmp_path):
    source = answered.collection(tmp_path / "mine", "mine", ("mel",))
    for path in source.table["path"]:
        path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"None of the 2 pictures can be read.*mel_0\.png"):
        evaluate.answers(classifier.model, classifier.engine, source.table)


def test_a_collection_without_training_pictures_is_measured_whole():
    frame = pd.DataFrame({"image": ["a", "b"], "split": ["validation", "test"]})
    assert len(evaluate.choose_part(Collection("mine", "Mine", frame, ()), "test")) == 2
    frame.loc[0, "split"] = "train"
    assert len(evaluate.choose_part(Collection("mine", "Mine", frame, ()), "test")) == 1
    assert len(evaluate.choose_part(Collection("mine", "Mine", frame, ()), "all")) == 2


def test_a_part_that_a_collection_lacks_is_a_clear_error():
    frame = pd.DataFrame({"image": ["a"], "split": ["test"]})
    with pytest.raises(DatasetError, match="no pictures in the part 'validation'; it has test"):
        evaluate.choose_part(Collection("mine", "Mine", frame, ()), "validation")


def test_two_collections_of_one_name_are_refused(run, monkeypatch):
    with pytest.raises(UserError, match="have the same name"):
        run("--on", "mine", "mine")


def test_own_pictures_go_into_the_card_of_a_model_that_learned_from_them(classifier):
    own = Collection("ham10000", "HAM10000", pd.DataFrame(), ("mel",))
    learned = {"collections": ["HAM10000"], "experiment": {"collections": ["ham10000"]}}
    model = replace(classifier.model, card={"training": learned})
    assert evaluate.belongs_into_card(model, "ham10000", own)
    assert not evaluate.belongs_into_card(model, "pictures/HAM10000", own)  # a folder that only has the name
    learned = {"collections": ["Mine"], "experiment": {"collections": ["pictures/mine"]}}
    model = replace(classifier.model, card={"training": learned})
    assert evaluate.default_collection(model) == "pictures/mine"
    assert evaluate.belongs_into_card(model, "pictures/mine", replace(own, title="Mine"))
    assert not evaluate.belongs_into_card(model, "pictures/other", replace(own, title="Other"))


def test_a_model_of_the_hub_is_reported_and_its_cache_stays(run, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(evaluate, "find_model", lambda name: read_folder(folder, "user/repository@"))
    assert (run() / "report.html").is_file()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
