import csv
import functools
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from skin_gradio.ui.examples import EXAMPLES

pytestmark = pytest.mark.browser


@functools.cache
def drawing(seed):
    """A drawing that the input gate lets pass, different for every seed."""
    return EXAMPLES[seed % len(EXAMPLES)].draw(np.random.default_rng(seed)).convert("RGB")


def picture_bytes(seed, file_format="JPEG", size=(600, 450), mode="RGB"):
    """The file of a drawing, different for every seed; grey ones are doubted."""
    image, buffer = drawing(seed).resize(size), io.BytesIO()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    image.save(buffer, file_format)
    return buffer.getvalue()


def file(name, data):
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def drop_single(page, name, data):
    page.set_input_files("#single-zone input[type=file]", [file(name, data)])


def open_batch(page, files):
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#batch-zone input[data-kind=files]", files)
    page.wait_for_selector("#batch-start:not([disabled])")


def start_batch(page):
    page.click("#batch-start")


def progress(page, pattern):
    page.locator("#batch-progress .progress-line").filter(has_text=re.compile(pattern)).wait_for()
    return page.inner_text("#batch-progress .progress-line")


def downloaded(page):
    page.wait_for_selector("#batch-csv:not([disabled])")
    with page.expect_download() as download:
        page.click("#batch-csv")
    with open(download.value.path(), newline="", encoding="utf-8-sig") as handle:
        return list(csv.DictReader(handle))


def sticks_out(page):
    """Elements that reach beyond the right edge of the window, and how far the window can be scrolled sideways."""
    return page.evaluate(
        """() => [document.documentElement.scrollWidth - window.innerWidth,
                  ...[...document.querySelectorAll("body *")]
                    .filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1)
                    .filter((e) => !e.closest(".unseen, .examples span, thead"))
                    .map((e) => e.outerHTML.slice(0, 80))]"""
    )


def test_a_dropped_picture_is_answered_without_another_click(open_page):
    page = open_page()
    drop_single(page, "lesion.jpg", picture_bytes(0))
    bars = page.locator("#answer li.bar")
    bars.first.wait_for()
    assert bars.count() == 7
    shares = [
        float(style.split(":")[1].rstrip("%; "))
        for style in page.eval_on_selector_all(".bar-track > span", "all => all.map((e) => e.getAttribute('style'))")
    ]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.1)
    assert page.locator("#answer h2").count() == 1
    assert "threshold" in page.inner_text("#answer .score")
    page.locator("#seen img.base").wait_for()
    assert page.evaluate("document.querySelector('#seen img.base').naturalWidth") >= 448


def test_changing_the_prior_answers_again(open_page):
    page = open_page()
    drop_single(page, "lesion.jpg", picture_bytes(1))
    page.locator("#answer .bars").wait_for()
    before = page.inner_text("#answer .bars")
    page.get_by_label("Each equally common").check()
    page.locator("#answer .fine", has_text="If every diagnosis is equally common").wait_for()
    assert page.inner_text("#answer .bars") != before


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("notes.jpg", b"no picture at all", "not a picture"),
        ("empty.png", b"", "empty"),
        ("cut.jpg", picture_bytes(2)[:4000], "cut off|damaged"),
        ("tiny.png", picture_bytes(3, "PNG", (20, 20)), "at least 32 x 32"),
        ("paper.pdf", b"%PDF-1.7 text", "PDF"),
    ],
)
def test_a_bad_file_shows_its_reason_in_the_page(open_page, name, data, reason):
    page = open_page()
    drop_single(page, name, data)
    notice = page.locator("#answer [role=alert]")
    notice.wait_for()
    assert name in notice.inner_text()
    assert re.search(reason, notice.inner_text())
    drop_single(page, "good.jpg", picture_bytes(4))
    page.locator("#answer .bars").wait_for()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lesion.tiff", picture_bytes(5, "TIFF")),
        ("print.jpg", picture_bytes(5, "JPEG", mode="CMYK")),
        ("deep.png", picture_bytes(5, "PNG", mode="I;16")),
        ("grey.png", picture_bytes(5, "PNG", mode="LA")),
        ("large.jpg", picture_bytes(5, size=(10_000, 10_000))),
    ],
    ids=["tiff", "cmyk", "deep", "grey with alpha", "100 megapixels"],
)
def test_unusual_pictures_are_answered(open_page, name, data):
    page = open_page()
    drop_single(page, name, data)
    page.locator("#answer .overline, #answer .doubt", has_text=name).wait_for()


