"""The command that fits gate, views and prediction sets of a model folder."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_gradio.classifier import Classifier
from skin_gradio.engines import open_engine
from skin_gradio.images import read_picture
from skin_gradio.models import BUNDLED, ModelFolder, OperatingPoint, read_folder, sha256
from skin_gradio.prediction_set import prediction_sets
from skin_gradio.views import all_views
from tests.conftest import PRIOR, MeanColourEngine
from tests.test_input_gate import skin
from training import card, gate, refit
from training.collection import Collection, DatasetError
from training.command import UserError

CODES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """120 validation and 60 training pictures on disk."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(180):
        path = folder / f"{number:03d}.png"
        Image.fromarray(skin(number, 48)).save(path)
        part = "validation" if number < 120 else "train"
        rows.append((path.stem, path, CODES[number % 7], f"lesion {number // 2}", part))
    frame = pd.DataFrame(rows, columns=["image", "path", "label", "group", "split"])
    return Collection("ham10000", "HAM10000", frame, CODES)


@pytest.fixture
def model(tmp_path):
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    document = {"name": "tiny", "classes": list(CODES), "prior": list(PRIOR), "prediction_sets": []}
    return ModelFolder(tmp_path, "tiny", "abc123", CODES, PRIOR, 32, (point,), document)


@pytest.fixture
def no_photographs(monkeypatch, tmp_path):
    monkeypatch.setenv(gate.VARIABLE, str(tmp_path / "nothing"))


def test_views_gate_and_sets_are_fitted_and_can_be_used(model, source, no_photographs):
    document = refit.refit(model, MeanColourEngine(), [source])
    assert document["gate"]["collections"] == ["HAM10000"]
    assert document["gate"]["fitted_on"] == {"pictures": 120, "photographs": 0}
    assert document["views"]["count"] == 8
    assert [point["name"] for point in document["views"]["operating_points"]] == ["sensitivity 90%", "sensitivity 95%"]
    made = replace(model, card=document)
    classifier = Classifier(made, MeanColourEngine())
    picture = read_picture(source.part("validation")["path"][3]).resized(32)
    finding = classifier.classify_carefully(picture[None])[0].finding
    assert finding.doubts == ()
    for careful in (False, True):
        assert [one.coverage for one in prediction_sets(finding, made, careful)] == [0.9, 0.95]
    assert model.card["prediction_sets"] == []


def test_each_picture_is_seen_in_its_eight_views(model, source):
    engine = MeanColourEngine()
    found = refit.look_at_validation(model, engine, source)
    table = source.part("validation")
    pixels = read_picture(table["path"][5]).resized(32)
    np.testing.assert_allclose(found.views[:, 5], engine.run(all_views(pixels)).probabilities)
    assert found.views.shape == (8, 120, 7)
    assert [CODES[label] for label in found.labels] == list(table["label"])
    shares = source.part("train")["label"].value_counts(normalize=True)
    np.testing.assert_allclose(found.priors[0], [shares.get(code, 0) for code in CODES])


def test_views_that_say_too_much_are_taken_back(model, source):
    """A model that is far too sure of what it cannot know has its careful answer softened."""
    rng = np.random.default_rng(0)
    labels = rng.choice(7, 400, p=np.array(PRIOR))
    logits = np.log(PRIOR) + 6 * rng.normal(size=(8, 400, 7))
    views = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    seen = gate.Seen(np.zeros((400, 15)), np.zeros((400, 2)))
    one = refit.Validation(
        views, labels, np.arange(400).astype(str), np.tile(PRIOR, (400, 1)), seen, np.zeros((1, 32, 32, 3), np.uint8)
    )
    assert refit.fit_views([one], model)["temperature"] > 2


def test_views_are_calibrated_for_the_mix_that_the_pictures_come_from(model):
    """Pictures of another mix than the model's prior are no reason to correct the model."""
    rng = np.random.default_rng(0)
    labels = rng.choice(7, 700, p=np.full(7, 1 / 7))
    logits = 2 * np.eye(7)[labels] + rng.normal(0, 1, (700, 7)) + np.log(PRIOR)
    views = np.repeat((np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[None], 8, axis=0)
    seen, tried = gate.Seen(np.zeros((700, 15)), np.zeros((700, 2))), np.zeros((1, 32, 32, 3), np.uint8)
    even = refit.Validation(views, labels, np.arange(700).astype(str), np.full((700, 7), 1 / 7), seen, tried, own=False)
    assert np.abs(refit.fit_views([even], model)["bias"]).max() < 0.5
    taken_for_the_models = replace(even, own=True)
    assert np.abs(refit.fit_views([taken_for_the_models], model)["bias"]).max() > 1


def test_an_unreadable_picture_is_named(model, source, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    table = source.table.copy()
    table.at[0, "path"] = tmp_path / "broken.png"
    with pytest.raises(DatasetError, match=r"broken\.png: "):
        refit.look_at_validation(model, MeanColourEngine(), replace(source, table=table))


def test_figures_of_the_old_gate_and_sets_are_taken_out_and_others_stay():
    figures = {"accuracy": 1, "coverage_at_90%": 1, "set_size_at_90%": 1, "class_coverage_at_90%_mel": 1}
    measured = {"collection": "HAM10000", "figures": figures, "gate": {}}
    document = {"metrics": measured, "metrics_with_views": {}, "elsewhere": {"isic2017": measured}, "name": "tiny"}
    kept = {"collection": "HAM10000", "figures": {"accuracy": 1}}
    assert refit.without_stale_figures(document) == {
        "metrics": kept, "elsewhere": {"isic2017": kept}, "name": "tiny"
    }  # fmt: skip
    assert figures["coverage_at_90%"] == 1


def test_the_command_rewrites_model_json_and_card_and_no_graph(source, tmp_path, monkeypatch, capsys, no_photographs):
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED / "mobilenet_v2", folder)
    before = {name: sha256(folder / name) for name in ("model.keras", "model.onnx")}
    old = json.loads((folder / "model.json").read_text())
    few = replace(source, table=source.table.groupby("split").head(gate.MIN_PICTURES))
    monkeypatch.setattr(refit.collection, "load", lambda name, base: replace(few, name=name))
    monkeypatch.setattr(gate, "MAX_TRIED", 4)
    monkeypatch.setattr("sys.argv", ["refit", str(folder)])
    refit.main()
    document = json.loads((folder / "model.json").read_text())
    assert {name: sha256(folder / name) for name in before} == before
    assert {name: document[name] for name in ("calibration", "operating_points", "sha256", "training")} == {
        name: old[name] for name in ("calibration", "operating_points", "sha256", "training")
    }
    assert len(document["prediction_sets"][0]["thresholds"]) == 7
    text = (folder / "README.md").read_text()
    assert text == card.model_card(document)
    assert "without photographs of other things" in text
    assert "fitted without photographs" in capsys.readouterr().out
    model = read_folder(folder)
    assert Classifier(model, open_engine(model, "onnx")).has_gate


def test_a_model_of_the_hub_is_left_alone(monkeypatch):
    monkeypatch.setattr(refit, "find_model", lambda name: read_folder(BUNDLED / "mobilenet_v2", "user/repository@"))
    monkeypatch.setattr("sys.argv", ["refit", "user/repository"])
    with pytest.raises(UserError, match="copy its folder"):
        refit.main()
