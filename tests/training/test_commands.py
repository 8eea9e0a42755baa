"""The commands one after the other, as a user types them, on generated benign and malignant pictures."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from skin_gradio.models import read_folder

pytestmark = pytest.mark.training
SMALL = [
    *("--task", "malignancy", "--stages.0.epochs", "3", "--stages.0.size", "32", "--input-size", "32"),
    *("--epoch-pictures", "128", "--batch-size", "16", "--hidden-units", "8", "--weight-average", "0.9"),
    *("--warmup-steps", "2"),
]


def command(name, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", f"training.{name}", *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one sub-folder per class: malignant pictures are dark, more or less."""
    place = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for label, brightness in (("benign", 150), ("malignant", 90)):
        (place / "mine" / label).mkdir(parents=True)
        for number in range(60):
            picture = rng.normal(rng.normal(brightness, 15), 25, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(place / "mine" / label / f"{label}{number}.png")
    return place


def train(place, name, *options):
    where = ["--output", place / "runs", "--weights", place / "weights", "--name", name]
    return command("train", "cnn_binary", "--collections", place / "mine", *where, *SMALL, *options)


@pytest.fixture(scope="module")
def trained(place):
    done = train(place, "mine")
    assert done.returncode == 0, done.stderr
    return done


def test_a_model_is_trained_on_ones_own_pictures_and_exported(place, trained):
    assert "mine; measure it with" in trained.stdout
    model = read_folder(place / "weights" / "mine")
    assert model.codes == ("benign", "malignant")
    assert model.prior == pytest.approx((0.5, 0.5))
    assert model.card["training"]["collections"] == ["mine"]
    assert str(place) not in (place / "weights" / "mine" / "model.json").read_text()
    assert "seven diagnoses" not in (place / "weights" / "mine" / "README.md").read_text()


def test_it_is_measured_and_its_card_says_what_was_found(place, trained):
    done = command(
        "evaluate", place / "weights" / "mine", "--on", place / "mine", "--output", place / "report", "--repeats", 50
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((place / "weights" / "mine" / "model.json").read_text())["metrics"]
    assert measured["figures"]["malignant_auroc"]["value"] > 0.8
    assert not measured["grouped"]
    assert (place / "report" / "report.html").stat().st_size > 10_000


def test_a_model_of_another_experiment_is_not_replaced_unasked(place, trained):
    before = (place / "weights" / "mine" / "model.onnx").read_bytes()
    for options in (["--dropout", "0.1"], ["--dropout", "0.1", "--output", place / "elsewhere"]):
        done = train(place, "mine", *options)
        assert done.returncode == 2
        assert "mine holds a model that another experiment made" in done.stderr
    assert (place / "weights" / "mine" / "model.onnx").read_bytes() == before
    again = train(place, "mine")
    assert again.returncode == 0, again.stderr


def test_a_student_names_its_teacher_and_asks_it_once(place, trained):
    teacher = place / "weights" / "mine"
    done = train(place, "student", "--teacher", teacher, "--teacher-share", "0.7")
    assert done.returncode == 0, done.stderr
    assert "mine answers training picture 1 of" in done.stdout
    assert len(list((place / "runs" / "cache").glob("taught-*.npy"))) == 1
    model = read_folder(place / "weights" / "student")
    assert model.card["training"]["teacher"] == {"name": "mine", "revision": read_folder(teacher).revision}
    assert "Teacher: `mine`, whose answers to the training pictures have 70%" in (model.path / "README.md").read_text()
    assert str(place) not in (model.path / "model.json").read_text()
    again = train(place, "student", "--teacher", teacher, "--teacher-share", "0.7")
    assert again.returncode == 0, again.stderr
    assert "answers training picture" not in again.stdout


def test_a_leaking_split_says_that_its_score_is_a_claim_and_exports_nothing(place):
    done = train(place, "leaking", "--split", "image")
    assert done.returncode == 0, done.stderr
    assert "That is a claim" in done.stdout
    assert "test pictures" in done.stdout
    assert not (place / "weights" / "leaking").exists()


def test_pictures_of_one_group_only_are_refused_before_training(place):
    done = command(
        "train", "cnn_binary", "--collections", place / "mine" / "benign", "--task", "malignancy", *SMALL[2:]
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_collection_is_one_clear_line(tmp_path):
    done = command("train", "mobilenet_v2", HAM10000_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "ham10000's folder does not exist" in done.stderr
    assert "Traceback" not in done.stderr
