"""The tab about the model: every figure of model.json with its interval, whatever part of it there is."""

import copy
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from skin_gradio import lesions
from skin_gradio.models import find_bundled
from skin_gradio.ui import about, diagrams, figures, figures_by_part, safeguards, words

FIGURE = {"value": 0.701, "low": 0.65, "high": 0.75}


@pytest.fixture(scope="module")
def model():
    return find_bundled("mobilenet_v2")


def parts(html):
    """Names of the folded parts that are shown."""
    return set(re.findall(r'data-part="(\w+)"', html))


def changed(model, change):
    card = copy.deepcopy(model.card)
    change(card)
    return replace(model, card=card)


def test_the_shipped_model_shows_every_part(model):
    html = about.about_html(model)
    assert parts(html) >= {
        *("words", "more", "classes", "points", "sets"),
        *("calibration", "confusion", "subgroups", "elsewhere"),
    }
    assert all(diagnosis.note in html for diagnosis in lesions.DIAGNOSES)
    assert "not a medical device" in html.lower()
    assert "model.json says" not in html


def test_figures_stand_beside_their_interval_and_their_mix(model):
    figure = model.card["metrics"]["figures"]["equal_balanced_accuracy"]
    row = next(row for row in re.findall("<tr>.*?</tr>", about.about_html(model)) if "Balanced accuracy" in row)
    assert "each equally common" in row
    assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in row


def test_the_caption_says_what_was_measured_on():
    card = {"metrics": {"collection": "HAM10000", "picture_size": "256 x 256", "pictures": 1498, "lesions": 1121}}
    assert figures.measured_on(card).startswith(
        "Test split of HAM10000: 1,498 pictures of 1,121 lesions, none of which was trained on, in copies of 256 x 256"
    )
    assert figures.measured_on({"metrics": {"pictures": "many"}}).startswith("Test split, none of which")


def test_other_collections_say_whether_the_model_learned_from_them(model):
    html = figures_by_part.elsewhere(model)
    learned = figures.learned_from(model.card)
    for metrics in (model.card["metrics"], *model.card["elsewhere"].values()):
        template = (
            figures_by_part.WITH_LEARNING if metrics["collection"] in learned else figures_by_part.WITHOUT_LEARNING
        )
        assert template.format(title=metrics["collection"]) in html
        value = metrics["figures"]["equal_balanced_accuracy"]["value"]
        assert f"{value:.3f}" in html


def test_the_limits_name_what_it_learned_from(model):
    stranger = changed(model, lambda card: card.update(training={"collections": ["my <own> pictures"]}))
    assert "my &lt;own&gt; pictures" in about.limits(stranger)
    assert str(about.UNKNOWN_ORIGIN) in about.limits(replace(model, card={}))


def test_the_limits_say_where_the_model_was_measured_to_be_worse(model):
    def change(card):
        card["metrics"] = {"collection": "Home", "figures": {"malignant_auroc": {"value": 0.9}}}
        card["elsewhere"] = {
            "a": {"collection": "Near", "figures": {"malignant_auroc": {"value": 0.85}}},
            "b": {"collection": "Far", "figures": {"malignant_auroc": {"value": 0.7}}},
        }

    assert "test pictures of Far, the AUROC of the malignancy score is 0.700, on those of Home 0.900" in about.limits(
        changed(model, change)
    )
    assert "Elsewhere" not in about.limits(changed(model, lambda card: card.update(elsewhere={})))


def test_groups_of_patients_are_named_in_the_language_that_is_spoken(model):
    with words.speaking("de"):
        html = figures_by_part.subgroups(model.card)
        classes = figures.classes(model)
    for german, english in (("weiblich", "female"), ("75 und älter", "75 and over"), ("Bein", "lower extremity")):
        assert german in html
        assert english not in html
    assert "Diagnose</th>" in classes
    assert "leg" in figures_by_part.subgroups(model.card)


def test_a_strangers_model_is_said_to_be_one(model, tmp_path):
    html = about.about_html(replace(model, path=tmp_path, name="<script>alert(1)</script>"))
    assert "nobody has checked it" in html
    assert "<script>" not in html


def test_a_model_without_figures_says_so(model):
    html = about.about_html(replace(model, card={}))
    assert str(about.NO_FIGURES) in html
    assert parts(html) == {"words", "points"}


@pytest.mark.parametrize("rubbish", [None, 7, "high", [], {}, [[]], {"value": "x"}, float("nan"), {"a": None}])
@pytest.mark.parametrize(
    "path",
    [
        ("metrics",),
        ("metrics", "figures"),
        ("metrics", "figures", "equal_balanced_accuracy"),
        ("metrics", "counts"),
        ("metrics", "reliability"),
        ("metrics", "reliability", "top"),
        ("metrics", "confusion_matrix"),
        ("metrics", "confusion_matrix", "equal"),
        ("metrics", "subgroups"),
        ("metrics", "subgroups", "sex"),
        ("elsewhere",),
        ("elsewhere", "isic2017"),
        ("prediction_sets",),
        ("gate",),
        ("metrics", "gate"),
        ("metrics_with_views",),
        ("training",),
        ("parameters",),
    ],
)
def test_what_makes_no_sense_is_left_out_and_the_rest_is_shown(model, path, rubbish):
    def change(card):
        for key in path[:-1]:
            card = card.setdefault(key, {})
        card[path[-1]] = rubbish

    html = about.about_html(changed(model, change))
    assert "Intended use" in html
    assert "points" in parts(html)
    assert "nan" not in re.sub(r"<[^>]*>", " ", html).lower().split()


