"""Starts `app.py` on the bundled model and opens it in the Chromium of the machine."""

import os
import shutil

import pytest

from benchmarks.app_process import ROOT, running_app

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="package")  # not longer: Playwright keeps an event loop running
def app_url(tmp_path_factory):
    if not (ROOT / "weights" / "mobilenet_v2" / "model.json").is_file():
        pytest.skip("the bundled model weights/mobilenet_v2 is not here")
    with running_app(log=tmp_path_factory.mktemp("app") / "log.txt") as app:
        yield app.url


@pytest.fixture(scope="package")  # not longer: Playwright keeps an event loop running
def browser():
    if not CHROMIUM and os.environ.get("REQUIRE_BROWSER"):
        pytest.fail("REQUIRE_BROWSER is set and there is no Chromium")
    if not CHROMIUM:
        pytest.skip("there is no Chromium; install it (Debian: apt-get install chromium) or name one in CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


class Watched:
    """A page that remembers what it should not have done: foreign requests and console errors."""

    def __init__(self, browser, url, width, **options):
        self.context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.foreign, self.errors = [], []
        allowed = (url, "data:", "blob:")
        self.page.on("request", lambda request: request.url.startswith(allowed) or self.foreign.append(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector("#single-zone .zone")


@pytest.fixture
def open_page(browser, app_url):
    """Open the page at a width; at the end of the test, hold it to have made no foreign request and no error."""
    opened = []

    def open_at(width=1280, **options):
        opened.append(Watched(browser, app_url, width, **options))
        return opened[-1].page

    yield open_at
    for watched in opened:
        watched.context.close()
        assert watched.foreign == []
        assert watched.errors == []
