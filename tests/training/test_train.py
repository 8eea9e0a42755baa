import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny
from training.experiment import Stage
from training.fit import ResumeError, read_progress
from training.train import load_experiments

pytestmark = pytest.mark.training


def start(folder, backend="tensorflow"):
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.tiny", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert start(folder).wait() == 0
    return folder


def scores(folder):
    rows = csv.DictReader((Path(folder) / "history.csv").open())
    return [[float(row[name]) for name in ("epoch", "size", "loss", "validation_balanced_accuracy")] for row in rows]


def test_a_run_learns_and_logs_every_epoch(unbroken):
    history = read_progress(unbroken).history
    assert [(row["epoch"], row["size"]) for row in history] == [(1, 24), (2, 24), (3, 32), (4, 32)]
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_best_epoch_is_the_best_of_the_last_stage(unbroken):
    """Scores at different picture sizes are not comparable, and the model ships at the last one."""
    progress = read_progress(unbroken)
    last = [row for row in progress.history if row["size"] == 32]
    assert progress.best_score == max(row["validation_balanced_accuracy"] for row in last)
    assert progress.best_file == f"best-{progress.best_epoch + 1}.weights.h5"
    assert progress.best_epoch in (2, 3)


def test_only_the_last_and_the_best_weights_are_kept(unbroken):
    progress = read_progress(unbroken)
    kept = {file.name for file in unbroken.glob("*.h5")}
    assert kept == {progress.state_file, progress.best_file}


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(unbroken, tmp_path, after):
    process = start(tmp_path)
    for line in process.stdout:
        if line.startswith(f"epoch {after}/"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_progress(tmp_path).epoch >= after
    assert start(tmp_path).wait() == 0
    np.testing.assert_allclose(scores(tmp_path), scores(unbroken), rtol=2e-3)


def test_the_same_run_on_jax_learns_as_well(tmp_path):
    assert start(tmp_path, "jax").wait() == 0
    history = read_progress(tmp_path).history
    assert len(history) == 4
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["validation_macro_auroc"] > 0.9


def test_a_finished_run_started_again_trains_no_more(unbroken):
    before = json.loads((unbroken / "progress.json").read_text())
    assert start(unbroken).wait() == 0
    assert json.loads((unbroken / "progress.json").read_text()) == before


def test_a_finished_run_wants_nothing_that_it_started_from(unbroken, monkeypatch):
    from training import fit

    monkeypatch.setattr(fit, "build", lambda *arguments: pytest.fail("a network is built"))
    assert tiny.train(unbroken).epoch == tiny.EXPERIMENT.epochs


def test_a_folder_of_another_experiment_is_refused(unbroken):
    with pytest.raises(ResumeError, match="another experiment"):
        tiny.train(unbroken, replace(tiny.EXPERIMENT, dropout=0.5))


def test_a_run_from_before_a_field_was_added_is_gone_on_with(tmp_path):
    """Its record lacks the field, whose default says what was done then."""
    begun = replace(tiny.EXPERIMENT, stages=(Stage(size=24, epochs=1),))
    tiny.train(tmp_path, begun)
    progress = json.loads((tmp_path / "progress.json").read_text())
    experiment, data = json.loads(progress["fingerprint"])
    del experiment["teacher"], experiment["augmentation"]["illumination"], experiment["stages"][0]["trains"]
    progress["fingerprint"] = json.dumps([experiment, data])
    (tmp_path / "progress.json").write_text(json.dumps(progress))
    assert tiny.train(tmp_path, begun).epoch == 1
    for other in (replace(begun, teacher="x"), replace(begun, stages=(Stage(size=24, epochs=1, trains="head"),))):
        with pytest.raises(ResumeError, match="another experiment"):
            tiny.train(tmp_path, other)


def test_a_stage_stops_early_when_nothing_improves_and_the_next_one_follows(tmp_path):
    # Without learning every epoch of a stage scores the same, so none after its first is better.
    stages = (Stage(size=24, epochs=5), Stage(size=32, epochs=4))
    experiment = replace(tiny.EXPERIMENT, peak_learning_rate=0.0, patience=1, stages=stages)
    progress = tiny.train(tmp_path, experiment)
    assert [(row["epoch"], row["size"]) for row in progress.history] == [(1, 24), (2, 24), (6, 32), (7, 32)]
    assert progress.epoch == 9


HEAD_FIRST = replace(
    tiny.EXPERIMENT,
    name="head first",
    hidden_units=5,
    stages=(Stage(size=24, epochs=2, trains="head", peak_learning_rate=1e-2), Stage(size=24, epochs=2)),
)


def test_the_head_is_trained_first_and_then_all_layers(tmp_path):
    from training.fit import build

    def weights(name):
        model = build(HEAD_FIRST, 7, started=False)
        model.load_weights(tmp_path / name / read_progress(tmp_path / name).state_file)
        return model.get_layer("backbone").get_weights(), model.get_layer("hidden").get_weights()

    head = replace(HEAD_FIRST, stages=(*HEAD_FIRST.stages[:1], Stage(size=24, epochs=0)))
    shorter = replace(head, stages=(replace(HEAD_FIRST.stages[0], epochs=1),))
    for name, experiment in (("one", shorter), ("two", head), ("all", HEAD_FIRST)):
        tiny.train(tmp_path / name, experiment)
    one, two, full = weights("one"), weights("two"), weights("all")
    assert all(np.array_equal(a, b) for a, b in zip(one[0], two[0], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(two[0], full[0], strict=True))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_in_phases_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, after):
    class Stopped(Exception):
        pass

    def stop(row):
        if row["epoch"] == after:
            raise Stopped

    tiny.train(tmp_path / "unbroken", HEAD_FIRST)
    with pytest.raises(Stopped):
        tiny.train(tmp_path / "broken", HEAD_FIRST, on_epoch=stop)
    tiny.train(tmp_path / "broken", HEAD_FIRST)
    np.testing.assert_allclose(scores(tmp_path / "broken"), scores(tmp_path / "unbroken"), rtol=2e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "focal"},
        {"class_weights": True, "logit_adjustment": False},
        {"mix": "mixup"},
        {"mix": "cutmix"},
        {"optimizer": "sgd", "schedule": "linear"},
        {"schedule": "constant"},
        {"precision": "mixed_bfloat16"},
        {"freeze_batch_norm": True},
        {"best_metric": "loss"},
        {"network": "residual", "stochastic_depth": 0.3},
    ],
    ids=str,
)
def test_every_option_of_an_experiment_trains(tmp_path, options):
    progress = tiny.train(tmp_path, replace(tiny.EXPERIMENT, **options))
    assert progress.history[-1]["loss"] < progress.history[0]["loss"]
    assert progress.best_score == max(
        -row["validation_loss"] if options.get("best_metric") == "loss" else row["validation_balanced_accuracy"]
        for row in progress.history[2:]
    )


