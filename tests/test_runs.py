"""The batch tab without a browser: runs, rows, filters, labels, the report."""

import csv
import io
import json
import os
import re
import threading
import time
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from skin_gradio import lesions
from skin_gradio.archives import Place
from skin_gradio.batch import Row
from skin_gradio.classifier import Classifier, Finding
from skin_gradio.input_gate import Doubt
from skin_gradio.labels import UnusableLabels, read_labels
from skin_gradio.ui import batch as tab
from skin_gradio.ui import batch_report, batch_run, own_labels, report, table
from skin_gradio.ui.dropzone import Upload
from skin_gradio.ui.runs import Run, Runs
from skin_gradio.ui.view import PAGE_ROWS, View
from tests.uploads import picture_bytes, saved


@pytest.fixture
def make_run(classifier):
    """Make runs, deleted at the end of the test."""
    made = []

    def make(*uploads, prior="collection"):
        made.append(Run(classifier, prior, uploads))
        return made[-1]

    yield make
    for run in made:
        run.delete()


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def run_of_two(classifier):
    """A run of a model that answers benign or malignant."""
    codes = lesions.TASKS["malignancy"]
    made = Run(Classifier(replace(classifier.model, codes=codes, prior=(0.8, 0.2)), classifier.engine), "collection")
    yield made
    made.delete()


@pytest.fixture
def folder(tmp_path):
    """Where uploads lie."""
    path = tmp_path / "uploads"
    path.mkdir()
    return path


def row(name, melanoma, failure="", doubts=(), place=None):
    """A row whose answer is melanoma or nevus."""
    if failure:
        return Row(name, "failed", failure, None, None, "empty")
    probabilities = np.full(7, 0.02)
    probabilities[4], probabilities[5] = melanoma, 0.9 - melanoma
    nothing = np.empty(0, np.float32)
    finding = Finding(lesions.CODES, probabilities, "collection", melanoma + 0.04, nothing, nothing, doubts)
    status, reason = ("doubted", " ".join(doubt.message for doubt in doubts)) if doubts else ("ok", "")
    return Row(name, status, reason, finding, None, "", place)


def filled(run, *rows):
    for one in rows:
        run.rows.add(one)
    return run


def files(run):
    return [shown.file for shown in run.rows.page(run.view)]


def finished(run):
    for _ in tab.classify(run):
        pass
    run.finish()
    return run


def request(name="me"):
    return SimpleNamespace(session_hash=name)


# Rows


def test_rows_sort_by_every_column_and_turn_round(run):
    filled(run, row("B", 0.3), row("a", 0.7), row("c", 0, "The file is empty."), row("D", 0.1))
    orders = {}
    for key in ("file", "score", "diagnosis", "status"):
        run.look({"sort": key})
        orders[key] = files(run)
    assert orders == {"file": list("aBcD"), "score": list("aBDc"), "diagnosis": list("cBDa"), "status": list("cBaD")}
    run.look({"sort": "status"})
    assert run.rows.page(run.view)[0].status == "ok"


def test_rows_are_filtered_by_diagnosis_score_and_status_together(run):
    doubt = (Doubt("blurred", "It is blurred."),)
    filled(
        run,
        row("low", 0.1),
        row("high", 0.3),
        row("mel", 0.7),
        row("doubted", 0.7, doubts=doubt),
        row("bad", 0, "Bad."),
    )
    seen = {}
    for wish in (
        {"diagnosis": "mel"},
        {"side": "higher"},
        {"side": "lower"},
        {"status": "failed"},
        {"status": "doubted"},
    ):
        run.view = View()
        run.look(wish)
        seen[str(*wish.items())] = files(run)
    assert list(seen.values()) == [["mel", "doubted"], ["high", "mel", "doubted"], ["low"], ["bad"], ["doubted"]]
    run.view = View()
    run.look({"diagnosis": "mel"})
    run.look({"status": "ok"})
    assert files(run) == ["mel"]
    assert "Rows 1 to 1 of 1 rows that pass the filters, of 5" in table.pages_html(run)
    run.look({"side": "lower"})
    assert "No row passes" in table.rows_html(run)
    run.look({"diagnosis": ""})
    assert files(run) == ["low"]


