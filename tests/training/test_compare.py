import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from skin_gradio.models import find_model
from tests.training import answered
from training import compare, metrics


def test_a_model_does_not_differ_from_itself():
    same = answered.sheet()
    found = compare.compare({"first": same, "again": same}, repeats=50)
    assert all(figure == {"value": 0, "low": 0, "high": 0} for figure in found["differences"]["again"].values())


def test_a_better_model_is_better_beyond_its_interval():
    good, bad = answered.sheet(skill=3.0), answered.sheet(skill=1.0)
    difference = compare.compare({"bad": bad, "good": good}, repeats=200)["differences"]["good"]
    assert difference["equal_balanced_accuracy"]["low"] > 0
    assert difference["expected_calibration_error"]["value"] != 0


def test_differences_are_paired_by_lesion():
    """A model that errs on the same pictures differs less from another than their own intervals suggest."""
    first = answered.sheet(600)
    rng = np.random.default_rng(5)
    noisy = first.probabilities * np.exp(rng.normal(0, 0.15, first.probabilities.shape))
    second = replace(first, probabilities=noisy / noisy.sum(axis=1, keepdims=True))
    found = compare.compare({"first": first, "second": second}, repeats=200)

    def width(figure):
        return figure["high"] - figure["low"]

    own = found["models"]["first"]["equal_macro_auroc"]
    assert width(found["differences"]["second"]["equal_macro_auroc"]) < 0.5 * width(own)


def test_models_of_different_tasks_are_compared_on_what_both_tell():
    seven = answered.sheet()
    found = compare.compare({"seven": seven, "two": seven.binary()}, repeats=20)["differences"]["two"]
    assert found["binary_auroc"]["value"] == pytest.approx(0)
    assert "recall_mel" not in found


def test_the_average_of_two_models_that_err_apart_is_better_than_each_and_calibrated():
    rng = np.random.default_rng(3)
    labels = rng.choice(7, 1500, p=answered.PRIOR)

    def members(seeds):
        return [answered.sheet(3000, seed=seed, labels=labels, skill=1.5) for seed in seeds]

    average = compare.fit_ensemble(members((1, 2))).sheet(members((11, 12)))
    alone = [metrics.macro_auroc(one.labels, one.equal) for one in members((11, 12))]
    assert metrics.macro_auroc(average.labels, average.equal) > max(alone) + 0.01
    assert metrics.expected_calibration_error(average.labels, average.probabilities) < 0.03
    assert len(average.thresholds) == 2
    np.testing.assert_allclose(average.probabilities.sum(axis=1), 1)


def test_an_average_of_seven_classes_is_not_asked_about_two():
    sheet = answered.sheet()
    with pytest.raises(compare.CompareError, match="benign and malignant alone"):
        compare.fit_ensemble([sheet, sheet]).sheet([sheet.binary(), sheet.binary()])


def test_one_model_is_nothing_to_compare():
    with pytest.raises(compare.CompareError, match="two or more different"):
        compare.open_contenders(["mobilenet_v2", "mobilenet_v2"], "onnx")


def test_a_model_that_is_named_twice_is_refused():
    with pytest.raises(compare.CompareError, match="each once"):
        compare.open_contenders(["mobilenet_v2", "another", "mobilenet_v2"], "onnx")


def test_the_command_writes_tables_figures_and_a_plot(tmp_path):
    answered.collection(tmp_path / "mine", each=3)
    pictures = tmp_path / "mine"
    for path in list(pictures.glob("*.png")):
        folder = pictures / path.stem.split("_")[0]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    for name in ("one", "other"):
        shutil.copytree(find_model().path, tmp_path / name)
    command = [sys.executable, "-m", "training.compare", str(tmp_path / "one"), str(tmp_path / "other")]
    options = ["--on", str(pictures), "--part", "all", "--repeats", "20", "--output", str(tmp_path / "report")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "report" / "comparison.json").read_text())["mine"]
    assert set(found["models"]) == {str(tmp_path / "one"), str(tmp_path / "other")}
    assert all(one["milliseconds"] > 0 and one["megabytes"] > 1 for one in found["costs"].values())
    assert "| difference from" in (tmp_path / "report" / "comparison.md").read_text()
    assert (tmp_path / "report" / "differences-mine.svg").read_text().startswith("<?xml")
