"""The report is one file that opens offline and says what was measured."""

import json
import re
from html.parser import HTMLParser

import pytest

from skin_gradio import lesions
from skin_gradio.models import ModelFolder, OperatingPoint
from tests.conftest import PRIOR, MeanColourEngine
from training import evaluate, report

from . import answered


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.loaded = []
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]


def write(folder, pictures=True, names=("ham10000", "isic2017")):
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    model = ModelFolder(folder, "tiny", "abc123", lesions.CODES, PRIOR, 32, (point,), {})
    engine = MeanColourEngine()
    sources = [
        answered.collection(folder / name, name, labels)
        for name, labels in zip(names, (("akiec", "mel", "nv", "vasc"), ("mel", "nv")), strict=False)
    ]
    results = [evaluate.measure_collection(model, engine, source, "test", 10) for source in sources]
    output = folder / "report"
    output.mkdir()
    report.write_report(model, engine, results, output, pictures)
    return results, output


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The results for two collections and the folder of their report."""
    return write(tmp_path_factory.mktemp("both"))


def test_the_report_loads_nothing_from_anywhere(written):
    _, output = written
    text = (output / "report.html").read_text()
    links = Links()
    links.feed(text)
    assert links.loaded
    assert all(link.startswith("data:image/") for link in links.loaded)
    assert not {"script", "link", "iframe", "object"} & set(links.tags)
    assert not re.search(r"url\(|@import", text)


def test_the_report_shows_every_collection_and_both_side_by_side(written):
    results, output = written
    text = (output / "report.html").read_text()
    assert "Side by side" in text
    for result in results:
        assert f"<h2>{result.source.title}</h2>" in text
        assert report.figure_text(result.figures["figures"]["equal_balanced_accuracy"]) in text
    assert "holds 2 of the 7 classes" in text


def test_the_worst_mistakes_are_shown_surest_first(written):
    results, output = written
    text = (output / "report.html").read_text()
    shown = [int(number) for number in re.findall(r"at (\d+) %</figcaption>", text)]
    for result in results:
        probabilities = result.sheet.probabilities
        sure = probabilities.max(axis=1)[probabilities.argmax(axis=1) != result.sheet.labels]
        expected = [f"{100 * value:.0f}" for value in sorted(sure, reverse=True)]
        assert [str(number) for number in shown[: len(sure)]] == expected
        del shown[: len(sure)]
    assert not shown
    assert "It is for\nlocal use" in text


def test_a_lesion_is_among_the_mistakes_once(classifier, tmp_path):
    source = answered.collection(tmp_path / "mine", "mine", ("df",), each=5)
    source.table["group"] = ["a", "a", "a", "b", "b"]
    result = evaluate.measure_collection(classifier.model, classifier.engine, source, "test", 2)
    assert len(report.mistakes(classifier.model, classifier.engine, result)) == 2


def test_without_pictures_there_is_no_photograph_and_with_one_collection_no_comparison(tmp_path):
    _, output = write(tmp_path, pictures=False, names=("ham10000",))
    text = (output / "report.html").read_text()
    assert "data:image/jpeg" not in text
    assert "Worst mistakes" not in text
    assert "local use" not in text
    assert "Side by side" not in text


def test_figures_curves_and_plots_lie_beside_the_report(written):
    results, output = written
    document = json.loads((output / "metrics.json").read_text())
    assert set(document["collections"]) == {"ham10000", "isic2017"}
    part = document["collections"]["isic2017"]
    assert part["figures"] == results[1].figures["figures"]
    assert part["curves"]["roc"]["mel"]["sensitivity"][-1] == 1
    for name in ("roc", "precision-recall", "reliability", "confusion"):
        assert (output / f"{name}-ham10000.svg").read_text().startswith("<?xml")


def test_a_heatmap_explains_the_likeliest_diagnosis_of_the_answered_group(classifier, tmp_path):
    source = answered.collection(tmp_path / "own", "own", ("benign", "malignant"))
    result = evaluate.measure_collection(classifier.model, classifier.engine, source, "test", 5)
    codes = classifier.model.codes
    shown = codes[report._shown_class(classifier.model, result, 0, 1)]
    assert shown in ("akiec", "bcc", "mel")
    members = {code: result.answers.probabilities[0][codes.index(code)] for code in ("akiec", "bcc", "mel")}
    assert members[shown] == max(members.values())
