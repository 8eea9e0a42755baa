"""Take the README's screenshots from the real page, with the project's own drawings for pictures.

    python docs/screenshots.py

Needs Chromium and the `dev` extra. The comparison is taken where two models are bundled.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.app_process import running_app  # noqa: E402
from skin_gradio.models import bundled_models  # noqa: E402
from skin_gradio.ui.examples import write_examples  # noqa: E402
from tests.browser.conftest import ARGUMENTS, CHROMIUM  # noqa: E402


def take(page: Page, name: str, full: bool = True) -> None:
    """Write a picture of the page from its top into docs/; all of it, or what fits the window."""
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(300)
    page.screenshot(path=ROOT / "docs" / f"{name}.png", full_page=full)


def ask(page: Page) -> None:
    """Have a drawing classified in eight views."""
    page.click("[data-example='1']")
    page.wait_for_selector("#answer .bars")
    page.click("#answer [data-act=carefully]")
    page.wait_for_selector("#answer .bar-range")


def compare(page: Page) -> None:
    """Have the same drawing classified by two models."""
    page.click("#compare-button")
    page.click("#compare-take")
    page.locator(".comparison-column").nth(1).wait_for()


def many(page: Page, files: list[Path]) -> None:
    """Have files classified as a batch."""
    page.click("#batch-button")
    page.set_input_files("#batch-zone input[data-kind=files]", files)
    page.wait_for_selector("#batch-start:not([disabled])")
    page.click("#batch-start")
    page.wait_for_selector("#batch-csv:not([disabled])")
    page.wait_for_selector("#batch-table tbody tr")


def on_a_phone(page: Page) -> None:
    """Show the answer of a batch's first row in place of the whole page."""
    page.locator("#batch-table [data-open]").first.click()
    page.wait_for_selector("#batch-detail .bars")
    page.wait_for_timeout(1000)  # it scrolls to the answer
    page.screenshot(path=ROOT / "docs" / "phone.png")


def main() -> None:
    """Start the app, take the screenshots and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        drawings = write_examples(Path(folder))
        cut, text = Path(folder) / "interrupted_download.jpg", Path(folder) / "notes.txt"
        cut.write_bytes(drawings[0].read_bytes()[:9000])
        text.write_text("no picture")
        with running_app() as app, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
            page.goto(app.url)
            page.wait_for_selector("#single-zone .zone")
            ask(page)
            take(page, "single")
            if len(bundled_models()) > 1:
                compare(page)
                take(page, "compare")
            many(page, [*drawings, cut, text])
            take(page, "batch")
            phone = browser.new_page(
                viewport={"width": 390, "height": 844}, color_scheme="dark", locale="de-DE", device_scale_factor=2
            )
            phone.goto(app.url)
            phone.wait_for_function("document.title.startsWith('Haut')")
            many(phone, drawings[1:])
            on_a_phone(phone)
            browser.close()


if __name__ == "__main__":
    main()