def test_doubted_pictures_and_eight_views_are_shown_where_they_were_measured(model):
    def change(card):
        card["gate"] = {"unseen_photographs": {"pictures": 200, "refused": 197}}
        card["metrics"]["gate"] = {"shares": {"all": {"value": 0.012, "low": 0.007, "high": 0.02}, "nv": FIGURE}}
        card["metrics_with_views"] = {"figures": {"accuracy": FIGURE}}
        card["metrics"]["figures"]["class_coverage_at_90%_mel"] = FIGURE
        card["elsewhere"] = {}

    measured = changed(model, change)
    assert {"gate", "views"} <= parts(about.about_html(measured))
    assert "1.2% (0.7% to 2.0%)" in safeguards.gate(measured)
    assert "200 photographs of everyday things that it had not seen it doubts 98.5%" in safeguards.gate(measured)
    assert safeguards.gate(measured).count("<tr>") == 3
    assert "0.701 (0.650 to 0.750)" in figures.views(measured.card)
    assert "Melanoma (mel)" in safeguards.set_coverage(measured)


def test_a_figure_that_is_missing_costs_only_its_row(model):
    fewer = changed(model, lambda card: card["metrics"]["figures"].pop("accuracy"))
    assert figures.headline(fewer.card).count("<tr>") == figures.headline(model.card).count("<tr>") - 1


def test_texts_of_a_model_json_are_shown_as_text(model):
    def change(card):
        card["metrics"]["collection"] = "<b>bold</b>"
        card["metrics"]["subgroups"] = {"<i>sex</i>": card["metrics"]["subgroups"]["sex"]}
        card["metrics"]["subgroups"]["<i>sex</i>"][0]["name"] = "<u>male</u>"

    html = about.about_html(changed(model, change))
    assert not re.search("<b>|<i>|<u>", html)
    assert "&lt;u&gt;male" in html


# Diagrams


@pytest.fixture
def svg(model):
    """The reliability diagram of the top diagnosis."""
    found = diagrams.groups(model.card["metrics"]["reliability"]["top"])
    html = diagrams.reliability("name", "Is <it> right?", "stated", "share", found)
    return ElementTree.fromstring(re.search("<svg.*</svg>", html, re.DOTALL).group()), html, found


def test_a_diagram_is_named_and_described_for_a_screen_reader(svg):
    drawn, html, found = svg
    names = drawn.get("aria-labelledby").split()
    texts = {one.get("id"): one.text for one in drawn if one.get("id")}
    assert drawn.get("role") == "img"
    assert set(names) == set(texts)
    assert texts["name-title"] == "Is <it> right?"
    assert f"{len(found)} groups of pictures" in texts["name-description"]
    assert html.count("<tr>") == len(found) + 1


def test_a_diagram_puts_each_group_where_its_numbers_say(svg):
    drawn, _, found = svg
    circles = [one for one in drawn.iter() if one.tag == "circle"]
    assert len(circles) == len(found)
    order = sorted(range(len(found)), key=lambda i: found[i].stated)
    across = [float(circles[i].get("cx")) for i in order]
    assert across == sorted(across)
    highest = max(range(len(found)), key=lambda i: found[i].share)
    assert float(circles[highest].get("cy")) == min(float(circle.get("cy")) for circle in circles)


def test_a_diagram_takes_the_colours_of_the_page(svg):
    assert not re.search(r"#[0-9a-f]{3,6}|rgb|(fill|stroke)=", svg[1])


@pytest.mark.parametrize("bins", [[], [{}], [{"count": 1, "confidence": 2, "share": 0, "low": 0, "high": 1}], None])
def test_bins_that_are_none_are_refused(bins):
    with pytest.raises((KeyError, TypeError, ValueError)):
        diagrams.groups(bins)


def test_a_confusion_matrix_is_a_table_with_the_truth_in_rows(model):
    matrix = model.card["metrics"]["confusion_matrix"]["equal"]
    html = diagrams.confusion("title", model.codes, matrix)
    rows = re.findall(r"<tr><th.*?</tr>", html)
    assert [list(map(int, re.findall(r">(\d+)</td>", row))) for row in rows] == matrix
    assert html.count('class="right"') == len(model.codes)


@pytest.mark.parametrize("matrix", [[[1, 2], [3]], [[1, 2]], [[1, -2], [3, 4]], [["a", 1], [1, 1]]])
def test_a_confusion_matrix_that_does_not_fit_is_refused(matrix):
    with pytest.raises((TypeError, ValueError)):
        diagrams.confusion("title", ("mel", "nv"), matrix)