@pytest.mark.parametrize(
    "wish",
    [
        {"sort": "number; DROP TABLE rows"},
        {"sort": ["file"]},
        {"diagnosis": "' OR 1 --"},
        {"side": {}},
        {"status": 3},
        {"layout": None},
        {"page": "2"},
        {"unknown": "x"},
        {},
    ],
)
def test_a_wish_that_no_control_makes_changes_nothing(run, wish):
    filled(run, row("a", 0.3))
    run.look(wish)
    assert run.view == View()


def test_only_one_page_of_rows_is_shown(run):
    filled(run, *(row(f"{i}.jpg", 0.1) for i in range(PAGE_ROWS + 7)))
    assert len(files(run)) == PAGE_ROWS
    run.look({"page": 99})
    assert [shown.number for shown in run.rows.page(run.view)] == list(range(PAGE_ROWS + 1, PAGE_ROWS + 8))
    assert table.rows_html(run).count("<tr ") == 7
    assert f"Rows {PAGE_ROWS + 1} to {PAGE_ROWS + 7} of {PAGE_ROWS + 7}" in table.pages_html(run)
    run.look({"page": -1})
    assert run.view.page == 0
    run.look({"page": 1})
    run.look({"status": "ok"})
    assert run.view.page == 0


def test_rows_follow_the_prior_and_the_score_does_not(run):
    filled(run, row("a", 0.3))
    before = run.rows.shown(1)
    run.rows.set_prior("equal")
    filled(run, row("b", 0.3))
    first, second = run.rows.page(run.view)
    assert (before.code, first.code, second.code) == ("nv", "mel", "mel")
    assert first.probability == pytest.approx(second.probability)
    assert before.score == first.score == second.score
    assert run.rows.summary().diagnoses == {"mel": 2}
    run.rows.set_prior("collection")
    assert run.rows.shown(1) == before


def test_the_summary_counts_every_row_once(run):
    doubt = (Doubt("blurred", "It is blurred."),)
    filled(run, row("a", 0.1), row("b", 0.7), row("c", 0.86), row("d", 0.1, doubts=doubt), row("e", 0, "Bad."))
    found = run.rows.summary()
    assert found.statuses == {"ok": 3, "doubted": 1, "failed": 1}
    assert found.diagnoses == {"mel": 2, "nv": 2}
    assert found.scores == (0, 2, 0, 0, 0, 0, 0, 1, 0, 1)
    assert (found.judged, found.higher) == (4, 2)
    html = tab.summary_html(run)
    assert "2 of 4 pictures (50%) score at or above the threshold 0.200" in html
    assert "may not be able to judge: 1." in html


def test_a_score_of_one_is_in_the_last_step_of_the_histogram(run):
    filled(run, row("a", 0.96))
    assert run.rows.summary().scores[-1] == 1


# Words


def test_rows_and_tiles_show_names_and_reasons_as_text(run):
    doubt = (Doubt("blurred", "<u>blurred</u>"),)
    filled(run, row("<b>a</b>", 0, "<i>why</i>"), row("<b>c</b>", 0.3, doubts=doubt))
    for layout in ("table", "gallery"):
        run.look({"layout": layout})
        html = table.rows_html(run)
        assert not re.search("<[bui]>", html)
        assert "&lt;i&gt;why" in html
        assert "&lt;u&gt;blurred" in html
        assert "doubted" in html


def test_headings_tell_a_screen_reader_the_order(run):
    filled(run, row("a", 0.3)).look({"sort": "score"})
    assert table.rows_html(run).count('aria-sort="descending"') == 1


def test_progress_counts_files_failures_and_the_time_left(run):
    run.total = 2000
    filled(run, row("a", 0.3), row("b", 0, "The file is empty."))
    run.started -= 10
    assert re.search(r"2 of 2,000, 1 failed, about \d+(\.\d)? (h|min) left", table.progress_line(run))
    run.cancelled.set()
    run.finish()
    assert "Stopped: 2 of 2,000" in table.progress_line(run)


# Runs


def test_sessions_do_not_see_each_others_runs(make_run):
    runs, mine, theirs = Runs(), make_run(), make_run()
    runs.keep("me", mine)
    runs.keep("you", theirs)
    assert runs.of("me") is mine
    assert runs.of("stranger") is None
    runs.cancel("me")
    assert mine.cancelled.is_set()
    assert not theirs.cancelled.is_set()


def test_a_new_run_deletes_the_sessions_earlier_one(make_run):
    runs, first = Runs(), make_run()
    runs.keep("me", first)
    runs.keep("me", make_run())
    assert first.cancelled.is_set()
    assert not first.folder.exists()
    first.rows.add(row("late", 0.1))
    assert files(first) == []
    assert first.rows.summary().judged == 0


