"""Several models in one graph: their average, calibrated for itself, in a folder like any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_gradio import lesions
from skin_gradio.engines import OUTPUTS, KerasEngine, OnnxEngine
from skin_gradio.heatmap import normalised
from skin_gradio.images import Picture
from skin_gradio.models import find_model, read_folder
from tests.training import answered, tiny
from training import average, calibrate, export, members
from training.collection import Collection

pytestmark = pytest.mark.training
PRIOR = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])
CALIBRATION = calibrate.Calibration(1.3, np.linspace(-0.5, 0.5, 7))


def write_model(folder, name, size, hidden_units, seed, other_backbone=False):
    """A model folder of a tiny network; its own calibration and last layer differ with the seed."""
    network = tiny.build(hidden_units)
    rng = np.random.default_rng(seed)
    if other_backbone:
        backbone = network.get_layer("backbone")
        backbone.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in backbone.weights])
    last = network.get_layer("logits")
    last.set_weights([rng.normal(0, 1, w.shape) for w in last.weights])
    logits, labels = tiny.answers(rng)
    record = {**tiny.RECORD, "history": [{"epoch": 1}]}
    experiment = replace(tiny.EXPERIMENT, name=name, input_size=size)
    calibration = replace(calibrate.fit(logits, labels, PRIOR), temperature=1.0 + 0.2 * seed)
    export.export_folder(network, experiment, lesions.CODES, PRIOR, calibration, logits, labels, record, folder / name)
    return find_model(str(folder / name))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model with a linear head, one with a hidden layer, and one with a smaller input."""
    folder = tmp_path_factory.mktemp("models")
    return [
        write_model(folder, "one", 32, 0, 1),
        write_model(folder, "two", 32, 5, 2),
        write_model(folder, "small", 24, 0, 3),
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A collection on disk with training and validation pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    tables = [
        answered.collection(folder / part, each=each, split=part).table.assign(image=lambda t, p=part: p + t["image"])
        for part, each in (("train", 2), ("validation", 4))
    ]
    return Collection("ham10000", "HAM10000", pd.concat(tables, ignore_index=True), lesions.CODES)


@pytest.fixture
def pictures():
    return tiny.data(per_class=2, side=32, seed=1)[0]


def joined(models, shares, calibration=CALIBRATION):
    return members.average_model(members.open_members(models), np.array(shares), PRIOR, calibration, "average")


def test_the_average_is_that_of_the_members_logits_at_equal_priors(models, pictures):
    each = [KerasEngine(model).run(pictures).probabilities for model in models[:2]]
    logits = 0.3 * (np.log(each[0]) - np.log(PRIOR)) + 0.7 * (np.log(each[1]) - np.log(PRIOR))
    expected = CALIBRATION.probabilities(logits, PRIOR)
    found = joined(models[:2], [0.3, 0.7]).predict(pictures, verbose=0)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_maps_are_averaged_and_features_stand_side_by_side(models, pictures):
    each = [KerasEngine(model).run(pictures) for model in models[:2]]
    found = joined(models[:2], [0.3, 0.7]).predict(pictures, verbose=0)
    maps = (0.3 * each[0].heatmaps + 0.7 * each[1].heatmaps) / CALIBRATION.temperature
    np.testing.assert_allclose(found["heatmaps"], maps, rtol=1e-4, atol=1e-4)
    embedding = np.concatenate([one.embedding for one in each], axis=1)
    np.testing.assert_allclose(found["embedding"], embedding, rtol=1e-5, atol=1e-6)


def test_a_smaller_member_gets_the_picture_as_an_upload_is_shrunk(models, pictures):
    import keras

    shown = keras.Input((32, 32, 3), dtype="uint8")
    shrunk = keras.Model(shown, members._shrunk(shown, 24)).predict(pictures, verbose=0)
    expected = np.stack([Picture(one, 32, 32, "", 1).resized(24) for one in pictures])
    gap = np.abs(shrunk.astype(int) - expected.astype(int))
    assert shrunk.dtype == np.uint8
    assert gap.max() <= 2
    assert gap.mean() < 0.5


def test_a_coarser_members_maps_are_enlarged_in_place(models):
    """What lies on the left stays there, on the finest member's grid."""
    values = np.zeros((1, 6, 6, 7), np.float32)
    values[:, :, 1] = 1
    import keras
    from PIL import Image

    grid = keras.Input((6, 6, 7))
    enlarged = keras.Model(grid, members._interpolated(grid, 8, Image.Resampling.BILINEAR))
    found = enlarged.predict(values, verbose=0)
    assert found.shape == (1, 8, 8, 7)
    assert normalised(found[0, :, :, 0]).argmax(axis=1).max() <= 2
    np.testing.assert_allclose(found[:, :, 5:], 0, atol=1e-6)


def run(models, source, folder, monkeypatch, *options):
    monkeypatch.setattr(average.collection, "load", lambda name, base: source)
    names = [str(model.path) for model in models]
    monkeypatch.setattr("sys.argv", ["average", *names, "--name", "average", "--weights", str(folder), *options])
    average.main()
    return read_folder(folder / "average")


@pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (0, 1, 2)], ids=str)
def test_the_command_writes_a_folder_that_answers_alike_on_every_engine(
    models, source, pictures, chosen, tmp_path, monkeypatch, capsys
):
    model = run([models[place] for place in chosen], source, tmp_path, monkeypatch)
    onnx, keras = OnnxEngine(model).run(pictures), KerasEngine(model).run(pictures)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(onnx, name), getattr(keras, name), atol=1e-4)
    assert onnx.heatmaps.shape == (14, 8, 8, 7)
    assert model.input_size == 32
    said = model.card["training"]["members"]
    assert [(one["name"], one["revision"]) for one in said] == [
        (models[place].name, models[place].revision) for place in chosen
    ]
    assert [one["share"] for one in said] == pytest.approx([1 / len(chosen)] * len(chosen))
    assert model.card["views"]["count"] == 8
    assert "history" not in said[0]["training"]
    text = (model.path / "README.md").read_text()
    assert "The average of `one` and" in text
    assert "python -m training.average" in text
    assert model.card["training"]["learned_from"] == ["HAM10000"]
    assert str(tmp_path) not in json.dumps(model.card) + text
    assert "average: validation BACC" in capsys.readouterr().out


