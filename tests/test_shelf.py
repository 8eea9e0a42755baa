"""The shelf of open models: which may be opened, how many, by whom, and what happens to the rest."""

import shutil
import threading
from dataclasses import replace

import gradio as gr
import pytest

import app
from skin_gradio import models
from skin_gradio.classifier import Classifier
from skin_gradio.models import BUNDLED, ModelError
from skin_gradio.ui import shelf as shelf_module
from skin_gradio.ui.shelf import Shelf
from tests.conftest import MeanColourEngine


class Opener:
    """Stands in for `open_safely`: counts what it opened, and refuses or waits when a test asks for that."""

    def __init__(self, engine):
        self.engine = engine
        self.opened = []
        self.gate = threading.Event()
        self.gate.set()
        self.refuse = False

    def __call__(self, model, name):
        self.opened.append(model.key)
        assert self.gate.wait(10)
        if self.refuse:
            raise ModelError("it is broken")
        return self.engine


@pytest.fixture
def opener(classifier):
    return Opener(classifier.engine)


@pytest.fixture
def shelf(classifier, opener):
    return Shelf(classifier, choice="any", open_engine=opener)


def named(classifier, name, revision="1"):
    """A model that was found on the Hub."""
    return replace(classifier.model, name=name, revision=f"user/{name}@{revision}")


def test_a_session_that_chose_nothing_gets_the_first_model(shelf, classifier):
    assert shelf.get(None) is classifier
    assert shelf.get(shelf.first_key) is classifier


def test_a_model_is_opened_once_however_often_it_is_chosen(shelf, classifier, opener):
    model = named(classifier, "a")
    assert shelf.open(model) is shelf.open(model) is shelf.get(model.key)
    assert opener.opened == [model.key]


def test_visitors_who_want_the_same_model_at_once_share_one_opening(shelf, classifier, opener):
    opener.gate.clear()
    got = []
    threads = [threading.Thread(target=lambda: got.append(shelf.open(named(classifier, "a")))) for _ in range(5)]
    for thread in threads:
        thread.start()
    opener.gate.set()
    for thread in threads:
        thread.join()
    assert len(opener.opened) == 1
    assert len({id(one) for one in got}) == 1


def test_a_model_that_is_being_opened_keeps_nobody_else_waiting(shelf, classifier, opener):
    other = shelf.open(named(classifier, "b"))
    opener.gate.clear()
    slow = threading.Thread(target=shelf.open, args=[named(classifier, "a")])
    slow.start()
    assert shelf.get(other.model.key) is other
    assert shelf.get(None) is classifier
    opener.gate.set()
    slow.join()


def test_only_a_few_models_stay_open_and_the_first_always_does(shelf, classifier):
    opened = [shelf.open(named(classifier, name)) for name in "abcdefg"]
    assert shelf.get(None) is classifier
    kept = [one for one in opened if shelf.kept(one.model.key)]
    assert kept == opened[-(shelf_module.CAPACITY - 1) :]


def test_the_model_used_longest_ago_makes_room(shelf, classifier):
    first, *_ = [shelf.open(named(classifier, name)) for name in "abc"]
    shelf.get(first.model.key)
    shelf.open(named(classifier, "d"))
    assert shelf.kept(first.model.key) is first
    assert shelf.kept("user/b@1") is None


def test_a_session_whose_model_made_room_gets_it_again(shelf, classifier, opener, monkeypatch):
    model = named(classifier, "a")
    shelf.open(model)
    for name in "bcde":
        shelf.open(named(classifier, name))
    monkeypatch.setattr(shelf_module, "find_model", lambda name: {model.key: model}[name])
    assert shelf.get(model.key).model is model
    assert opener.opened.count(model.key) == 2


def test_a_session_whose_model_is_gone_is_told_so_and_not_answered_by_another(shelf):
    with pytest.raises(gr.Error, match="choose another one"):
        shelf.get("/nowhere/at/all")


def test_a_model_that_cannot_be_opened_can_be_tried_again(shelf, classifier, opener):
    opener.refuse = True
    with pytest.raises(ModelError, match="broken"):
        shelf.open(named(classifier, "a"))
    opener.refuse = False
    assert isinstance(shelf.open(named(classifier, "a")), Classifier)


