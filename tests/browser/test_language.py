"""The page in German, and back in English."""

import pytest

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


def test_a_link_names_the_language_and_opening_a_tab_keeps_it(open_page, app_url):
    page = open_page(width=390)
    page.goto(f"{app_url}?lang=de#about")
    heading(page, "Hautläsions-Klassifikator")
    page.wait_for_function("document.querySelector('#about-model')?.innerText.includes('Verwendungszweck')")
    assert page.url.endswith("?lang=de#about")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