def test_half_precision_is_rounded_before_it_is_fitted_so_files_are_small_and_agree(
    models, source, pictures, tmp_path, monkeypatch
):
    from training import half_precision

    monkeypatch.setattr(half_precision, "MIN_VALUES", 50)
    whole = run([models[0], models[2]], source, tmp_path / "whole", monkeypatch)
    model = run([models[0], models[2]], source, tmp_path / "half", monkeypatch, "--half-precision")
    onnx, keras = OnnxEngine(model).run(pictures), KerasEngine(model).run(pictures)
    np.testing.assert_allclose(onnx.probabilities, keras.probabilities, atol=1e-5)
    assert 0 < np.abs(onnx.probabilities - OnnxEngine(whole).run(pictures).probabilities).max() < 0.01
    for name in ("model.keras", "model.onnx"):
        assert model.file(name).stat().st_size < whole.file(name).stat().st_size
    assert "rounded to half precision" in (model.path / "README.md").read_text()
    assert "half precision" not in (whole.path / "README.md").read_text()


def test_the_mean_of_weights_is_one_network_between_its_members(models, source, pictures, tmp_path, monkeypatch):
    pair = [models[0], write_model(tmp_path, "sister", 32, 0, 4)]
    model = run(pair, source, tmp_path / "mean", monkeypatch, "--of", "weights", "--shares", "1", "3")
    onnx, keras = OnnxEngine(model).run(pictures), KerasEngine(model).run(pictures)
    np.testing.assert_allclose(onnx.probabilities, keras.probabilities, atol=1e-5)
    assert model.card["parameters"] == models[0].card["parameters"]
    # The tiny backbones are the same, so here the last layers alone are averaged, and the logits with them.
    logits = [np.log(KerasEngine(one).run(pictures).probabilities) - np.log(one.prior) for one in pair]
    found = np.log(onnx.probabilities) - np.log(model.prior) - model.card["calibration"]["bias"]
    expected = (logits[0] + 3 * logits[1]) / 4 / model.card["calibration"]["temperature"]
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], atol=1e-3)
    said = (model.path / "README.md").read_text()
    assert "The mean of the weights of `one` and `sister`" in said
    assert "The members' weights are averaged" in said
    assert model.card["training"]["average_of"] == "weights"
    maps = (KerasEngine(pair[0]).run(pictures).heatmaps + 3 * KerasEngine(pair[1]).run(pictures).heatmaps) / 4
    np.testing.assert_allclose(onnx.heatmaps, maps / model.card["calibration"]["temperature"], rtol=1e-3, atol=1e-3)


def test_every_weight_of_the_backbone_is_averaged(models, source, tmp_path, monkeypatch):
    import keras

    pair = [models[0], write_model(tmp_path, "sister", 32, 0, 4, other_backbone=True)]
    model = run(pair, source, tmp_path / "mean", monkeypatch, "--of", "weights", "--shares", "1", "3")
    first, second, mean = (
        keras.saving.load_model(one.file("model.keras")).get_layer("backbone").get_weights() for one in (*pair, model)
    )
    for a, b, found in zip(first, second, mean, strict=True):
        assert not np.allclose(a, b)
        np.testing.assert_allclose(found, (a + 3 * b) / 4, rtol=1e-5, atol=1e-6)


