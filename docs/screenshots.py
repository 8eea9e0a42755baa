"""Take the README's screenshots from the real page, with the project's own drawings for pictures.

    python docs/screenshots.py

Needs Chromium and the `dev` extra.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from skin_gradio.ui.examples import write_examples  # noqa: E402
from tests.browser.conftest import ARGUMENTS, CHROMIUM, free_port, wait_for_page  # noqa: E402


def single(page: Page) -> None:
    """One drawing with its answer."""
    page.click("[data-example='1']")
    page.wait_for_selector("#answer .bars")
    page.wait_for_selector("#seen img")
    page.screenshot(path=ROOT / "docs" / "single.png", full_page=True)


def many(page: Page, files: list[Path]) -> None:
    """Drawings and two bad files as a batch."""
    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files("#batch-zone input[data-kind=files]", files)
    page.wait_for_selector("#batch-start:not([disabled])")
    page.click("#batch-start")
    page.wait_for_selector("#batch-progress >> text=Done")
    page.wait_for_selector("#batch-csv:not([disabled])")
    page.screenshot(path=ROOT / "docs" / "batch.png", full_page=True)


def main() -> None:
    """Start the app, take both screenshots and stop it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        drawings = write_examples(Path(folder))
        cut, text = Path(folder) / "interrupted_download.jpg", Path(folder) / "notes.txt"
        cut.write_bytes(drawings[0].read_bytes()[:9000])
        text.write_text("no picture")
        app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
        try:
            wait_for_page(url, app)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(url)
                page.wait_for_selector("#single-zone .zone")
                single(page)
                many(page, [*drawings, cut, text])
                browser.close()
        finally:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
