"""A finished model folder is a start like any other: same answers, then training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skin_gradio import lesions
from skin_gradio.models import BUNDLED, DEFAULT_MODEL, read_folder
from tests.training import tiny
from tests.training.test_export import export_tiny
from training import fit, starting
from training.command import UserError

pytestmark = pytest.mark.training


@pytest.fixture(params=[0, 5], ids=["linear head", "hidden layer"])
def hidden_units(request):
    return request.param


@pytest.fixture
def shipped(tmp_path, hidden_units):
    export_tiny(tiny.build(hidden_units), tmp_path / "shipped")
    return read_folder(tmp_path / "shipped")


def balanced(shipped, pictures):
    """Return a model folder's probabilities at equal priors."""
    import keras

    graph = keras.saving.load_model(shipped.file("model.keras"))
    even = graph.predict(pictures, verbose=0)["probabilities"] / np.array(shipped.prior)
    return even / even.sum(axis=1, keepdims=True)


def test_training_begins_with_the_answers_of_the_model_that_it_goes_on_from(shipped, hidden_units):
    import keras

    from training import networks

    pictures = tiny.data(per_class=9, side=32, seed=2)[0]
    model = networks.build("tiny", 7, hidden_units, 0.0, "random")
    starting.continue_from(model, shipped, lesions.CODES, list(pictures), 32)
    expected = balanced(shipped, pictures)
    np.testing.assert_allclose(keras.ops.softmax(model.predict(pictures, verbose=0)), expected, atol=1e-4)
    # Also in training mode, where the batch's own statistics count: the sample's here, for the batch is the sample.
    np.testing.assert_allclose(keras.ops.softmax(model(pictures, training=True)), expected, atol=2e-2)


def test_a_run_goes_on_from_a_folder_and_says_so(shipped, hidden_units, tmp_path):
    experiment = replace(tiny.EXPERIMENT, start=str(shipped.path), hidden_units=hidden_units, peak_learning_rate=1e-9)
    tiny.train(tmp_path / "run", replace(experiment, stages=experiment.stages[1:]))
    recorded = json.loads((tmp_path / "run" / "progress.json").read_text())
    assert str(shipped.path) in recorded["fingerprint"]
    from training.fit import build

    model = build(experiment, 7, started=False)
    model.load_weights(tmp_path / "run" / recorded["best_file"])
    pictures = tiny.data(per_class=3, side=32)[0]
    import keras

    answers = np.asarray(keras.ops.softmax(model.predict(pictures, verbose=0)))
    assert (answers.argmax(axis=1) == balanced(shipped, pictures).argmax(axis=1)).mean() > 0.9


def test_other_classes_take_over_the_backbone_alone(shipped, hidden_units):
    import keras

    from training import networks

    def head():
        layers = [layer for layer in model.layers if layer.name in ("normalise", "hidden", "logits")]
        return [values for layer in layers for values in layer.get_weights()]

    model = networks.build("tiny", 2, hidden_units, 0.0, "random")
    before = head()
    starting.continue_from(model, shipped, ("benign", "malignant"), list(tiny.data()[0]), 32)
    for one, other in zip(before, head(), strict=True):
        np.testing.assert_array_equal(one, other)
    graph = keras.saving.load_model(shipped.file("model.keras"))
    taken, given = (one.get_layer("backbone").get_weights() for one in (model, graph))
    for one, other in zip(taken, given, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_network_or_head_is_refused_by_name(shipped, hidden_units):
    from training import networks

    networks.BACKBONES["residual"] = tiny.ResidualBackbone()
    pictures = list(tiny.data()[0])
    other_network = networks.build("residual", 7, hidden_units, 0.0, "random")
    other_head = networks.build("tiny", 7, 3, 0.0, "random")
    with pytest.raises(UserError, match=r"shipped holds no residual"):
        starting.continue_from(other_network, shipped, lesions.CODES, pictures, 32)
    with pytest.raises(UserError, match=rf"has {hidden_units} hidden units, tiny has 3; set hidden_units"):
        starting.continue_from(other_head, shipped, lesions.CODES, pictures, 32)


def test_what_is_no_model_folder_is_left_to_the_others(tmp_path):
    for start in ("imagenet", "random", "some.weights.h5", str(tmp_path)):
        assert starting.shipped_model(start) is None
    assert starting.shipped_model(DEFAULT_MODEL).path == BUNDLED / DEFAULT_MODEL
    with pytest.raises(UserError, match=r"^start: There is no model 'nothing'"):
        starting.shipped_model("nothing")
    with pytest.raises(UserError, match=r"^start: there is no run runs/nothing; train nothing first"):
        starting.shipped_model("runs/nothing")  # no Hub is asked


def test_what_was_gone_on_from_and_a_teacher_count_as_learned_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, options in {
        "first": {"collections": ("ham10000",), "teacher": DEFAULT_MODEL},
        "second": {"collections": ("pictures/mine",), "start": "runs/first"},
        "third": {"collections": ("isic2018",), "start": "runs/gone"},
    }.items():
        run = fit.Progress(fit._fingerprint(replace(tiny.EXPERIMENT, **options), "data"))
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "progress.json").write_text(json.dumps(vars(run)))
    assert starting.learned_before("runs/second") == ["mine", "HAM10000", "HAM10000", "ISIC 2017"]
    assert starting.learned_before("runs/third") == ["ISIC 2018 Task 3"]
    assert starting.learned_before("imagenet") == []
    assert starting.learned_before(DEFAULT_MODEL) == ["HAM10000", "ISIC 2017"]


KEPT = sorted((Path(starting.__file__).parent / "checkpoints").glob("*/progress.json"))


@pytest.mark.parametrize("kept", KEPT, ids=[kept.parent.name for kept in KEPT])
def test_a_kept_run_is_a_finished_one_of_its_experiment_and_only_has_to_be_exported(kept):
    from training.experiment import complete
    from training.fit import build, read_progress
    from training.train import load_experiments

    experiment, progress = load_experiments()[kept.parent.name], read_progress(kept.parent)
    assert complete(json.loads(progress.fingerprint)[0]) == experiment.as_dict()
    assert progress.epoch == experiment.epochs == len(progress.history)
    weights = kept.parent / progress.best_file
    assert weights.stat().st_size < 50_000_000
    model = build(experiment, len(lesions.CODES), started=False)
    before = model.get_weights()
    model.load_weights(weights)
    assert not any(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