def test_training_goes_on_from_a_mean_of_weights(models, source, tmp_path, monkeypatch):
    from training import starting

    model = run(
        [models[0], write_model(tmp_path, "sister", 32, 0, 4)], source, tmp_path, monkeypatch, "--of", "weights"
    )
    pictures = tiny.data(per_class=6, side=32, seed=3)[0]
    learner = tiny.build()
    starting.continue_from(learner, model, lesions.CODES, list(pictures), 32)
    logits = learner.predict(pictures, verbose=0)
    probabilities = KerasEngine(model).run(pictures).probabilities
    expected = np.log(probabilities) - np.log(model.prior)
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=1e-3)


@pytest.mark.parametrize("other", [1, 2], ids=["another head", "another size"])
def test_weights_of_different_networks_are_not_averaged(models, source, other, tmp_path, monkeypatch):
    with pytest.raises(average.AverageError, match="networks or input sizes differ"):
        run([models[0], models[other]], source, tmp_path, monkeypatch, "--of", "weights")


def test_calibration_and_points_are_those_of_the_shipped_graph(models, source, tmp_path, monkeypatch):
    """The answers to the validation pictures, by the graph, have the sensitivity that model.json claims."""
    model = run([models[0], models[2]], source, tmp_path, monkeypatch, "--shares", "1", "3")
    from training.batches import decode

    table = source.part("validation")
    probabilities = OnnxEngine(model).run(decode(list(table["path"]), 32)).probabilities
    malignant = np.array(lesions.malignant_mask(lesions.CODES))
    labels = table["label"].map(lesions.CODES.index).to_numpy()
    score, truth = probabilities[:, malignant].sum(axis=1), malignant[labels]
    for point in model.operating_points:
        assert np.mean(score[truth] >= point.threshold - 1e-5) == pytest.approx(point.sensitivity)
    assert [one["share"] for one in model.card["training"]["members"]] == [0.25, 0.75]


def test_an_average_can_itself_be_averaged(models, source, pictures, tmp_path, monkeypatch):
    pair = run(models[:2], source, tmp_path, monkeypatch)
    model = run([pair, models[2]], source, tmp_path / "again", monkeypatch)
    both = [OnnxEngine(one).run(pictures).probabilities for one in (pair, model)]
    np.testing.assert_allclose(both[1].sum(axis=1), 1, rtol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-3
    assert model.card["parameters"] == sum(one.card["parameters"] for one in models)


def test_fitted_shares_go_to_the_better_member():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 600)
    good, noise = 3 * np.eye(7)[labels] + rng.normal(0, 1, (600, 7)), rng.normal(0, 1, (600, 7))
    even = np.full(7, 1 / 7)
    shares = calibrate.fit_shares(np.stack([noise, good]), labels, even)
    assert shares.sum() == pytest.approx(1)
    assert shares[1] > 0.9
    np.testing.assert_allclose(calibrate.fit_shares(np.stack([good, good]), labels, even), 0.5, atol=1e-3)


def command(models, **options):
    return average.AverageCommand(tuple(str(model.path) for model in models), "average", **options)


def test_one_model_alone_or_twice_is_no_average(models):
    for names in (models[:1], [models[0], models[0]]):
        with pytest.raises(average.AverageError, match="two or more different"):
            average.find_members(command(names).models)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"classes": ["benign", "malignant"], "prior": [0.5, 0.5]}, "does not have the classes of one"),
        ({"training": {}}, "does not say in its model.json what it learned from"),
        ({"training": {"experiment": {"collections": ["isic2017"]}}}, "first collections differ"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(models, change, reason, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in models[1].path.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    document = json.loads((other / "model.json").read_text()) | change
    (other / "model.json").write_text(json.dumps(document))
    with pytest.raises(average.AverageError, match=reason):
        average.find_members([str(models[0].path), str(other)])


def test_another_collection_than_that_of_the_prior_cannot_be_the_first(models, source, tmp_path, monkeypatch):
    other = replace(source, name="mine", title="mine")
    with pytest.raises(average.AverageError, match="The prior is that of HAM10000, so --on has to name it first"):
        run(models[:2], other, tmp_path, monkeypatch, "--on", "mine")


@pytest.mark.parametrize(
    "options",
    [
        {"shares": (1.0,)},
        {"shares": (1.0, 0.0)},
        {"shares": (1.0, 2.0), "fit_shares": True},
        {"of": "weights", "fit_shares": True},
    ],
)
def test_shares_that_make_no_sense_are_refused(models, options):
    with pytest.raises(average.AverageError, match="-shares"):
        average.chosen_shares(command(models[:2], **options))


def test_the_folder_has_nothing_but_the_contracts_files(models, source, tmp_path, monkeypatch):
    model = run(models[:2], source, tmp_path, monkeypatch)
    assert sorted(file.name for file in Path(model.path).iterdir()) == [
        "README.md",
        "model.json",
        "model.keras",
        "model.onnx",
    ]
