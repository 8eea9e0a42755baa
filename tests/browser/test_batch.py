"""The tab for many pictures in a real browser: filters, gallery, the single view of a row, labels and report."""

import io
import re
import zipfile

import pytest

from tests.browser.test_page import downloaded, file, open_batch, picture_bytes, progress, start_batch, sticks_out

pytestmark = pytest.mark.browser


def run_batch(page, count=6):
    """Classify some pictures, a bad file, and a picture in a zip."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("visit/one.jpg", picture_bytes(20))
    files = [file(f"lesion-{i}.jpg", picture_bytes(i)) for i in range(count)]
    open_batch(page, [*files, file("empty.png", b""), file("more.zip", archive.getvalue())])
    start_batch(page)
    progress(page, "^Done")
    page.wait_for_selector("#batch-csv:not([disabled])")


def shown(page):
    return page.locator("#batch-table [data-open] .open, #batch-table tr.failed .file").all_inner_texts()


def test_rows_are_filtered_sorted_and_shown_as_a_gallery(open_page):
    page = open_page()
    run_batch(page)
    assert "Most probable diagnoses" in page.inner_text("#batch-summary")
    assert "7 pictures" in page.get_by_role("img", name=re.compile("^Malignancy scores")).get_attribute("aria-label")
    page.locator("select[data-status]").select_option("failed")
    page.locator("#batch-pages", has_text="1 rows that pass the filters, of 8").wait_for()
    assert shown(page) == ["empty.png"]
    page.locator("select[data-status]").select_option("")
    page.locator("#batch-pages", has_text="Rows 1 to 8 of 8").wait_for()
    page.get_by_role("button", name="Gallery").click()
    tiles = page.locator(".batch-gallery li")
    tiles.first.wait_for()
    assert tiles.count() == 8
    assert page.locator(".batch-gallery img").count() == 7
    assert page.get_by_role("button", name="Gallery").get_attribute("aria-pressed") == "true"
    page.locator("select[data-sort]").select_option("score")
    page.wait_for_timeout(1000)
    scores = [float(text.split()[1]) for text in page.locator(".score-of").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)


def test_a_row_opens_by_keyboard_follows_the_prior_and_gives_the_keyboard_back(open_page):
    page = open_page()
    run_batch(page)
    name = page.get_by_role("button", name="more.zip/visit/one.jpg")
    name.focus()
    page.keyboard.press("Enter")
    page.locator("#batch-answer .overline, #batch-answer .doubt", has_text="more.zip/visit/one.jpg").wait_for()
    page.locator("#batch-seen img").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "batch-close"
    anyway = page.locator("#batch-answer [data-act=anyway]")
    if anyway.count():
        anyway.click()
    page.locator("#batch-answer .bars").wait_for()
    page.get_by_label("Each equally common").check()
    page.locator("#batch-answer .fine", has_text="If every diagnosis is equally common").wait_for()
    page.click("#batch-close")
    page.locator("#batch-detail").wait_for(state="hidden")
    page.wait_for_function("document.activeElement.dataset.open === '8'")


def test_labels_give_figures_and_a_filter_for_what_differs(open_page):
    page = open_page()
    run_batch(page)
    labels = "image,label\nlesion-0.jpg,mel\nlesion-1.jpg,nv\nlesion-2,vasc\nnowhere.jpg,nv\nlesion-3.jpg,wart\n"
    upload = page.locator("input[data-testid^='Compare with labels']")
    upload.set_input_files([file("labels.csv", labels.encode())])
    own = page.locator("#batch-own .own")
    own.wait_for()
    text = own.inner_text()
    assert "Pictures with a label: 3." in text
    assert "nowhere.jpg" in text
    assert "“wart” (1)" in text
    assert page.get_by_role("img", name=re.compile("^ROC of the malignancy score")).count() == 1
    assert own.locator("table.confusion tbody tr").count() == 7
    page.locator("select[data-status]").select_option("differs")
    page.locator("#batch-pages", has_text="rows that pass the filters, of 8").wait_for()
    assert set(shown(page)) <= {"lesion-0.jpg", "lesion-1.jpg", "lesion-2.jpg"}
    upload.set_input_files([file("labels.csv", b"a,b\n1,2\n")])
    page.locator("#batch-own [role=alert]", has_text="needs a column").wait_for()


def test_a_report_is_made_on_demand_and_opens_offline(open_page, browser, tmp_path):
    page = open_page()
    run_batch(page)
    assert page.locator("#batch-get-report").is_disabled()
    page.click("#batch-report")
    page.wait_for_selector("#batch-get-report:not([disabled])")
    with page.expect_download() as download:
        page.click("#batch-get-report")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sum(name.startswith("heatmaps/") for name in archive.namelist()) == 7
        assert "skin-lesions-training-mix.csv" in archive.namelist()
        archive.extractall(tmp_path)
    context = browser.new_context(offline=True)
    try:
        report, errors = context.new_page(), []
        report.on("requestfailed", lambda request: errors.append(request.url))
        report.goto((tmp_path / "report.html").as_uri())
        assert report.locator("table.results tbody tr").count() == 8
        assert report.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
        assert errors == []
    finally:
        context.close()
    assert len(downloaded(page)) == 8


def test_a_report_says_how_far_it_is_where_it_was_asked_for_and_can_be_stopped(open_page):
    page = open_page(390)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for number in range(200):
            writer.writestr(f"{number}.jpg", picture_bytes(0))
    open_batch(page, [file("many.zip", archive.getvalue())])
    start_batch(page)
    progress(page, "^Done")
    page.click("#batch-report")
    page.locator("#batch-reporting", has_text=re.compile(r"Heatmaps and report: \d+ of 200")).wait_for()
    assert page.locator("#batch-reporting .progress-track").is_visible()
    assert "Done: 200 of 200" in page.inner_text("#batch-progress")
    page.get_by_role("button", name="Stop the report").click()
    page.locator("#batch-reporting", has_text="The report was stopped").wait_for()
    assert page.locator("#batch-get-report").is_disabled()
    assert page.locator("#batch-report").is_enabled()
    assert page.locator("#batch-stop-report").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_of_the_batch_scrolls_sideways_on_a_phone(open_page, scheme):
    page = open_page(390, color_scheme=scheme)
    run_batch(page)
    page.locator("input[data-testid^='Compare with labels']").set_input_files(
        [file("labels.csv", b"image,label\nlesion-0,mel\nlesion-1,nv\n")]
    )
    page.locator("#batch-own .own").wait_for()
    page.get_by_role("button", name="Gallery").click()
    page.locator(".batch-gallery button.tile").first.click()
    page.locator("#batch-detail img").first.wait_for()
    inside = "table.confusion, table.confusion *"
    assert [html for html in sticks_out(page)[1:] if not page.locator(inside).count()] == []
    assert sticks_out(page)[0] == 0
