import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import app
from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.engines import Outputs
from skin_gradio.models import ModelFolder, OperatingPoint
from skin_gradio.ui import about, markup, single, table
from skin_gradio.ui import batch as batch_tab
from skin_gradio.ui.api import _check_prior, _upload
from skin_gradio.ui.dropzone import Upload, read_uploads, uploaded_path
from skin_gradio.ui.page import build_page, launch_options
from skin_gradio.ui.runs import PAGE_ROWS, KeptRow, Run, Runs

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
    path = tmp_path / "uploads"
    path.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(path))
    return path


def picture_bytes(value=200):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def saved(folder, name, data):
    (folder / name).write_bytes(data)
    return Upload(folder / name, name)


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


def test_the_answer_never_calls_a_lesion_harmless(classifier, folder):
    for value in (0, 120, 255):
        html, _ = single.answer(classifier, saved(folder, "a.png", picture_bytes(value)), "collection")
        words = re.sub(r"<[^>]*>", " ", html).replace("Benign keratosis", "").replace("benign keratosis", "").lower()
        assert not re.search(r"benign|cancer-free|\bsafe\b|harmless|healthy", words)


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


# One picture


def test_a_picture_gives_bars_score_and_heatmap(classifier, folder):
    html, seen = single.answer(classifier, saved(folder, "a.png", picture_bytes()), "collection")
    assert "Melanocytic nevus" in html
    assert "Malignancy score" in html
    assert seen.count("<img") == 2
    assert "no proof" in seen


def test_the_prior_changes_the_answer(classifier, folder):
    upload = saved(folder, "a.png", picture_bytes(110))
    assert bar_codes(single.answer(classifier, upload, "collection")[0])[0] == "mel"
    upload = saved(folder, "b.png", picture_bytes(170))
    assert bar_codes(single.answer(classifier, upload, "collection")[0])[0] == "nv"
    assert bar_codes(single.answer(classifier, upload, "equal")[0])[0] == "mel"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello", "not a picture"), (b"%PDF-1.7", "PDF"), (picture_bytes()[:70], "cut off|damaged")],
)
def test_a_bad_file_is_answered_with_its_reason(classifier, folder, data, reason):
    html, seen = single.answer(classifier, saved(folder, "bad.jpg", data), "collection")
    assert 'role="alert"' in html
    assert "bad.jpg" in html
    assert re.search(reason, html)
    assert seen == ""


def test_file_names_are_shown_as_text(classifier, folder):
    upload = replace(saved(folder, "a.png", picture_bytes()), name="<img src=x onerror=alert(1)>.png")
    bad = replace(saved(folder, "b.png", b"x"), name="<script>.png")
    assert "<img src=x" not in single.answer(classifier, upload, "collection")[0]
    assert "<script>" not in single.answer(classifier, bad, "collection")[0]


def test_an_expired_picture_is_a_message(classifier):
    assert "no longer here" in single.answer(classifier, None, "collection")[0]


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


# Many pictures


@pytest.fixture
def run():
    made = Run(lesions.CODES, PRIOR, "collection", 3)
    yield made
    made.delete()


def kept(name, melanoma, reason=""):
    if reason:
        return KeptRow(name, "failed", reason, None, None, None)
    probabilities = np.full(7, 0.02)
    probabilities[4], probabilities[5] = melanoma, 0.9 - melanoma
    return KeptRow(name, "ok", "", probabilities, float(melanoma + 0.04), None)


def test_rows_sort_by_every_column_and_turn_round(run):
    for row in (kept("B", 0.3), kept("a", 0.7), kept("c", 0, "The file is empty."), kept("D", 0.1)):
        run.add(row)
    orders = {}
    for key in ("file", "score", "diagnosis", "status"):
        run.sort(key)
        orders[key] = [row.file for row in run.rows()]
    assert orders == {"file": list("aBcD"), "score": list("aBDc"), "diagnosis": list("cBDa"), "status": list("cBaD")}
    run.sort("status")
    assert run.rows()[0].status == "ok"
    run.sort("number; DROP TABLE rows")
    assert run.view.key == "status"


def test_only_one_page_of_rows_is_shown(run):
    for i in range(PAGE_ROWS + 7):
        run.add(kept(f"{i}.jpg", 0.1))
    assert len(run.rows()) == PAGE_ROWS
    run.turn_to(99)
    assert [row.number for row in run.rows()] == list(range(PAGE_ROWS + 1, PAGE_ROWS + 8))
    assert table.table_html(run, POINT).count("<tr>") == 8
    assert f"Rows {PAGE_ROWS + 1} to {PAGE_ROWS + 7} of {PAGE_ROWS + 7}" in table.toolbar_html(run)
    run.turn_to(-1)
    assert run.view.page == 0


def test_rows_follow_the_prior_and_the_score_does_not(run):
    run.add(kept("a", 0.3))
    before = run.rows()[0]
    run.set_prior("equal")
    run.add(kept("b", 0.3))
    first, second = run.rows()
    assert (before.code, first.code, second.code) == ("nv", "mel", "mel")
    assert first.probability == pytest.approx(second.probability)
    assert before.score == first.score == second.score
    run.set_prior("collection")
    assert run.rows()[0] == before


