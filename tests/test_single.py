"""The tab for one picture: what stands in the answer, in which words."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from skin_gradio import lesions
from skin_gradio.classifier import Classifier
from skin_gradio.engines import Outputs
from skin_gradio.input_gate import Doubt
from skin_gradio.models import ModelFolder, OperatingPoint
from skin_gradio.ui import markup, single, sureness, threshold, why
from skin_gradio.ui.dropzone import Upload
from skin_gradio.ui.page import build_page
from skin_gradio.ui.words import speaking
from tests.uploads import picture_bytes, saved, upload_folder

PRIOR = (0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02)
POINT = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
SETS = [{"coverage": 0.9, "threshold": 0.3}, {"coverage": 0.95, "threshold": 0.1}]
SCORES = {
    "thresholds": [0, 0.1, 0.2, 0.5, 0.8],
    "malignant": [1, 2, 3, 2, 2],
    "benign": [500, 300, 150, 40, 10],
}


class CornerEngine:
    """Answers by a picture's upper left corner, so that views differ: dark is melanoma, bright nevus."""

    name = "corner"

    def run(self, pictures):
        dark = 1 - pictures[:, :16, :16].reshape(len(pictures), -1).mean(axis=1) / 255
        probabilities = np.full((len(pictures), 7), 0.02)
        probabilities[:, 4], probabilities[:, 5] = 0.9 * dark, 0.9 * (1 - dark)
        maps = np.zeros((len(pictures), 7, 7, 7), np.float32)
        maps[:, 3, 3, :6] = 1
        return Outputs(probabilities.astype(np.float32), maps, np.zeros((len(pictures), 4), np.float32))


class DoubtingClassifier(Classifier):
    """Finds every picture blurred."""

    def classify(self, pictures, prior="collection", sides=None):
        findings = super().classify(pictures, prior, sides)
        return [replace(finding, doubts=(Doubt("blurred", "The picture is blurred."),)) for finding in findings]


def model(folder, **card):
    card = {"prediction_sets": SETS, "metrics": {"malignancy_scores": SCORES}} | card
    return ModelFolder(folder, "tiny", "abc123", lesions.CODES, PRIOR, 32, (POINT,), card)


@pytest.fixture
def classifier(tmp_path):
    return Classifier(model(tmp_path), CornerEngine())


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "uploads"
    path.mkdir()
    return path


def ask(classifier, folder, value=200, prior="collection", **question):
    upload = saved(folder, "a.png", picture_bytes(value))
    return single.answer(classifier, single.Question(upload, **question), prior)


def finding(classifier, *probabilities):
    answer = classifier.classify(np.full((1, 32, 32, 3), 200, np.uint8))[0]
    return replace(answer, probabilities=np.array(probabilities)) if probabilities else answer


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def bar_codes(html):
    return re.findall(r'<li class="bar[^"]*" data-code="(\w+)"', html)


def test_a_picture_gives_bars_sets_score_and_heatmaps(classifier, folder):
    html, seen = ask(classifier, folder)
    assert sorted(bar_codes(html)) == sorted(lesions.CODES)
    assert [str(title) in html for title in (sureness.TITLE, threshold.TITLE)] == [True, True]
    assert str(why.TITLE) in seen
    assert "no proof" in seen


def test_the_prior_changes_bars_and_sentence_but_neither_sets_nor_score(classifier, folder):
    assert bar_codes(ask(classifier, folder, 110)[0])[0] == "mel"
    as_collection, as_equal = (ask(classifier, folder, 170, prior)[0] for prior in ("collection", "equal"))
    assert (bar_codes(as_collection)[0], bar_codes(as_equal)[0]) == ("nv", "mel")
    assert "if every diagnosis is equally common" in as_equal
    score = f'<section [^>]*aria-label="{re.escape(str(threshold.TITLE))}".*?</section>'
    for part in ('<dl class="sets">.*?</dl>', score):
        first, second = (re.search(part, html)[0] for html in (as_collection, as_equal))
        assert words(first) == words(second)
    assert "not in the list for 90%" not in as_collection
    assert "the list is made for the mix of the training collection" in as_equal


