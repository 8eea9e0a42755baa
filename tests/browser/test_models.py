"""Choosing and comparing models, and the tab about them, in a real browser."""

import re
import shutil

import pytest

from skin_gradio.models import BUNDLED
from tests.browser.test_page import (
    drop_single,
    file,
    open_batch,
    picture_bytes,
    progress,
    start_batch,
    sticks_out,
)

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


def pick(page, name):
    """Choose a bundled model in the open menu."""
    page.get_by_label("Models that come with this page").click()
    page.get_by_role("option", name=re.compile(rf"^(✓ )?{name}, ")).click()
    page.get_by_role("button", name=re.compile(rf"^Model: {name}(?! \()")).wait_for(timeout=60_000)


def answered_by(page, name, bars):
    """Wait for a model's answer, or its doubts about the picture and then its answer."""
    page.wait_for_function(
        """([name, bars]) => {
          const anyway = document.querySelector("#answer [data-act=anyway]:not([data-pressed])");
          if (anyway) { anyway.dataset.pressed = "yes"; anyway.click(); }
          return document.querySelectorAll("#answer .bar").length === bars
            && document.querySelector("#answer .overline").textContent.endsWith(`· ${name}`);
        }""",
        arg=[name, bars],
    )


def test_a_visitor_switches_between_models_of_seven_and_of_two_classes(open_page):
    page = open_page()
    drop_single(page, "lesion.jpg", picture_bytes(0))
    answered_by(page, "mobilenet_v2", 7)
    page.locator("#answer .marks button").last.click()
    before = page.inner_text("#answer [data-figure=threshold]")
    unfold(page)
    pick(page, "cnn_binary")
    answered_by(page, "cnn_binary", 2)
    page.locator("#page-header", has_text="benign and malignant").wait_for()
    assert page.locator("#answer .marks button").last.get_attribute("aria-pressed") == "true"
    assert page.inner_text("#answer [data-figure=threshold]") != before  # the point stays, its number is another one

    open_batch(page, [file(f"{i}.jpg", picture_bytes(i)) for i in range(3)])
    start_batch(page)
    progress(page, "^Done")
    assert page.inner_text("#batch-pages").count("Model: cnn_binary.") == 1
    labels = b"image,dx\n0,mel\n1,nv\n2,vasc\n"
    page.locator("input[data-testid^='Compare with labels']").set_input_files([file("labels.csv", labels)])
    page.locator("#batch-own", has_text="Pictures with a label: 3").wait_for()
    assert "Accuracy" in page.inner_text("#batch-own")

    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Compare the page's model with").click()
    page.get_by_role("option", name=re.compile(r"^(✓ )?mobilenet_v2, ")).click()
    page.get_by_role("button", name=re.compile("Use the picture from")).click()
    page.locator(".agreement", has_text="different classes").wait_for()
    assert page.locator(".comparison-column").count() == 2

    pick(page, "mobilenet_v2")
    page.get_by_role("tab", name="One picture").click()
    answered_by(page, "mobilenet_v2", 7)
    assert page.inner_text("#answer [data-figure=threshold]") == before
    page.get_by_role("tab", name="Many pictures").click()
    assert "Model: cnn_binary." in page.inner_text("#batch-pages")  # a run keeps its model


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
    page.get_by_label("Compare the page's model with").click()
    page.get_by_role("option", name=re.compile(r"^(✓ )?mobilenet_v2, ")).click()
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
