"""The page for who uses a keyboard or a screen reader: axe-core's rules in both themes, and where the keyboard goes."""

from pathlib import Path

import pytest

from tests.browser.test_page import drop_single, file, open_batch, picture_bytes, start_batch

pytestmark = pytest.mark.browser

AUDIT = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}`));
}"""


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core's script."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_in_any_tab(open_page, axe, width, scheme):
    page = open_page(width, color_scheme=scheme)
    page.evaluate(axe)
    found = {"at first": page.evaluate(AUDIT)}
    page.locator("#model-choice button").first.click()
    drop_single(page, "lesion.jpg", picture_bytes(0))
    page.locator("#answer .bars").wait_for()
    page.get_by_role("button", name="Look more carefully").click()
    page.locator("#answer .bar-range").first.wait_for()
    page.evaluate("document.querySelectorAll('#answer details, #seen details').forEach((one) => (one.open = true))")
    found["one picture"] = page.evaluate(AUDIT)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-second input").fill("mobilenet_v2")
    page.keyboard.press("Enter")
    page.click("#compare-take")
    page.locator(".comparison-column").nth(1).wait_for()
    found["a comparison"] = page.evaluate(AUDIT)
    page.get_by_role("tab", name="About").click()
    page.evaluate("document.querySelectorAll('#about-model details').forEach((one) => (one.open = true))")
    found["about"] = page.evaluate(AUDIT)
    open_batch(page, [file("a.jpg", picture_bytes(0)), file("b.jpg", picture_bytes(1)), file("c.png", b"")])
    start_batch(page)
    page.wait_for_selector("#batch-csv:not([disabled])")
    page.locator("input[data-testid^='Compare with labels']").set_input_files(
        [file("labels.csv", b"image,label\na,mel\nb,nv\n")]
    )
    page.locator("#batch-own .own").wait_for()
    found["many pictures"] = page.evaluate(AUDIT)
    page.get_by_role("button", name="Gallery").click()
    page.locator("button.tile").first.click()
    page.locator("#batch-detail img").first.wait_for()
    found["an opened row"] = page.evaluate(AUDIT)
    assert {state: rules for state, rules in found.items() if rules} == {}


@pytest.mark.parametrize("width", [1280, 390])
def test_the_keyboard_goes_through_the_page_in_the_order_of_reading_and_is_never_hidden(open_page, width):
    page = open_page(width, locale="de-DE")
    page.wait_for_function("document.title === 'Hautläsions-Klassifikator'")
    page.locator("[data-example='1']").click()
    page.locator("#answer .bars").wait_for()
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); window.scrollTo(0, 0); }")
    where, hidden, marked = [], [], []
    for _ in range(40):
        page.keyboard.press("Tab")
        part, seen, outlined, html = page.evaluate("""() => {
          const one = document.activeElement, box = one.getBoundingClientRect();
          const below = document.getElementById("disclaimer").getBoundingClientRect().bottom;
          const frame = one.closest(".zone-button, label") ?? one;
          const marked = [one, frame].some((each) => {
            const style = getComputedStyle(each);
            return (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || style.boxShadow !== "none";
          });
          const part = ["language", "prior", "model-choice", "single-zone", "examples", "seen", "answer"]
            .find((id) => document.getElementById(id)?.contains(one)) ?? one.getAttribute("role") ?? "";
          return [part, part === "language" || box.bottom > below + 1, marked, one.outerHTML.slice(0, 120)];
        }""")
        if "answer" in where and part != "answer":
            break
        if part and (not where or where[-1] != part):
            where.append(part)
        hidden += [] if seen else [html]
        marked += [] if outlined else [html]
    parts = ["language", "prior", "model-choice", "tab", "single-zone", "examples", "seen", "answer"]
    assert where == parts
    assert (hidden, marked) == ([], [])