@pytest.mark.parametrize("value", [0, 120, 255])
@pytest.mark.parametrize("careful", [False, True])
def test_the_answer_never_calls_a_lesion_harmless(classifier, folder, value, careful):
    text = words("".join(ask(classifier, folder, value, careful=careful))).lower().replace("benign keratosis", "")
    assert not re.search(r"benign|cancer-free|\bsafe\b|harmless|healthy", text)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello", "not a picture"), (b"%PDF-1.7", "PDF"), (picture_bytes()[:70], "cut off|damaged")],
)
def test_a_bad_file_is_answered_with_its_reason(classifier, folder, data, reason):
    html, seen = single.answer(classifier, single.Question(saved(folder, "bad.jpg", data)), "collection")
    assert 'role="alert"' in html
    assert "bad.jpg" in html
    assert re.search(reason, html)
    assert seen == ""


def test_file_names_are_shown_as_text(classifier, folder):
    name = "<img src=x onerror=alert(1)>.png"
    good, bad = saved(folder, "a.png", picture_bytes()), saved(folder, "b.png", b"x")
    doubting = DoubtingClassifier(classifier.model, classifier.engine)
    for who, upload in ((classifier, good), (classifier, bad), (doubting, good)):
        html, _ = single.answer(who, single.Question(replace(upload, name=name)), "collection")
        assert "<img" not in html
        assert "&lt;img src=x" in html


def test_an_expired_picture_is_a_message(classifier):
    assert "no longer here" in single.answer(classifier, single.Question(None), "collection")[0]


# Whether to judge at all


def test_a_doubted_picture_gets_reasons_and_no_answer(classifier, folder):
    html, seen = ask(DoubtingClassifier(classifier.model, classifier.engine), folder)
    assert "The picture is blurred." in html
    assert str(single.ANYWAY) in html
    assert bar_codes(html) == []
    assert "score" not in html.lower()
    assert "Heatmap" not in seen


def test_who_goes_on_knowingly_gets_the_answer_under_the_reasons(classifier, folder):
    html, seen = ask(DoubtingClassifier(classifier.model, classifier.engine), folder, anyway=True)
    assert html.index("The picture is blurred.") < html.index("<h2")
    assert len(bar_codes(html)) == 7
    assert str(single.ANYWAY) not in html
    assert "Heatmap" in seen


def test_the_gate_hears_of_the_originals_shorter_side(classifier, folder):
    heard = []
    asked = classifier.classify
    classifier.classify = lambda pictures, prior, sides: heard.append(sides) or asked(pictures, prior, sides)
    ask(classifier, folder)
    assert heard == [[40]]


# How sure


def test_the_sets_are_put_into_words_with_or(classifier):
    html = sureness.panel(finding(classifier, 0.01, 0.01, 0.12, 0.01, 0.33, 0.51, 0.01), classifier.model)
    assert "90% Melanocytic nevus or melanoma" in words(html)
    assert "95% Melanocytic nevus, melanoma or benign keratosis" in words(html)
    assert str(sureness.MALIGNANT_AMONG) in html


def test_a_large_set_is_said_to_mean_not_known(classifier):
    html = sureness.panel(finding(classifier, 0.14, 0.14, 0.14, 0.14, 0.14, 0.16, 0.14), classifier.model)
    assert "7 of 7 diagnoses: the model cannot tell" in html


def test_a_set_of_one_is_not_called_right(classifier):
    html = sureness.panel(finding(classifier, 0, 0, 0.01, 0, 0.01, 0.98, 0), classifier.model)
    assert str(sureness.SURE) in html
    assert "cannot tell" not in html


def test_a_set_that_nothing_reached_says_so(tmp_path):
    model_ = model(tmp_path, prediction_sets=[{"coverage": 0.9, "threshold": 0.6}])
    classifier = Classifier(model_, CornerEngine())
    html = sureness.panel(finding(classifier, 0.05, 0.05, 0.1, 0.1, 0.3, 0.35, 0.05), model_)
    assert "No diagnosis reached its threshold for 90%" in html
    assert "90% Melanocytic nevus" in words(html)


def test_a_list_that_leaves_out_a_more_probable_diagnosis_says_why(tmp_path):
    thresholds = [0.3, 0.3, 0.05, 0.3, 0.3, 0.5, 0.3]
    model_ = model(tmp_path, prediction_sets=[{"coverage": 0.9, "thresholds": thresholds}])
    classifier = Classifier(model_, CornerEngine())
    html = sureness.panel(finding(classifier, 0.01, 0.01, 0.09, 0.01, 0.71, 0.16, 0.01), model_)
    assert "90% Melanoma or benign keratosis" in words(html)
    assert "Melanocytic nevus is not in the list for 90% although it is more probable than benign keratosis" in html
    in_order = sureness.panel(finding(classifier, 0.01, 0.01, 0.16, 0.01, 0.71, 0.09, 0.01), model_)
    assert "not in the list" not in in_order


