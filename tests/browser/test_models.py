"""Choosing and comparing models, and the tab about them, in a real browser."""

import re
import shutil

import pytest

from skin_gradio.models import BUNDLED
from tests.browser.test_page import drop_single, picture_bytes, sticks_out

pytestmark = pytest.mark.browser


@pytest.fixture
def other(tmp_path):
    """A folder with a model that is not bundled."""
    return shutil.copytree(BUNDLED / "mobilenet_v2", tmp_path / "other")


def unfold(page):
    page.get_by_role("button", name=re.compile("^Model: ")).click()
    page.get_by_label("Another model").wait_for()


def choose(page, name):
    page.get_by_label("Another model").fill(str(name))
    page.keyboard.press("Enter")


def test_a_model_in_a_folder_can_be_chosen_and_everything_follows(open_page, other):
    page = open_page()
    drop_single(page, "lesion.jpg", picture_bytes(0))
    page.locator("#answer .bars").wait_for()
    unfold(page)
    choose(page, other)
    page.locator("#model-status", has_text=str(other)).filter(has_text="In use").wait_for(timeout=120_000)
    page.get_by_role("button", name=f"Model: mobilenet_v2 ({other})").wait_for()
    page.locator("#answer .bars").wait_for()
    page.get_by_role("tab", name="About").click()
    page.locator("#about-model", has_text="did not come with the page").wait_for()


def test_a_model_that_cannot_be_used_is_named_and_the_old_one_stays(open_page, other):
    (other / "model.onnx").write_bytes(b"changed")
    page = open_page()
    unfold(page)
    before = page.inner_text("#model-status")
    for name, reason in ((other, "checksum"), ("/nowhere/at/all", "no folder"), ("", "Type a folder")):
        choose(page, name)
        toast = page.locator(".toast-body", has_text=reason)
        toast.wait_for(timeout=60_000)
        assert "mobilenet_v2 is still in use" in toast.inner_text()
        toast.get_by_role("button").last.click()
        toast.wait_for(state="detached")
    assert page.inner_text("#model-status") == before
    drop_single(page, "lesion.jpg", picture_bytes(0))
    page.locator("#answer .bars").wait_for()


def test_a_choice_is_one_visitors_own(open_page, other):
    mine, yours = open_page(), open_page()
    unfold(mine)
    choose(mine, other)
    mine.locator("#model-status", has_text=str(other)).filter(has_text="In use").wait_for(timeout=120_000)
    unfold(yours)
    assert str(other) not in yours.inner_text("#model-status")


def test_two_models_answer_side_by_side(open_page, other):
    page = open_page()
    page.get_by_role("tab", name="Compare").click()
    second = page.get_by_label("Compare the page's model with")
    second.fill(str(other))
    second.press("Enter")
    page.set_input_files(
        "#compare-zone input[type=file]",
        [{"name": "lesion.jpg", "mimeType": "image/jpeg", "buffer": picture_bytes(0)}],
    )
    columns = page.locator(".comparison-column")
    columns.nth(1).wait_for(timeout=120_000)
    left, right = (columns.nth(i) for i in range(2))
    assert left.locator("li.bar").count() == right.locator("li.bar").count() == 7
    assert left.bounding_box()["y"] == right.bounding_box()["y"]
    assert str(other) in right.locator("h2").first.inner_text()
    assert "Both put" in page.inner_text(".agreement")


def test_the_picture_of_the_first_tab_can_be_compared(open_page):
    page = open_page(390)
    page.locator("[data-example='1']").click()
    page.locator("#answer .bars").wait_for()
    page.get_by_role("tab", name="Compare").click()
    second = page.get_by_label("Compare the page's model with")
    second.fill("mobilenet_v2")
    second.press("Enter")
    page.get_by_role("button", name=re.compile("Use the picture from")).click()
    columns = page.locator(".comparison-column")
    columns.nth(1).wait_for()
    left, right = (columns.nth(i).bounding_box() for i in range(2))
    assert right["y"] >= left["y"] + left["height"]
    assert "twice" in page.inner_text(".agreement")
    assert sticks_out(page) == [0]


def test_a_link_opens_a_tab_and_a_tab_has_a_link(open_page):
    page = open_page()
    page.get_by_role("tab", name="About").click()
    page.wait_for_url("**/#about")
    page.reload()
    page.locator("#about-model").wait_for()
    assert page.get_by_role("tab", name="About").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_figure_of_the_model_can_be_read(open_page, width, scheme):
    page = open_page(width, color_scheme=scheme)
    page.get_by_role("tab", name="About").click()
    page.locator("#about-model details[data-part]").last.wait_for()
    for part in page.locator("#about-model details[data-part]").all():
        if part.get_attribute("open") is None:
            part.locator("summary").first.focus()
            page.keyboard.press("Enter")
    assert page.locator("#about-model svg.reliability").count() == 2
    assert page.get_by_role("img", name=re.compile("Are the probabilities right")).first.is_visible()
    assert page.locator("#about-model table.confusion").first.is_visible()
    assert page.locator("#about-model details[data-part=elsewhere] table").is_visible()
    assert sticks_out(page) == [0]