def test_expired_runs_leave_nothing_on_disk(make_run):
    runs, ended, going = Runs(lifetime=-1), make_run(), make_run()
    ended.finish()
    runs.keep("a", ended)
    runs.keep("b", going)
    runs.delete_expired()
    assert not ended.folder.exists()
    assert going.folder.exists()
    runs.delete_all()
    assert not going.folder.exists()


def test_a_run_classifies_its_files_although_their_uploads_have_expired(make_run, folder):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("c.png", picture_bytes(170))
    run = make_run(saved(folder, "a.png", picture_bytes()), Upload(folder / "more.zip", "more.zip"))
    for path in folder.iterdir():
        path.unlink()
    finished(run)
    assert [(shown.file, shown.status) for shown in run.rows.page(run.view)] == [
        ("a.png", "ok"),
        ("more.zip/c.png", "ok"),
    ]
    run.delete()
    assert not run.folder.exists()


def test_uploads_are_copied_where_the_file_system_has_no_links(make_run, folder, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    run = make_run(saved(folder, "a.png", picture_bytes()))
    (folder / "a.png").unlink()
    assert finished(run).rows.failed == 0


def test_an_upload_that_expires_before_it_is_kept_is_a_failed_row(make_run, folder):
    run = finished(make_run(Upload(folder / "gone.png", "gone.png"), saved(folder, "a.png", picture_bytes())))
    assert [shown.status for shown in run.rows.page(run.view)] == ["failed", "ok"]


def test_a_run_keeps_its_model_when_the_session_chooses_another(folder, classifier, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    other = Classifier(replace(classifier.model, name="other"), classifier.engine)
    models = {"tiny": classifier, "other": other}
    stub = SimpleNamespace(_shelf=models, _runs=Runs())
    value = json.dumps([{"path": str(saved(folder, "a.png", picture_bytes()).path)}, {"path": str(folder / "gone")}])
    tab.BatchTab._begin(stub, value, "other", "collection", request())
    models.clear()
    run = finished(stub._runs.of("me"))
    with open(tab.write_csv(run), newline="", encoding="utf-8") as handle:
        assert {line["model_name"] for line in csv.DictReader(handle)} == {"other"}
    assert "no longer here: 1." in table.progress_line(run)
    stub._runs.delete_all()


def test_a_run_goes_on_in_the_language_that_its_session_speaks_by_now(make_run, folder, monkeypatch):
    monkeypatch.setattr(batch_run, "UPDATE_SECONDS", 0)
    run = make_run(*(saved(folder, f"{i}.png", picture_bytes(20 * i)) for i in range(3)))
    steps = tab.BatchTab._run(SimpleNamespace(_run_of=lambda request: run), request())
    assert "of 3" in next(steps)[0]
    run.language = "de"
    *_, last = steps
    assert "Fertig: 3 von 3" in last[0]
    assert "Modell: tiny" in last[4]


def test_the_rows_say_which_model_answered_them(run):
    filled(run, row("a.jpg", 0.7))
    assert f"Model: tiny ({run.classifier.model.key})." in table.pages_html(run)


def test_a_batch_becomes_rows_and_a_csv_for_the_chosen_prior(make_run, folder):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("sub/c.png", picture_bytes(60))
    uploads = [
        replace(saved(folder, "a.png", picture_bytes()), name="visit/a.png"),
        saved(folder, "bad.png", b""),
        Upload(folder / "more.zip", "more.zip"),
    ]
    run = finished(make_run(*uploads))
    found = {shown.file: shown for shown in run.rows.page(run.view)}
    assert list(found) == ["visit/a.png", "bad.png", "more.zip/sub/c.png"]
    assert found["visit/a.png"].thumbnail.startswith(b"\xff\xd8")
    assert "empty" in found["bad.png"].reason
    tables = []
    for prior in ("collection", "equal"):
        run.rows.set_prior(prior)
        with open(tab.write_csv(run), newline="", encoding="utf-8") as handle:
            tables.append(list(csv.DictReader(handle)))
    assert [len(lines) for lines in tables] == [3, 3]
    assert tables[0][0]["mel"] != tables[1][0]["mel"]
    assert tables[0][0]["malignancy_score"] == tables[1][0]["malignancy_score"]


def test_doubts_reach_the_row_and_the_csv_with_all_figures(make_run, folder, classifier, monkeypatch):
    judge = classifier.classify
    doubts = (Doubt("blurred", "It is blurred."), Doubt("too_dark", "It is dark."))
    monkeypatch.setattr(
        classifier, "classify", lambda *args: [replace(finding, doubts=doubts) for finding in judge(*args)]
    )
    run = finished(make_run(saved(folder, "a.png", picture_bytes())))
    [shown] = run.rows.page(run.view)
    assert (shown.status, shown.reason) == ("doubted", "It is blurred. It is dark.")
    assert shown.score is not None
    with open(tab.write_csv(run), newline="", encoding="utf-8") as handle:
        [line] = csv.DictReader(handle)
    assert (line["status"], line["doubts"]) == ("doubted", "blurred too_dark")
    assert float(line["nv"]) > 0


def test_a_cancelled_batch_stops(make_run, folder):
    run = make_run(*(saved(folder, f"{i}.png", picture_bytes()) for i in range(200)))
    run.cancelled.set()
    assert finished(run).rows.count < 40


# The single view of a row


def test_a_row_opens_with_the_answer_that_the_single_tab_gives(make_run, folder):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("first.png", picture_bytes(10))
        archive.writestr("sub/c.png", picture_bytes(170))
    run = finished(make_run(saved(folder, "a.png", picture_bytes(60)), Upload(folder / "more.zip", "more.zip")))
    for number, value, name in ((1, 60, "a.png"), (3, 170, "more.zip/sub/c.png")):
        upload = replace(saved(folder, "same.png", picture_bytes(value)), name=name)
        assert tab.answer(run, tab.Opened(number)) == tab.single.answer(
            run.classifier, tab.single.Question(upload), "collection"
        )
    run.rows.set_prior("equal")
    assert "equally common" in tab.answer(run, tab.Opened(1))[0]


def test_a_row_whose_picture_is_gone_says_so(make_run, folder):
    run = finished(make_run(saved(folder, "a.png", picture_bytes())))
    assert "no longer here" in tab.answer(run, tab.Opened(7))[0]
    run.uploads[0].path.unlink()
    assert "no longer here" in tab.answer(run, tab.Opened(1))[0]
    run.delete()
    assert "no longer here" in tab.answer(run, tab.Opened(1))[0]


def test_a_place_with_a_name_that_is_no_text_is_found_again(run, tmp_path):
    place = Place(tmp_path / os.fsdecode(b"caf\xe9.png"), None)
    filled(run, row("a", 0.3, place=place))
    assert run.rows.place(1) == place


# Labels


def labelled(tmp_path, text, encoding="utf-8"):
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    return read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.jpg,mel\nb,NV\n",
        "file;dx\r\na.jpg;Melanoma\r\nb;nv\r\n",
        "\ufefflesion_id\timage_id\tdx\nx\ta.jpg\tmel\nx\tb\tnv\n",
        'FILE,Label\n"a.jpg", mel\nb , nv\n\n',
    ],
)
def test_labels_come_in_the_tables_that_people_have(tmp_path, text):
    assert labelled(tmp_path, text).codes == {"a.jpg": "mel", "b": "nv"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"a,b\n1,2\n", "Received: a, b"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "no text"),
        (b"image,label\n" + b"x" * 200_000 + b",mel\n", "no CSV"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused_with_its_reason(tmp_path, data, reason):
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(UnusableLabels, match=reason):
        read_labels(tmp_path / "labels.csv")


def test_a_label_finds_its_picture_by_path_by_name_and_without_extension(tmp_path):
    labels = labelled(tmp_path, "image,label\nvisit/a.jpg,mel\nb.jpg,nv\nISIC_1,bcc\na.jpg,df\n")
    assert labels.key("visit/a.jpg") == "visit/a.jpg"
    assert labels.key("other/a.jpg") == "a.jpg"
    assert labels.key("x.zip/deep/b.jpg") == "b.jpg"
    assert labels.key("x/ISIC_1.png") == "ISIC_1"
    assert labels.key("ISIC_10.png") is None


def test_figures_against_labels_are_those_of_scikit_learn(run, tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    melanoma = rng.uniform(0.05, 0.85, 200).round(2)
    truth = np.where(rng.random(200) < melanoma, "mel", np.where(rng.random(200) < 0.2, "df", "nv"))
    filled(run, *(row(f"{i}.jpg", value) for i, value in enumerate(melanoma)))
    run.compare(labelled(tmp_path, "image,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(truth))))
    for prior in ("collection", "equal"):
        run.rows.set_prior(prior)
        answers = [shown.code for page in range(4) for shown in run.rows.page(View(page=page))]
        html = tab.own_html(run)
        assert f"<dd>{metrics.accuracy_score(truth, answers):.3f}</dd>" in html
        assert f"<dd>{metrics.balanced_accuracy_score(truth, answers):.3f}</dd>" in html
        cells = [int(cell) for cell in re.findall(r"<td style[^>]*>(\d+)</td>", html)]
        assert cells == metrics.confusion_matrix(truth, answers, labels=lesions.CODES).ravel().tolist()
        assert f"Area under the curve {metrics.roc_auc_score(truth == 'mel', melanoma):.3f}" in html
    run.look({"status": "differs"})
    assert run.rows.matching(run.view) == sum(one != other for one, other in zip(truth, answers, strict=True))


def test_what_the_labels_lack_or_nobody_knows_is_named(run, tmp_path):
    filled(run, row("a.jpg", 0.7), row("b.jpg", 0.1), row("x/c.jpg", 0.1), row("y/c.jpg", 0.1), row("d.jpg", 0.1))
    text = "image,label\na.jpg,mel\nb.jpg,scc\nc.jpg,nv\nelsewhere.jpg,nv\nd.jpg,nv\nd.jpg,mel\n"
    run.compare(labelled(tmp_path, text))
    html = tab.own_html(run)
    assert "Pictures with a label: 1." in html
    for words in (
        "Classified pictures without a label: 2.",
        "elsewhere.jpg",
        "“scc” (1)",
        "c.jpg",
        "several labels",
        "d.jpg",
    ):
        assert words in html
    assert "needs malignant pictures and others" in html


def test_labels_of_other_classes_count_for_the_roc_alone(run, tmp_path):
    filled(run, row("a.jpg", 0.7), row("b.jpg", 0.1))
    run.compare(labelled(tmp_path, "image,label\na.jpg,malignant\nb.jpg,benign\n"))
    html = tab.own_html(run)
    assert "Area under the curve 1.000" in html
    assert "count for the ROC alone: 2." in html
    assert "Accuracy" not in html


def test_a_group_agrees_with_every_diagnosis_in_it(run, tmp_path):
    filled(run, row("a.jpg", 0.7), row("b.jpg", 0.1))
    run.compare(labelled(tmp_path, "image,label\na.jpg,malignant\nb.jpg,malignant\n"))
    assert table.rows_html(run).count("own-label differs") == 1
    run.look({"status": "differs"})
    assert files(run) == ["b.jpg"]


def test_labels_of_diagnoses_are_measured_as_groups_for_a_model_of_two(run_of_two, tmp_path):
    answers = {"a.jpg": 0.9, "b.jpg": 0.8, "c.jpg": 0.2, "d.jpg": 0.1}
    nothing = np.empty(0, np.float32)
    for name, malignant in answers.items():
        probabilities = np.array([1 - malignant, malignant])
        finding = Finding(run_of_two.classifier.model.codes, probabilities, "collection", malignant, nothing, nothing)
        run_of_two.rows.add(Row(name, "ok", "", finding, None))
    run_of_two.compare(labelled(tmp_path, "image,label\na.jpg,mel\nb.jpg,nv\nc.jpg,vasc\nd.jpg,benign\n"))
    html = tab.own_html(run_of_two)
    assert "<dd>0.750</dd>" in html
    assert [int(cell) for cell in re.findall(r"<td style[^>]*>(\d+)</td>", html)] == [2, 1, 0, 1]
    assert "count for the ROC alone" not in html
    run_of_two.look({"status": "differs"})
    assert files(run_of_two) == ["b.jpg"]


def test_labels_that_belong_to_nothing_say_so_in_text(run, tmp_path):
    filled(run, row("a.jpg", 0.7))
    run.compare(labelled(tmp_path, "image,label\n<b>z</b>.jpg,mel\n"))
    html = tab.own_html(run)
    assert str(own_labels.NOBODY) in html
    assert "<b>" not in html


# The report


@pytest.fixture
def reported(make_run, folder):
    """A finished run of eleven pictures, one of them in a zip, and a bad one."""
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("sub/c d.png", picture_bytes(60))
    uploads = [saved(folder, f"{i}.png", picture_bytes(20 * i)) for i in range(10)]
    bad = replace(saved(folder, "bad.png", b""), name="<b>bad</b>.png")
    return finished(make_run(*uploads, bad, Upload(folder / "more.zip", "more.zip")))


def made(run):
    steps = list(report.write_report(run, Path(tab.write_csv(run))))
    with zipfile.ZipFile(run.report) as archive:
        return steps, {name: archive.read(name) for name in archive.namelist()}


def test_a_report_holds_every_heatmap_the_csv_and_a_page_that_needs_nothing_else(reported):
    steps, held = made(reported)
    assert steps == [8, 12]
    heatmaps = sorted(name for name in held if name.startswith("heatmaps/"))
    assert len(heatmaps) == 11
    assert re.fullmatch(r"heatmaps/000012-c_d-\w+\.jpg", heatmaps[-1])
    assert Image.open(io.BytesIO(held[heatmaps[0]])).size == (448, 448)
    assert held["skin-lesions-training-mix.csv"] == Path(tab.write_csv(reported)).read_bytes()
    page = held["report.html"].decode()
    assert page.count('alt="Its heatmap"') == 11
    assert not re.search(r'(src|href)="(?!data:|heatmaps/)|@import|url\(|<script', page)
    assert all(name in held for name in re.findall(r'href="([^"]+)"', page))
    assert "&lt;b&gt;bad" in page
    assert "<b>bad" not in page
    assert "not a medical device" in page
    assert "@media print" in page
    assert "tiny, revision abc123" in page


def test_a_report_follows_filters_order_prior_and_labels(reported, tmp_path):
    reported.rows.set_prior("equal")
    reported.compare(labelled(tmp_path, "image,label\n0,mel\n9,nv\n"))
    reported.look({"sort": "score"})
    reported.look({"side": "higher"})
    _, held = made(reported)
    page = held["report.html"].decode()
    scores = [float(score) for score in re.findall(r"<td>(\d\.\d{3}) \((?:higher|lower)\)", page)]
    assert len(scores) == reported.rows.matching(reported.view) > 0
    assert all(one >= other >= 0.2 for one, other in pairwise(scores))
    assert "higher scores" in page
    assert "Each equally common" in page
    assert str(own_labels.TITLE) in page
    assert "skin-lesions-equal-mix.csv" in held


def test_a_report_that_is_stopped_leaves_no_zip(reported):
    steps = report.write_report(reported, Path(tab.write_csv(reported)))
    next(steps)
    reported.stop()
    assert list(steps) == []
    assert not reported.report.exists()
    assert not reported.cancelled.is_set()


def test_a_report_of_a_run_that_is_deleted_meanwhile_ends_without_an_error(reported):
    steps = report.write_report(reported, Path(tab.write_csv(reported)))
    next(steps)
    reported.delete()
    assert list(steps) == []


def test_a_long_report_ends_at_its_limit_and_says_so(reported, monkeypatch):
    monkeypatch.setattr(report, "MAX_ROWS", 4)
    steps, held = made(reported)
    assert steps == [4]
    assert "a report holds at most 4, the CSV all" in held["report.html"].decode()


# Events


def test_a_run_begins_once_however_often_it_is_started(make_run, folder):
    run = make_run(saved(folder, "a.png", picture_bytes()))
    assert [run.begin(), run.begin()] == [True, False]


def test_a_session_without_a_run_is_told_that_it_expired():
    stub = SimpleNamespace(_run_of=lambda request: None)
    event = SimpleNamespace(_data={"open": 1})
    assert "expired" in tab.BatchTab._look(stub, tab.Opened(), request(), event)[1]
    assert "expired" in tab.BatchTab._look_otherwise(stub, tab.Opened(1), request(), event)[1]
    assert "expired" in tab.BatchTab._compare(stub, "labels.csv", request())[0]
    assert list(batch_report.ReportPart._make(stub, request())) == []


def test_rows_can_be_read_while_others_are_added(run):
    ends = time.monotonic() + 1.0
    errors = []

    def read():
        try:
            while time.monotonic() < ends:
                table.rows_html(run), run.rows.summary(), list(run.rows.all("equal"))
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    while time.monotonic() < ends:
        filled(run, row("a", 0.3))
        run.rows.set_prior("equal" if run.rows.count % 2 else "collection")
    for reader in readers:
        reader.join()
    assert errors == []