def test_a_list_that_differs_from_the_bars_of_another_mix_says_why(tmp_path):
    model_ = model(tmp_path, prediction_sets=[{"coverage": 0.9, "threshold": 0.3}])
    found = replace(
        finding(Classifier(model_, CornerEngine()), 0.02, 0.01, 0.01, 0.25, 0.55, 0.15, 0.01), prior="equal"
    )
    html = sureness.panel(found, model_)
    assert "90% Melanocytic nevus or melanoma" in words(html)
    assert "Dermatofibroma is not in the list for 90% although it stands above melanocytic nevus" in html
    assert "the mix of the training collection" in html


def test_a_model_without_sets_says_so(tmp_path):
    model_ = model(tmp_path, prediction_sets=[])
    assert str(sureness.NO_SETS) in sureness.panel(finding(Classifier(model_, CornerEngine())), model_)


def test_the_measured_coverage_is_given(tmp_path):
    model_ = model(tmp_path, metrics={"figures": {"coverage_at_90%": {"value": 0.884}}})
    assert "it was 88% for the list of 90%." in sureness.panel(finding(Classifier(model_, CornerEngine())), model_)


def test_looking_more_carefully_shows_the_range_of_eight_views(classifier, folder):
    half = np.full((40, 40, 3), 220, np.uint8)
    half[:, :20] = 20
    Image.fromarray(half).save(folder / "half.png")
    question = single.Question(Upload(folder / "half.png", "half.png"), careful=True)
    html, _ = single.answer(classifier, question, "collection")
    assert "from 8 views of it" in html
    assert html.count('class="bar-range"') == 7
    assert re.search(r"in the 8 views from 1\d% to 8\d%", html)
    assert "melanoma is first in 4, melanocytic nevus is first in 4" in html or (
        "melanocytic nevus is first in 4, melanoma is first in 4" in html
    )
    assert str(sureness.UNSTEADY) in html
    assert 'data-act="carefully" aria-pressed="true"' in html


def test_views_that_agree_are_said_to(classifier, folder):
    html, _ = ask(classifier, folder, careful=True)
    assert str(sureness.STEADY) in html
    assert str(sureness.UNSTEADY) not in html


# What to make of it


def test_the_threshold_panel_gives_figures_counts_and_predictive_values(classifier):
    text = words(threshold.panel(finding(classifier), classifier.model))
    # At 0.2: 7 of 10 malignant and 200 of 1,000 others score higher; 19 of 100 are malignant in the collection.
    assert "70% of the malignant lesions score higher" in text
    assert "80% of the other lesions score lower" in text
    assert (
        "Of 10 pictures of malignant lesions in the test split, this threshold missed 3 ; of 1,000 others, 200" in text
    )
    assert "45% of the lesions with a higher score are malignant" in text
    assert "92% of the lesions with a lower score are not malignant" in text


@pytest.mark.parametrize(("score", "shown"), [(0.199, "below"), (0.2, "above")])
def test_the_score_is_lower_below_the_threshold_and_higher_from_it_on(classifier, score, shown):
    html = threshold.panel(replace(finding(classifier), malignancy_score=score), classifier.model)
    assert re.findall(r'<span data-side="(\w+)">', html) == [shown, shown]
    assert f'class="card score {shown}"' in html


def test_every_threshold_of_the_test_split_can_be_chosen(classifier):
    html = threshold.panel(finding(classifier), classifier.model)
    assert 'type="range" data-control="threshold" min="0" max="4" step="1" value="2"' in html
    curve = json.loads(re.search(r'data-curve="([^"]*)"', html)[1].replace("&quot;", '"'))
    assert curve["thresholds"] == SCORES["thresholds"]
    assert (curve["malignant"], curve["others"]) == (10, 1000)


def test_without_test_scores_only_the_named_thresholds_can_be_chosen(tmp_path):
    model_ = model(tmp_path, metrics={})
    html = threshold.panel(finding(Classifier(model_, CornerEngine())), model_)
    assert 'data-control="threshold"' not in html
    assert 'data-place="0" data-point="sensitivity 90%" aria-pressed="true">sensitivity 90%' in html
    assert "90% of the malignant lesions score higher" in words(html)
    assert "validation pictures" in html
    assert "missed" not in words(html).split("What do these numbers mean?")[0]