def test_tensorboard_gets_the_validation_figures_when_it_is_asked_for(tmp_path):
    tiny.train(tmp_path, HEAD_FIRST, tensorboard=True)
    written = b"".join(file.read_bytes() for file in (tmp_path / "tensorboard").rglob("events*"))
    assert b"validation_balanced_accuracy" in written


def test_a_collection_without_a_class_does_not_unteach_it():
    """The trap: pictures of another camera, none of them of class 6, must not make that class less likely there."""
    import keras

    from training.batches import MASKED
    from training.fit import _loss

    logits = keras.ops.convert_to_tensor(np.array([[0.5, 1.0, 3.0], [0.5, 1.0, -3.0]], "float32"))
    targets = np.array([[0, 1, 0, 0, 0, MASKED]] * 2, "float32")
    for name in ("cross_entropy", "focal"):
        loss = keras.ops.convert_to_numpy(_loss(replace(tiny.EXPERIMENT, loss=name))(targets, logits))
        assert loss[0] == pytest.approx(loss[1], rel=1e-5)
        known = np.exp(1.0) / (np.exp(0.5) + np.exp(1.0))
        expected = -np.log(known) * ((1 - known) ** 2 if name == "focal" else 1)
        assert loss[0] == pytest.approx(expected, rel=1e-4)


def test_options_that_contradict_each_other_are_one_clear_line():
    command = [sys.executable, "-m", "training.train", "mobilenet_v2", "--class-weights"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "use one of them" in done.stdout + done.stderr


def test_unknown_options_are_errors():
    command = [sys.executable, "-m", "training.train", "mobilenet_v2", "--learning-speed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--learning-speed" in done.stdout + done.stderr


def test_every_experiment_bears_its_files_name():
    assert all(experiment.name == name for name, experiment in load_experiments().items())