def test_a_refused_upload_does_not_bring_the_earlier_answer_back(open_page, tmp_path):
    page = open_page()
    drop_single(page, "small.jpg", picture_bytes(1))
    page.wait_for_selector("#answer .bars")
    big = tmp_path / "big.jpg"
    with open(big, "wb") as handle:
        handle.truncate(101_000_000)
    page.set_input_files("#single-zone input[type=file]", big)
    page.locator("#single-zone .zone-status", has_text="101 MB").wait_for()
    page.get_by_label("Each equally common").check()
    page.wait_for_timeout(1500)
    assert page.locator("#answer .bars").count() == 0


def test_a_picture_can_be_dragged_and_pasted(open_page):
    page = open_page()
    for event, target in (("drop", "document.querySelector('#single-zone .zone')"), ("paste", "document")):
        page.evaluate(
            f"""(bytes) => {{
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "by-{event}.jpg", {{ type: "image/jpeg" }}));
                const options = {{ bubbles: true, cancelable: true }};
                {target}.dispatchEvent("{event}" === "drop"
                  ? new DragEvent("drop", {{ ...options, dataTransfer: transfer }})
                  : new ClipboardEvent("paste", {{ ...options, clipboardData: transfer }}));
            }}""",
            list(picture_bytes(6, size=(120, 90))),
        )
        page.locator("#answer .overline", has_text=f"by-{event}.jpg").wait_for()


def test_the_camera_takes_a_picture(open_page):
    page = open_page(permissions=["camera"])
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    page.locator("#answer .doubt", has_text="camera.png").wait_for()  # a test card
    assert page.locator(".zone-camera").is_hidden()


def test_a_drawing_is_labelled_as_one_and_classified_by_keyboard(open_page):
    page = open_page()
    assert "Drawings, not photographs" in page.inner_text("#examples")
    page.locator("[data-example='1']").focus()
    page.keyboard.press("Enter")
    page.locator("#answer .overline", has_text="drawing").wait_for()


def test_the_disclaimer_stays_in_sight(open_page):
    page = open_page(390)
    drop_single(page, "lesion.jpg", picture_bytes(0))
    page.locator("#seen img").first.wait_for()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    box = page.locator("#disclaimer").bounding_box()
    assert 0 <= box["y"] < 10
    assert "not a medical device" in page.inner_text("#disclaimer")