def test_a_model_of_two_groups_is_spoken_of_as_one(tmp_path):
    codes = lesions.TASKS["malignancy"]
    card = {"prediction_sets": [{"coverage": 0.9, "threshold": 0.3}], "metrics": {"malignancy_scores": SCORES}}
    model_ = ModelFolder(tmp_path, "two", "abc", codes, (0.8, 0.2), 32, (POINT,), card)
    answer = replace(
        finding(Classifier(model(tmp_path), CornerEngine())), codes=codes, probabilities=np.array([0.6, 0.4])
    )
    assert "the probability of a malignant lesion, always" in threshold.panel(answer, model_)
    sure = sureness.panel(answer, model_)
    assert "A benign lesion or a malignant lesion" in sure
    assert "2 of 2 diagnoses" in sure
    assert why.panel(np.zeros((448, 448, 3), np.uint8), answer).count('class="layer"') == 2
    assert words(markup.headline(answer, "a.jpg")).startswith("Most probable diagnosis for a.jpg Benign lesion 60%")
    assert str(markup.UNSURE_OF_TWO) not in markup.headline(answer, "a.jpg")
    close = replace(answer, probabilities=np.array([0.51, 0.49]))
    assert f"{markup.UNSURE_OF_TWO} Next is a malignant lesion with 49%" in markup.headline(close, "a.jpg")


def test_an_answer_says_which_model_gave_it(classifier, folder):
    html, _ = ask(classifier, folder)
    assert f"· {classifier.model.name} ({classifier.model.key})</p>" in html


def page_function(page, name):
    """Return what an event of the page calls, by its function's name."""
    return next(one.fn for one in page.fns.values() if one.name == name)


def test_an_answer_that_came_too_late_for_the_model_or_the_mix_is_given_again(classifier, tmp_path, monkeypatch):
    catch_up = page_function(build_page(classifier), "catch_up")
    upload = saved(upload_folder(tmp_path, monkeypatch), "a.png", picture_bytes(20))
    key = classifier.model.key
    zone = json.dumps([{"path": str(upload.path), "name": "a.png"}])
    late = single.Question(upload, answered=(key, "collection", "en"))
    assert all(one["__type__"] == "update" and len(one) == 1 for one in catch_up(late, key, "collection", zone))
    html, _, question = catch_up(late, key, "equal", zone)
    assert "If every diagnosis is equally common" in html
    assert question.answered == (key, "equal", "en")
    with speaking("de"):
        assert "Wahrscheinlichste Diagnose" in catch_up(question, key, "equal", zone)[0]


def test_a_picture_that_the_session_has_forgotten_is_answered_from_the_zone(classifier, tmp_path, monkeypatch):
    again = page_function(build_page(classifier), "classify_again")
    upload = saved(upload_folder(tmp_path, monkeypatch), "a.png", picture_bytes(20))
    key = classifier.model.key
    zone = json.dumps([{"path": str(upload.path), "name": "a.png"}])
    html, _, question = again(single.Question(None), key, "collection", zone)
    assert "for a.png" in html
    assert question.upload == upload
    assert again(single.Question(None), key, "collection", "[]")[0] == single.empty()


# Why


def test_every_diagnosis_has_a_heatmap_and_the_top_ones_shows(classifier, folder):
    _, seen = ask(classifier, folder)
    layers = re.findall(r'<img class="layer" data-code="(\w+)" [^>]*?( hidden)? alt', seen)
    assert [code for code, hidden in layers if not hidden] == ["nv"]
    assert sorted(code for code, _ in layers) == sorted(lesions.CODES)
    assert re.search(r'<option value="nv" selected>Melanocytic nevus \(\d+%\)', seen)


def test_a_diagnosis_that_no_place_spoke_for_says_so(classifier, folder):
    _, seen = ask(classifier, folder)
    assert '<span data-code="vasc" hidden>No place in the picture spoke for vascular lesion.' in seen
    assert '<span data-code="nv">Yellow: what spoke most for melanocytic nevus' in seen


def test_all_heatmaps_together_weigh_little(classifier, folder):
    assert len(ask(classifier, folder)[1]) < 120_000


def test_the_answer_is_told_to_a_screen_reader_in_a_few_words(classifier, folder):
    assert re.search(r'data-said="Melanocytic nevus, \d+%"', ask(classifier, folder)[0])
    assert markup.any_of(["Melanoma"]) == "melanoma"
