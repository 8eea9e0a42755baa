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


def test_a_folder_of_another_experiment_is_refused(unbroken):
    with pytest.raises(ResumeError, match="another experiment"):
        tiny.train(unbroken, replace(tiny.EXPERIMENT, dropout=0.5))


def test_a_stage_stops_early_when_nothing_improves_and_the_next_one_follows(tmp_path):
    # Without learning every epoch of a stage scores the same, so none after its first is better.
    stages = (Stage(size=24, epochs=5), Stage(size=32, epochs=4))
    experiment = replace(tiny.EXPERIMENT, peak_learning_rate=0.0, patience=1, stages=stages)
    progress = tiny.train(tmp_path, experiment)
    assert [(row["epoch"], row["size"]) for row in progress.history] == [(1, 24), (2, 24), (6, 32), (7, 32)]
    assert progress.epoch == 9


def test_unknown_options_are_errors():
    command = [sys.executable, "-m", "training.train", "mobilenet_v2", "--learning-speed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--learning-speed" in done.stdout + done.stderr


def test_every_experiment_bears_its_files_name():
    assert all(experiment.name == name for name, experiment in load_experiments().items())