def test_a_batch_of_files_and_a_zip_becomes_rows_and_a_csv(open_page):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("visit/one.jpg", picture_bytes(10))
        writer.writestr("visit/bad.jpg", b"garbage")
    page = open_page()
    open_batch(
        page,
        [
            file("a.jpg", picture_bytes(11)),
            file("=HYPERLINK(1).jpg", picture_bytes(12)),
            file("cut.jpg", picture_bytes(13)[:3000]),
            file("empty.png", b""),
            file("more.zip", archive.getvalue()),
        ],
    )
    start_batch(page)
    assert "6 of 6, 3 failed" in progress(page, "^Done")
    rows = page.locator("table.results tbody tr")
    assert rows.count() == 6
    assert page.locator("table.results tbody img").count() == 3
    assert page.locator("tr.failed", has_text="empty.png").locator(".reason").inner_text() != ""
    table = downloaded(page)
    assert [row["status"] for row in table].count("failed") == 3
    assert not any(row["file"].startswith("=") for row in table)
    page.get_by_role("button", name="Malignancy score").click()
    page.locator("th[aria-sort=descending]", has_text="Malignancy score").wait_for()
    scores = [float(text.split()[0]) for text in page.locator("td[data-label='Malignancy score']").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.get_by_label("Each equally common").check()
    page.locator("#batch-pages", has_text="each equally common").wait_for()
    page.wait_for_timeout(500)
    assert downloaded(page) != table


def test_a_batch_can_be_cancelled_and_started_again(open_page):
    page = open_page()
    open_batch(page, [file(f"{i:04}.jpg", picture_bytes(i % 7)) for i in range(400)])
    start_batch(page)
    progress(page, r"^\d+ of 400")
    page.click("#batch-cancel")
    stopped = int(re.match(r"Stopped: (\d+) of 400", progress(page, "^Stopped")).group(1))
    assert stopped < 400
    assert len(downloaded(page)) == stopped
    page.wait_for_timeout(1500)
    assert f"Stopped: {stopped} of 400" in page.inner_text("#batch-progress")
    page.get_by_role("button", name="Remove all").click()
    page.wait_for_selector("#batch-start[disabled]")
    open_batch(page, [file("again.jpg", picture_bytes(1))])
    start_batch(page)
    progress(page, "^Done: 1 of 1")


def test_files_added_during_a_run_wait_for_its_end(open_page):
    page = open_page()
    open_batch(page, [file(f"{i:04}.jpg", picture_bytes(i % 7)) for i in range(400)])
    start_batch(page)
    progress(page, r"^\d+ of 400")
    page.set_input_files("#batch-zone input[data-kind=files]", [file("late.jpg", picture_bytes(1))])
    page.locator("#batch-zone .zone-status", has_text="401 files ready").wait_for()
    page.wait_for_timeout(500)
    if "Done" not in page.inner_text("#batch-progress"):
        assert page.locator("#batch-start").is_disabled()
    page.click("#batch-cancel")
    progress(page, "^(Stopped|Done)")
    page.wait_for_selector("#batch-start:not([disabled])")


def test_a_batch_that_waits_for_a_place_can_be_cancelled(open_page):
    others = [open_page(), open_page()]
    for page in others:
        open_batch(page, [file(f"{i:04}.jpg", picture_bytes(i % 7)) for i in range(500)])
    waiting = open_page()
    open_batch(waiting, [file(f"{i:04}.jpg", picture_bytes(i % 7)) for i in range(3)])
    for page in others:
        start_batch(page)
        progress(page, r"^\d+ of 500")
    start_batch(waiting)
    progress(waiting, "^Waiting")
    waiting.click("#batch-cancel:not([disabled])")
    for page in others:
        page.click("#batch-cancel")
    assert "0 of 3" in progress(waiting, "^Stopped")
    waiting.wait_for_selector("#batch-start:not([disabled])")


def test_pages_of_rows_turn(open_page):
    page = open_page()
    open_batch(page, [file(f"{i:04}.jpg", picture_bytes(i % 5, size=(60, 45))) for i in range(60)])
    start_batch(page)
    progress(page, "^Done: 60 of 60")
    assert page.locator("table.results tbody tr").count() == 50
    page.get_by_role("button", name="Next").click()
    page.locator("td.file", has_text="0059.jpg").wait_for()
    assert page.locator("table.results tbody tr").count() == 10


def test_a_single_picture_is_answered_while_a_batch_runs(open_page):
    batch, single = open_page(), open_page()
    open_batch(batch, [file(f"{i:04}.jpg", picture_bytes(i % 7)) for i in range(300)])
    start_batch(batch)
    progress(batch, r"^\d+ of 300")
    drop_single(single, "lesion.jpg", picture_bytes(0))
    single.locator("#answer .bars").wait_for(timeout=10_000)
    single.get_by_role("tab", name="Many pictures").click()
    assert single.inner_text("#batch-table").strip() == ""
    batch.click("#batch-cancel")
    progress(batch, "^Stopped|^Done")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(open_page, scheme):
    page = open_page(390, color_scheme=scheme)
    assert sticks_out(page) == [0]
    drop_single(page, "a" * 80 + ".jpg", picture_bytes(0))
    page.locator("#seen img").first.wait_for()
    assert sticks_out(page) == [0]
    open_batch(page, [file("b" * 90 + ".jpg", picture_bytes(1)), file("empty.jpg", b"")])
    assert sticks_out(page) == [0]
    start_batch(page)
    progress(page, "^Done")
    page.locator("table.results tbody tr").first.wait_for()
    assert sticks_out(page) == [0]
    page.get_by_role("tab", name="About").click()
    page.get_by_role("heading", name="Limits").wait_for()
    assert sticks_out(page) == [0]
