"""The page's words: two languages that say the same things, chosen by who asks."""

import ast
import json
import re
import string
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from skin_gradio import engines, hub, lesions, models
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.input_gate import MESSAGES
from skin_gradio.models import OperatingPoint
from skin_gradio.ui import about, markup, single, sureness, threshold, words
from skin_gradio.ui.dropzone import Upload
from skin_gradio.ui.table import told_doubts
from skin_gradio.ui.words import Text, Words
from tests.corpus import write

PACKAGE = Path(words.__file__).parent
ENGLISH, GERMAN = (words.read_language(code) for code in words.LANGUAGES)
POINT = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)


def placeholders(text):
    return sorted({(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name})


def request(lang="", accepted=""):
    return SimpleNamespace(query_params={"lang": lang} if lang else {}, headers={"accept-language": accepted})


def shown(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


# The language files


def test_both_languages_have_the_same_texts():
    assert set(GERMAN) == set(ENGLISH)


@pytest.mark.parametrize("key", ENGLISH)
def test_a_text_has_the_same_placeholders_in_both_languages(key):
    assert placeholders(GERMAN[key]) == placeholders(ENGLISH[key])
    assert GERMAN[key].strip()


def test_every_text_is_used_and_every_text_that_is_used_is_there():
    code = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.glob("*.py"))
    whole = set(re.findall(r'Text\(f?"([\w.]+)"\)', code)) | set(re.findall(r"Text\('([\w.]+)'\)", code))
    families = tuple(re.findall(r'Text\(f"([\w.]+\.)\{', code))
    unused = [key for key in ENGLISH if key not in whole and not key.startswith((*families, "told."))]
    assert unused == []
    assert whole <= set(ENGLISH)


def test_german_says_neither_harmless_nor_free_of_cancer():
    assert not re.search(r"harmlos|krebsfrei|ungefährlich|unbedenklich|gesund", " ".join(GERMAN.values()), re.I)


def test_german_is_left_untranslated_only_where_a_word_is_the_same():
    same = {key for key in ENGLISH if GERMAN[key] == ENGLISH[key] and re.search(r"[a-z]{4} [a-z]{3}", ENGLISH[key])}
    assert same == set()


# Words


def test_numbers_are_written_as_the_language_does():
    english, german = Words.of("en"), Words.of("de")
    assert (english.number(0.412, ".0%"), german.number(0.412, ".0%")) == ("41%", "41\u00a0%")
    assert (english.number(1234.5, ",.1f"), german.number(1234.5, ",.1f")) == ("1,234.5", "1.234,5")
    assert german("table.counted", done=1000, total=np.int64(2500)) == "1.000 von 2.500"


def test_what_a_language_lacks_is_said_in_english(monkeypatch, tmp_path):
    for code, texts in (("en", {"a": {"one": "One", "two": "Two"}}), ("de", {"a": {"one": "Eins"}})):
        (tmp_path / f"{code}.json").write_text(json.dumps(texts))
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    words._texts.cache_clear()
    german = Words.of("de")
    words._texts.cache_clear()
    assert (german("a.one"), german("a.two")) == ("Eins", "Two")


def test_a_name_inside_a_sentence_keeps_the_capital_of_a_german_noun():
    assert Words.of("en").inside("Melanocytic nevus") == "melanocytic nevus"
    german = Words.of("de")
    assert (german.inside("Melanozytärer Nävus"), german.inside("Melanom")) == ("melanozytärer Nävus", "Melanom")


def test_every_name_note_and_doubt_is_told_in_german():
    german = Words.of("de")
    made = [text for one in lesions.BY_CODE.values() for text in (one.name, one.note)] + list(MESSAGES.values())
    assert [text for text in made if german.told(text) == text] == []
    assert german.told("sensitivity 90%") == "Sensitivität 90\u00a0%"
    assert german.told("something else") == "something else"


@pytest.mark.filterwarnings("ignore")
def test_the_reasons_of_bad_files_are_told_in_german(tmp_path):
    german, untold = Words.of("de"), set()
    for _, file in write(tmp_path):
        try:
            read_picture(file)
        except UnusableImage as error:
            if german.told(str(error)) == str(error):
                untold.add(str(error))
    assert untold == set()


def test_what_is_wrong_with_a_model_is_told_in_german():
    german, untold = Words.of("de"), set()
    for module in (models, engines, hub):
        for call in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("ModelError", "DamagedFile"):
                parts = getattr(call.args[-1], "values", call.args[-1:])
                text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in parts)
                if call.func.id == "DamagedFile":
                    text = f"x: {getattr(call.args[1], 'value', 'x')} {text}"
                if len(text) > 3 and german.told(text) == text:
                    untold.add(text)
    assert untold == set()


def test_several_doubts_of_a_row_are_all_told():
    reason = f"{MESSAGES['blurred']} {MESSAGES['too_dark']}"
    with words.speaking("de"):
        told = told_doubts(reason)
    assert "unscharf" in told
    assert "zu dunkel" in told


# Whose language


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr,de;q=0.5,en;q=0.3", "de"),
        ("en;q=0.1, de-AT;q=0.7", "de"),
        ("de;q=0, en", "en"),
        ("de;q=x, *", "en"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_the_browsers_preferred_language_counts(accepted, language):
    assert words.language_of(request(accepted=accepted)) == language


def test_the_address_counts_more_than_the_browser():
    assert words.language_of(request("en", "de")) == "en"
    assert words.language_of(request("de", "en")) == "de"
    assert words.language_of(request("xx", "de")) == "de"


def test_english_is_spoken_outside_of_a_request_and_again_after_another_language():
    text = Text("page.one_picture")
    with words.speaking("de"):
        assert str(text) == "Ein Bild"
        with words.speaking("en"):
            assert str(text) == "One picture"
    assert str(text) == "One picture"


# The answer


def test_an_answer_in_german_has_no_english_sentence(classifier, tmp_path):
    Image.new("RGB", (60, 40), (180, 140, 120)).save(tmp_path / "a.png")
    question = single.Question(Upload(tmp_path / "a.png", "a.png"), careful=True)
    with words.speaking("de"):
        text = shown("".join(single.answer(classifier, question, "equal")) + about.about_html(classifier.model))
        score = shown(markup.score_card(0.1234, POINT, ["Melanoma", "Basal cell carcinoma"]))
        titles = [str(title) for title in (sureness.TITLE, threshold.TITLE)]
    assert [title in text for title in titles] == [True, True]
    assert "0,123 Niedrigerer Wert : unter der Schwelle 0,200" in score
    assert "Melanom oder Basalzellkarzinom zusammen" in score
    assert not re.findall(
        r"\b(?:the|of|is|and|with|score|lesions?|pictures?|which)\b",
        text.replace("model.json", "").replace(str(tmp_path), ""),
    )


def test_a_file_that_cannot_be_used_is_answered_in_german(classifier, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"")
    with words.speaking("de"):
        html, _ = single.answer(classifier, single.Question(Upload(tmp_path / "bad.jpg", "bad.jpg")), "collection")
    assert "bad.jpg kann nicht verwendet werden." in html
    assert "Die Datei ist leer" in html
