"""The endpoints' functions themselves, on a model of the tests; `test_api.py` calls them over HTTP."""

from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from skin_gradio import batch
from skin_gradio.classifier import Classifier
from skin_gradio.ui import api
from skin_gradio.ui import shelf as shelf_module
from skin_gradio.ui.shelf import Shelf
from tests.conftest import MeanColourEngine
from tests.uploads import picture_bytes, saved, upload_folder


class Nothing(MeanColourEngine):
    """An engine whose probabilities are no numbers."""

    def run(self, pictures):
        outputs = super().run(pictures)
        return replace(outputs, probabilities=np.full_like(outputs.probabilities, np.nan))


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """The folder of the uploads."""
    return upload_folder(tmp_path, monkeypatch)


def endpoints(shelf):
    """The endpoints' functions by their names."""
    with gr.Blocks() as page:
        api.add_endpoints(shelf)
    return {one.api_name: one.fn for one in page.fns.values()}


def uploaded(folder, name="a.png"):
    return {"path": str(saved(folder, name, picture_bytes()).path), "orig_name": name}


def test_a_picture_that_the_model_cannot_classify_is_a_failed_answer(classifier, uploads):
    classify = endpoints(Shelf(Classifier(classifier.model, Nothing())))["classify"]
    for careful in (False, True):
        answer = classify(uploaded(uploads), carefully=careful)
        assert (answer["status"], answer["code"]) == ("failed", "model_failed")
        assert answer["reason"] == "The model could not classify this picture."


def test_uploads_that_expire_while_a_batch_runs_are_classified(classifier, uploads, monkeypatch):
    classify_items = batch.classify_items

    def after_an_hour(*arguments, **options):
        for path in uploads.glob("*.png"):
            path.unlink()
        return classify_items(*arguments, **options)

    monkeypatch.setattr(batch, "classify_items", after_an_hour)
    names = ["a.png", "b.png"]
    answers, csv = endpoints(Shelf(classifier))["classify_batch"]([uploaded(uploads, name) for name in names])
    assert [(answer["file"], answer["status"]) for answer in answers] == [(name, "ok") for name in names]
    with open(csv.path, encoding="utf-8") as lines:
        assert len(lines.readlines()) == 3


def test_an_open_model_is_not_read_again_for_each_request(classifier, uploads, monkeypatch):
    second = Classifier(replace(classifier.model, name="second", revision="user/second@1"), classifier.engine)
    key = second.model.key
    read = []
    monkeypatch.setattr(shelf_module, "bundled_models", lambda: [key])
    monkeypatch.setattr(shelf_module, "find_bundled", lambda name: read.append(name) or second.model)
    shelf = Shelf(classifier, open_engine=lambda model, name: second.engine)
    classify = endpoints(shelf)["classify"]
    for _ in range(3):
        assert classify(uploaded(uploads), model=key)["model"] == "second"
    assert read == [key]


def test_a_model_that_is_not_offered_is_refused_even_when_a_session_has_it_open(classifier, uploads):
    shelf = Shelf(classifier, choice="any", open_engine=lambda model, name: classifier.engine)
    strangers = shelf.open(replace(classifier.model, name="strangers", revision="user/strangers@1"))
    with pytest.raises(gr.Error, match="model must be one of"):
        endpoints(shelf)["classify"](uploaded(uploads), model=strangers.model.key)
