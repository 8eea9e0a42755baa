"""The answer for one picture in a real browser: what its controls do, with the mouse and by keyboard alone."""

import json
import re
import shutil

import pytest

from benchmarks.app_process import running_app
from skin_gradio.models import BUNDLED, read_folder
from skin_gradio.score_curve import predictive_values, score_curve
from skin_gradio.ui import markup
from tests.browser.conftest import Watched
from tests.browser.test_page import drop_single, picture_bytes, sticks_out
from tests.test_input_gate import gate_entry

pytestmark = pytest.mark.browser

SMALL, LARGE = (180, 160), (600, 450)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The bundled model with a distribution of test scores, and a gate that doubts small pictures and no others."""
    folder = tmp_path_factory.mktemp("model") / "mobilenet_v2"
    shutil.copytree(BUNDLED / "mobilenet_v2", folder)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    thresholds = sorted({step / 20 for step in range(20)} | {point["threshold"] for point in card["operating_points"]})
    falling = list(range(len(thresholds), 0, -1))
    scores = {"thresholds": thresholds, "malignant": falling[::-1], "benign": [10 * count for count in falling]}
    card["metrics"] = {**card.get("metrics", {}), "malignancy_scores": scores}
    limits = {"brightness": [0, 255], "detail": 0.0, "smallest_side": 200, "distance": 1e9}
    card["gate"] = {**gate_entry(), "limits": limits}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return read_folder(folder)


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    with running_app("--model", str(model.path), log=tmp_path_factory.mktemp("app") / "log.txt") as app:
        yield app.url


@pytest.fixture
def page(browser, url, request):
    """The page at 1280 px or, with an indirect parameter, at another width."""
    watched = Watched(browser, url, getattr(request, "param", 1280))
    yield watched.page
    watched.context.close()
    assert (watched.foreign, watched.errors) == ([], [])


def answered(page, size=LARGE):
    drop_single(page, "lesion.jpg", picture_bytes(0, size=size))
    page.locator("#answer .bars").wait_for()
    return page


def figures(page):
    return {
        part.get_attribute("data-figure"): part.inner_text() for part in page.locator("#answer [data-figure]").all()
    }


def test_the_threshold_moves_by_keyboard_and_its_figures_follow(page, model):
    answered(page)
    slider, curve = page.get_by_role("slider", name="Threshold"), score_curve(model)
    slider.focus()
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", len(curve.thresholds) - 1)):
        page.keyboard.press(key)
        share = float(page.locator("[data-control=prevalence]").input_value()) / 100
        sensitivity, specificity = float(curve.sensitivity[place]), float(curve.specificity[place])
        positive, negative = predictive_values(sensitivity, specificity, share)
        expected = {"sensitivity": sensitivity, "specificity": specificity, "positive": positive, "negative": negative}
        shown = figures(page)
        assert {name: shown[name] for name in expected} == {
            name: "?" if value is None else markup.percent(value) for name, value in expected.items()
        }
        assert shown["threshold"] == f"{curve.thresholds[place]:.3f}"
        assert (shown["missed"], shown["called"]) == (f"{curve.missed(place):,}", f"{curve.called(place):,}")
        assert slider.get_attribute("aria-valuetext").startswith(shown["threshold"])


def test_the_words_turn_where_the_threshold_passes_the_score(page):
    answered(page)
    score = float(page.inner_text("#answer .score-value"))
    page.get_by_role("slider", name="Threshold").focus()
    for key, words in (("Home", "Higher score"), ("End", "Lower score" if score < 0.95 else "Higher score")):
        page.keyboard.press(key)
        assert words in page.inner_text("#answer .score-line")


def test_the_prevalence_changes_the_predictive_values_alone(page):
    answered(page)
    before = figures(page)
    page.get_by_label("How many of 100 lesions are malignant").fill("1")
    after = figures(page)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"positive", "negative"}
    page.get_by_label("How many of 100 lesions are malignant").fill("")
    assert figures(page)["positive"] == "?"


def test_a_chosen_threshold_stays_for_the_next_answer(page):
    answered(page)
    page.locator("#answer .marks button").last.click()
    chosen = figures(page)["threshold"]
    page.get_by_label("Each equally common").check()
    page.locator("#answer .fine", has_text="If every diagnosis is equally common").wait_for()
    page.wait_for_timeout(300)
    assert figures(page)["threshold"] == chosen
    assert page.locator("#answer .marks button").last.get_attribute("aria-pressed") == "true"


def test_the_heatmap_fades_and_changes_by_keyboard(page):
    answered(page)
    layer = page.locator("#seen .layer:not([hidden])")
    page.get_by_label("Opacity").focus()
    page.keyboard.press("Home")
    assert layer.evaluate("layer => getComputedStyle(layer).opacity") == "0"
    page.keyboard.press("End")
    assert layer.evaluate("layer => getComputedStyle(layer).opacity") == "1"
    page.get_by_label("Heatmap for").select_option("vasc")
    assert layer.get_attribute("data-code") == "vasc"
    assert "vascular lesion" in page.inner_text("#seen figcaption")


def test_looking_more_carefully_marks_the_range_of_the_views_and_can_be_undone(page):
    answered(page)
    button = page.get_by_role("button", name="Look more carefully")
    button.focus()
    page.keyboard.press("Enter")
    page.locator("#answer .bar-range").first.wait_for()
    assert page.locator("#answer .bar-range").count() == 7
    assert re.search(r"in the 8 views from .*% to .*%", page.inner_text("#answer .bars"))
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    page.locator("#answer .bar-range").first.wait_for(state="detached")


@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_a_doubted_picture_is_answered_only_to_who_goes_on_knowingly(page):
    drop_single(page, "small.jpg", picture_bytes(0, size=SMALL))
    anyway = page.get_by_role("button", name="Show the answer anyway")
    anyway.wait_for()
    assert page.locator("#answer .bars, #seen .layer").count() == 0
    assert page.locator("#answer .doubt li").count() == 1
    anyway.focus()
    page.keyboard.press("Enter")
    page.locator("#answer .bars").wait_for()
    assert page.locator("#answer .doubt li").count() == 1
    page.wait_for_function("document.activeElement.matches('#answer h2')")
    assert sticks_out(page) == [0]
    drop_single(page, "other.jpg", picture_bytes(1, size=SMALL))
    anyway.wait_for()


def test_a_screen_reader_hears_the_answer_in_a_few_words(page):
    answered(page)
    said = page.locator("#answer ~ [role=status], #answer [role=status]").first
    assert re.fullmatch(r"\D+, [<>]?\d+%", said.inner_text())


@pytest.mark.parametrize("page", [390], indirect=True)
def test_nothing_of_the_answer_sticks_out_on_a_phone(page):
    answered(page)
    page.get_by_role("button", name="Look more carefully").click()
    page.locator("#answer .bar-range").first.wait_for()
    page.evaluate("document.querySelectorAll('#answer details, #seen details').forEach((one) => (one.open = true))")
    assert sticks_out(page) == [0]


# Two models on offer: the one that the app was started with, and the bundled one


def test_the_comparison_begins_with_another_model_than_the_page_s_and_keeps_it_another_one(page, model):
    page.locator("[data-example='1']").click()
    page.locator("#answer h2, #answer .doubt").first.wait_for()
    page.get_by_role("tab", name="Compare").click()
    second = page.get_by_label("Compare the page's model with")
    assert second.input_value().startswith("mobilenet_v2, ")
    page.get_by_role("button", name=re.compile("Use the picture from")).click()
    page.locator(".comparison-column").nth(1).wait_for()
    assert "twice" not in page.inner_text(".agreement")
    page.get_by_role("button", name=re.compile("^Model: ")).click()
    page.get_by_label("Models that come with this page").click()
    page.get_by_role("option", name=re.compile(r"^(✓ )?mobilenet_v2, ")).click()
    page.get_by_role("button", name=re.compile(r"^Model: mobilenet_v2(?! \()")).wait_for(timeout=60_000)
    page.wait_for_function(
        "name => document.querySelector('#compare-second input').value.includes(name)", arg=str(model.path)
    )
    page.locator(".comparison-column").nth(1).locator("h2", has_text=str(model.path)).wait_for()
    assert "twice" not in page.inner_text(".agreement")