def test_a_folder_whose_model_was_trained_anew_is_opened_anew(shelf, classifier, opener):
    folder = replace(classifier.model, path=classifier.model.path / "other", revision="one")
    old = shelf.open(folder)
    new = shelf.open(replace(folder, revision="two"))
    assert new is not old
    assert shelf.get(folder.key) is new


def test_where_only_bundled_models_are_offered_no_folder_and_no_hub_id_is_looked_at(classifier, opener, monkeypatch):
    monkeypatch.setattr(shelf_module, "find_model", lambda name: pytest.fail("a folder or the Hub was asked"))
    shelf = Shelf(classifier, choice="bundled", open_engine=opener)
    for name in ("/etc", "user/repository", "../secret", str(BUNDLED / "mobilenet_v2")):
        with pytest.raises(ModelError, match="not offered here"):
            shelf.find(name)
    assert shelf.find("mobilenet_v2").bundled


def test_a_bundled_name_means_the_bundled_model_wherever_the_program_was_started(shelf, tmp_path, monkeypatch):
    (tmp_path / "mobilenet_v2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert shelf.find("mobilenet_v2").path == BUNDLED / "mobilenet_v2"


def test_any_folder_can_be_chosen_where_that_is_allowed(shelf, tmp_path):
    shutil.copytree(BUNDLED / "mobilenet_v2", tmp_path / "mine")
    model = shelf.find(f" {tmp_path / 'mine'} ")
    assert not model.bundled
    assert model.key == str(tmp_path / "mine")
    assert models.find_model(model.key).revision == model.revision


def test_the_page_offers_its_first_model_and_the_bundled_ones_once_each(shelf):
    assert shelf.offered == [shelf.first_key, *models.bundled_models()]
    bundled = models.find_bundled("mobilenet_v2")
    first = Shelf(replace_model(shelf.first, bundled))
    assert first.first_key == "mobilenet_v2"
    assert first.offered.count("mobilenet_v2") == 1


def test_the_default_is_offered_first_and_then_the_larger_models(tmp_path, monkeypatch):
    for name, size in {"a": 10, "b": 30, "mobilenet_v2": 20, "c": 0}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text("{}")
        if size:
            (tmp_path / name / "model.onnx").write_bytes(bytes(size))
    monkeypatch.setattr(models, "BUNDLED", tmp_path)
    assert models.bundled_models() == ["mobilenet_v2", "b", "a", "c"]


def replace_model(classifier, model):
    return Classifier(model, MeanColourEngine())


@pytest.mark.parametrize(
    ("command", "environment", "choice"),
    [
        ({}, {}, "any"),
        ({"host": "127.0.0.1"}, {}, "any"),
        ({"host": "0.0.0.0"}, {}, "bundled"),
        ({"share": True}, {}, "bundled"),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, "bundled"),
        ({}, {"SYSTEM": "spaces"}, "bundled"),
        ({"models": "any", "share": True}, {}, "any"),
        ({"models": "bundled"}, {}, "bundled"),
    ],
)
def test_strangers_may_open_bundled_models_only_unless_the_operator_says_otherwise(
    monkeypatch, command, environment, choice
):
    for name in ("GRADIO_SERVER_NAME", "SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert app.visitors_choice(app.AppCommand(**command)) == choice


def test_the_environment_can_say_which_models_visitors_may_open(monkeypatch):
    monkeypatch.setenv("SKIN_MODELS", "bundled")
    assert app.command_from_environment().models == "bundled"
    monkeypatch.setenv("SKIN_MODELS", "mine")
    with pytest.raises(ModelError, match="SKIN_MODELS must be one of"):
        app.command_from_environment()


def test_an_mcp_server_without_its_package_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setattr(app, "can_serve_mcp", lambda: False)
    monkeypatch.setattr("sys.argv", ["app.py", "--mcp"])
    assert app.main() == 2
    assert "gradio[mcp]" in capsys.readouterr().err