def test_headings_tell_a_screen_reader_the_order(run):
    run.add(kept("a", 0.3))
    run.sort("score")
    assert table.table_html(run, POINT).count('aria-sort="descending"') == 1


def test_rows_show_names_and_reasons_as_text(run):
    run.add(kept("<b>a</b>", 0, "<i>why</i>"))
    html = table.table_html(run, POINT)
    assert "<b>" not in html
    assert "&lt;i&gt;why" in html


def test_progress_counts_files_failures_and_the_time_left(run):
    run.total = 2000
    run.add(kept("a", 0.3))
    run.add(kept("b", 0, "The file is empty."))
    run.started -= 10
    assert "2 of 2,000, 1 failed, about 3 h left" not in table.progress_line(run)
    assert re.search(r"2 of 2,000, 1 failed, about \d+(\.\d)? (h|min) left", table.progress_line(run))
    run.cancelled.set()
    run.finish()
    assert "Stopped: 2 of 2,000" in table.progress_line(run)


def test_sessions_do_not_see_each_others_runs():
    runs = Runs()
    mine, theirs = (Run(lesions.CODES, PRIOR, "collection", 1) for _ in range(2))
    runs.keep("me", mine)
    runs.keep("you", theirs)
    assert runs.of("me") is mine
    assert runs.of("stranger") is None
    runs.cancel("me")
    assert mine.cancelled.is_set()
    assert not theirs.cancelled.is_set()
    runs.delete_all()


def test_a_new_run_deletes_the_sessions_earlier_one():
    runs = Runs()
    first, second = (Run(lesions.CODES, PRIOR, "collection", 1) for _ in range(2))
    runs.keep("me", first)
    runs.keep("me", second)
    assert first.cancelled.is_set()
    assert not first.folder.exists()
    first.add(kept("late", 0.1))
    assert first.rows() == []
    runs.delete_all()


def test_expired_runs_leave_nothing_on_disk():
    runs = Runs(lifetime=-1)
    ended, going = (Run(lesions.CODES, PRIOR, "collection", 1) for _ in range(2))
    ended.finish()
    runs.keep("a", ended)
    runs.keep("b", going)
    runs.delete_expired()
    assert not ended.folder.exists()
    assert going.folder.exists()
    runs.delete_all()
    assert not going.folder.exists()


def test_a_batch_becomes_rows_and_a_csv_for_the_chosen_prior(classifier, folder, run):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("sub/c.png", picture_bytes(170))
    uploads = [
        replace(saved(folder, "a.png", picture_bytes()), name="visit/a.png"),
        saved(folder, "bad.png", b""),
        Upload(folder / "more.zip", "more.zip"),
    ]
    for _ in batch_tab.classify(classifier, uploads, run):
        pass
    rows = {row.file: row for row in run.rows()}
    assert len(rows) == 3
    assert rows["visit/a.png"].code == "nv"
    assert rows["visit/a.png"].thumbnail.startswith(b"\xff\xd8")
    assert "empty" in rows["bad.png"].reason
    texts = []
    for prior in ("collection", "equal"):
        run.set_prior(prior)
        with open(batch_tab.write_csv(classifier, run), newline="", encoding="utf-8-sig") as handle:
            texts.append(list(csv.reader(handle)))
    assert [len(text) for text in texts] == [4, 4]
    assert texts[0][0] == texts[1][0]
    assert texts[0] != texts[1]


def test_a_cancelled_batch_stops(classifier, folder, run):
    uploads = [saved(folder, f"{i}.png", picture_bytes()) for i in range(200)]
    run.cancelled.set()
    for _ in batch_tab.classify(classifier, uploads, run):
        pass
    assert run.done < 40


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


def test_about_shows_the_figures_of_the_card_or_says_that_there_are_none():
    figure = {"value": 0.701, "low": 0.65, "high": 0.75}
    keys = [key for key, _, _ in about._FIGURES]
    card = {
        "metrics": {
            "collection": "HAM10000",
            "picture_size": "256 x 256",
            "pictures": 1498,
            "lesions": 1121,
            "figures": dict.fromkeys(keys, figure),
        }
    }
    assert about.figures(card).count("0.650 to 0.750") == len(keys)
    assert "1,498 pictures of 1,121 lesions" in about.figures(card)
    assert "without test figures" in about.figures({})
    assert "without test figures" in about.figures({"metrics": {"figures": {keys[0]: "high"}}})


def test_the_page_has_named_typed_endpoints_and_hides_its_inner_ones(classifier):
    page = build_page(classifier)
    endpoints = page.get_api_info()["named_endpoints"]
    assert set(endpoints) == {"/classify", "/classify_batch", "/model"}
    names = [parameter["parameter_name"] for parameter in endpoints["/classify"]["parameters"]]
    assert names == ["picture", "prior"]


def test_the_page_asks_no_other_host_for_anything():
    options = launch_options()
    assert options["theme"]._stylesheets == []
    assert "http" not in "".join(path.read_text() for path in options["css_paths"])


def test_a_model_of_two_groups_is_spoken_of_as_one():
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    card = markup.score_card(0.5, point, ["Malignant group"])
    assert "the probability of malignant group, always" in card
    seven = markup.score_card(0.5, point, ["Actinic keratosis", "Basal cell carcinoma", "Melanoma"])
    assert "of actinic keratosis, basal cell carcinoma or melanoma together, always" in seven
