"""The page in German, and back in English."""

import json
import re

import pytest

from skin_gradio.ui import words
from tests.browser.test_page import file, picture_bytes

pytestmark = pytest.mark.browser


def heading(page, text):
    page.wait_for_function("text => document.querySelector('h1')?.textContent === text", arg=text)


def test_a_german_browser_gets_a_german_page_and_can_switch_to_english(open_page):
    page = open_page(locale="de-DE")
    heading(page, "Hautläsions-Klassifikator")
    page.wait_for_function("document.title === 'Hautläsions-Klassifikator'")
    assert page.evaluate("document.documentElement.lang") == "de"
    assert "Kein Medizinprodukt. Nur für Forschung und Lehre." in page.inner_text("#disclaimer")
    page.get_by_role("tab", name="Viele Bilder").wait_for()
    page.get_by_role("button", name="Zeichnung").or_(page.locator("[data-example='0']")).first.click()
    page.wait_for_selector("#answer h2")
    assert "Wahrscheinlichste Diagnose für die Zeichnung" in page.inner_text("#answer")
    assert "\u00a0%" in page.inner_text("#answer .bars")
    assert "Deckkraft" in page.inner_text("#seen")

    english = page.get_by_role("button", name="English")
    english.focus()
    page.keyboard.press("Enter")
    heading(page, "Skin lesion classifier")
    page.wait_for_function("document.querySelector('#answer').innerText.includes('Most probable diagnosis')")
    assert "lang=en" in page.url
    assert page.evaluate("document.documentElement.lang") == "en"
    assert english.get_attribute("aria-pressed") == "true"
    page.get_by_role("tab", name="Many pictures").wait_for()
    assert "Choose a picture" in page.inner_text("#single-zone")


# Texts and names that a page shows or says, whatever is folded away included.
SAID = """() => {
  const said = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!walk.currentNode.parentElement.closest("script, style")) said.push(walk.currentNode.data);
  }
  for (const name of ["alt", "aria-label", "aria-valuetext", "placeholder", "title"])
    for (const one of document.querySelectorAll(`main [${name}]`)) said.push(one.getAttribute(name));
  return said.map((text) => text.replace(/\\s+/g, " ").trim()).filter(Boolean);
}"""


def english_in(said):
    """Texts of the English language file, or long parts of them, that are no German ones and are among what is said."""
    english, german = (words.read_language(code) for code in words.LANGUAGES)
    whole, pieces = set(said), "\n".join(said)
    kept = " ".join(german.values())
    found = []
    for key, text in english.items():
        if german[key] == text or key == "model_choice.typed_example":
            continue
        parts = [part.strip(" .,:;") for part in re.split(r"<[^>]*>|{[^}]*}", text)]
        long = [part for part in parts if len(part) >= 12 and " " in part and part not in kept]
        if any(part in pieces for part in long) or (text in whole and text not in german.values()):
            found.append(f"{key}: {text}")
    return found


def test_a_german_page_says_nothing_in_english(open_page):
    page = open_page(locale="de-DE")
    heading(page, "Hautläsions-Klassifikator")
    page.locator("#model-choice button").first.click()
    found = {"at first": english_in(page.evaluate(SAID))}
    page.locator("[data-example='1']").click()
    page.locator("#answer .bars").wait_for()
    page.get_by_role("button", name="Genauer hinsehen").click()
    page.locator("#answer .bar-range").first.wait_for()
    found["an answer"] = english_in(page.evaluate(SAID))
    page.get_by_role("tab", name="Über das Modell").click()
    page.locator("#about-model details[data-part]").last.wait_for()
    found["about the model"] = english_in(page.evaluate(SAID))
    page.get_by_role("tab", name="Vergleich").click()
    page.locator("#compare-second input").fill("mobilenet_v2")
    page.keyboard.press("Enter")
    page.click("#compare-take")
    page.locator(".comparison-column").nth(1).wait_for()
    found["a comparison"] = english_in(page.evaluate(SAID))
    page.get_by_role("tab", name="Viele Bilder").click()
    grey = file("grey.png", picture_bytes(5, "PNG", mode="LA"))
    pictures = [file("a.jpg", picture_bytes(0)), file("b.jpg", picture_bytes(1)), file("empty.png", b""), grey]
    page.set_input_files("#batch-zone input[data-kind=files]", pictures)
    page.click("#batch-start")
    page.wait_for_selector("#batch-csv:not([disabled])")
    labels = file("labels.csv", b"image,label\na,mel\nb,nv\nc,wart\nd,nv\n")
    page.locator("input[data-testid*='abel']").set_input_files([labels])
    page.locator("#batch-own .own").wait_for()
    found["many pictures"] = english_in(page.evaluate(SAID))
    page.click("#batch-report")
    page.wait_for_selector("#batch-get-report:not([disabled])")
    page.locator("[data-layout=gallery]").click()
    page.locator("button.tile").first.click()
    page.locator("#batch-detail img").first.wait_for()
    found["an opened row"] = english_in(page.evaluate(SAID))
    assert json.dumps({state: texts for state, texts in found.items() if texts}, indent=1) == "{}"


def test_a_link_names_the_language_and_opening_a_tab_keeps_it(open_page, app_url):
    page = open_page(width=390)
    page.goto(f"{app_url}?lang=de#about")
    heading(page, "Hautläsions-Klassifikator")
    page.wait_for_function("document.querySelector('#about-model')?.innerText.includes('Verwendungszweck')")
    assert page.url.endswith("?lang=de#about")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
