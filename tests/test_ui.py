import json
import re
import subprocess
import sys
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

import app
from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.engines import Outputs
from skin_gradio.models import ModelFolder, OperatingPoint
from skin_gradio.ui import markup
from skin_gradio.ui.api import _check_prior, _upload
from skin_gradio.ui.dropzone import read_uploads, uploaded_path
from skin_gradio.ui.page import build_page, launch_options
from tests.uploads import saved, upload_folder

PRIOR = (0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02)
POINT = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)


class FakeEngine:
    """Answers by the mean of a picture: dark ones are melanoma, bright ones nevus."""

    name = "fake"

    def run(self, pictures):
        dark = 1 - pictures.reshape(len(pictures), -1).mean(axis=1) / 255
        probabilities = np.full((len(pictures), 7), 0.02)
        probabilities[:, 4] = 0.9 * dark
        probabilities[:, 5] = 0.9 * (1 - dark)
        maps = np.zeros((len(pictures), 7, 7, 7), np.float32)
        maps[:, 3, 3] = 1
        return Outputs(probabilities.astype(np.float32), maps, np.zeros((len(pictures), 4), np.float32))


@pytest.fixture
def classifier(tmp_path):
    model = ModelFolder(tmp_path, "tiny", "abc123", lesions.CODES, PRIOR, 32, (POINT,), {})
    return Classifier(model, FakeEngine())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that Gradio keeps uploads in."""
    return upload_folder(tmp_path, monkeypatch)


def finding(classifier, value=200, prior="collection"):
    return classifier.classify(np.full((1, 32, 32, 3), value, np.uint8), prior)[0]


def bar_codes(html):
    return re.findall(r'data-code="(\w+)"', html)


# Words


def test_bars_name_every_diagnosis_with_the_most_probable_first(classifier):
    html = markup.bars(finding(classifier))
    assert sorted(bar_codes(html)) == sorted(lesions.CODES)
    assert bar_codes(html)[0] == "nv"
    assert all(diagnosis.name.split("'")[0] in html for diagnosis in lesions.DIAGNOSES)


def test_malignant_diagnoses_are_marked_with_a_word(classifier):
    items = re.findall(r"<li.*?</li>", markup.bars(finding(classifier)))
    marked = {bar_codes(item)[0] for item in items if ">malignant</span>" in item}
    assert marked == {"akiec", "bcc", "mel"}


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<1%"), (0.004, "<1%"), (0.346, "35%"), (0.994, "99%"), (0.9999, ">99%"), (1, ">99%")],
)
def test_percentages_never_claim_certainty(probability, text):
    assert markup.percent(probability) == text


def test_the_score_is_lower_below_the_operating_point_and_higher_from_it_on():
    names = ["Melanoma", "Basal cell carcinoma"]
    below, above = markup.score_card(0.199, POINT, names), markup.score_card(0.2, POINT, names)
    assert "Lower score" in below
    assert "rules nothing out: 10%" in below
    assert "Higher score" in above
    assert "is no diagnosis: 30%" in above
    assert all("sensitivity 90%" in html and "0.200" in html for html in (below, above))


def test_an_unsure_answer_says_so(classifier):
    unsure = replace(finding(classifier), probabilities=np.array([0.1, 0.1, 0.1, 0.1, 0.25, 0.3, 0.05]))
    assert "unsure" in markup.sentence(unsure)
    assert "melanoma with 25%" in markup.sentence(unsure)


def test_the_sentence_names_the_mix_of_diagnoses(classifier):
    assert "as in the training collection" in markup.sentence(finding(classifier))
    assert "every diagnosis is equally common" in markup.sentence(finding(classifier, prior="equal"))


# Uploads


def test_only_files_in_the_upload_folder_count_as_uploads(folder, tmp_path):
    inside = saved(folder, "a.png", b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    entries = [
        {"path": str(inside.path), "name": "sub/a.png"},
        {"path": str(tmp_path / "secret.png"), "name": "secret"},
        {"path": str(folder / ".." / "secret.png"), "name": "secret"},
        {"path": str(folder / "link.png"), "name": "secret"},
        {"path": str(folder), "name": "folder"},
        {"path": "a\0b", "name": "zero"},
        {"path": 3},
        "text",
    ]
    assert [upload.name for upload in read_uploads(json.dumps(entries))] == ["sub/a.png"]


@pytest.mark.parametrize("value", [None, "", "{", "3", '{"path": 1}', "[[]]"])
def test_a_value_that_no_drop_zone_made_lists_nothing(value):
    assert read_uploads(value) == []


def test_an_endpoint_refuses_a_path_that_no_upload_made(folder):
    for claimed in ({"path": "/etc/passwd"}, {"path": None}, "/etc/passwd", None):
        with pytest.raises(gr.Error, match="not uploaded"):
            _upload(claimed)
    assert uploaded_path("/etc/passwd") is None


def test_an_endpoint_refuses_an_unknown_prior():
    with pytest.raises(gr.Error, match="collection or equal"):
        _check_prior("uniform")


# The page


def test_a_model_that_does_not_exist_is_one_clear_line_and_exit_status_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["app.py", "--model", "no-such-model"])
    assert app.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no-such-model" in error


def test_the_environment_stands_in_for_flags(monkeypatch, capsys):
    monkeypatch.setenv("SKIN_MODEL", "user/model@main")
    monkeypatch.setenv("SKIN_ENGINE", "onnx")
    assert app.command_from_environment() == app.AppCommand(model="user/model@main", engine="onnx")
    monkeypatch.setenv("SKIN_ENGINE", "steam")
    monkeypatch.setattr("sys.argv", ["app.py"])
    assert app.main() == 2
    assert "steam" in capsys.readouterr().err


def test_starting_imports_no_training_library():
    code = "import sys, skin_gradio.ui.page; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"keras", "tensorflow", "jax", "cv2", "scipy", "sklearn", "matplotlib", "onnx"} & set(found)


def test_the_page_has_named_typed_endpoints_and_hides_its_inner_ones(classifier):
    page = build_page(classifier)
    endpoints = page.get_api_info()["named_endpoints"]
    assert set(endpoints) == {"/classify", "/classify_batch", "/model", "/models"}
    names = [parameter["parameter_name"] for parameter in endpoints["/classify"]["parameters"]]
    assert names == ["picture", "prior", "model", "carefully"]


def test_the_page_asks_no_other_host_for_anything():
    options = launch_options()
    assert options["theme"]._stylesheets == []
    assert "http" not in "".join(path.read_text() for path in options["css_paths"])


def test_a_model_of_two_groups_is_spoken_of_as_one():
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    card = markup.score_card(0.5, point, ["Malignant lesion"])
    assert "the probability of a malignant lesion, always" in card
    seven = markup.score_card(0.5, point, ["Actinic keratosis", "Basal cell carcinoma", "Melanoma"])
    assert "of actinic keratosis, basal cell carcinoma or melanoma together, always" in seven
