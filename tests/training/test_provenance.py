"""Where a model comes from: what its card and licence say, and which collection is its own."""

import json
from dataclasses import replace

import pandas as pd

from skin_gradio.credit import learned
from skin_gradio.models import BUNDLED
from training import card, provenance
from training.collection import Collection

TABLE = pd.DataFrame(
    [("a", "mel", "1", "train"), ("b", "nv", "2", "validation"), ("c", "nv", "3", "test")],
    columns=["image", "label", "group", "split"],
)
MINE = Collection("mine", "mine", TABLE, ("mel", "nv"))


def own_model(**training):
    """The default's model.json, as if it had been trained on one's own pictures."""
    document = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text(encoding="utf-8"))
    member = document["training"]["members"][0]["training"]
    recorded = {**member["experiment"], "collections": ["mine"], "start": "mobilenet_v2"}
    document["training"] = {**member, "collections": ["mine"], "experiment": recorded, **training}
    return document


def test_weights_that_went_on_from_others_stay_under_their_licence():
    alone, on = own_model(), own_model(learned_from=["mine", "HAM10000", "ISIC 2017"])
    assert "license: other" in card.model_card(alone)
    text = card.model_card(on)
    assert "license: cc-by-nc-4.0" in text
    assert "It learned from mine and HAM10000 and ISIC 2017, mostly pictures of light skin" in text
    assert "It learned nothing from ISIC 2017" in card.model_card(alone)
    assert "It learned nothing from" not in text
    assert "Start: the weights of `mobilenet_v2`." in text


def test_isic_2018s_training_pictures_are_ham10000s():
    assert learned("ISIC 2018 Task 3", ["HAM10000"])
    assert learned("HAM10000", ["ISIC 2018 Task 3"])
    assert not learned("ISIC 2017", ["HAM10000"])


def test_two_folders_of_one_name_are_told_apart_by_their_test_pictures():
    trained = {"training": {"collections": ["mine"], "test_fingerprint": MINE.test_fingerprint}}
    more = pd.concat([TABLE, TABLE.head(1).assign(image="d")])
    assert provenance.is_first(trained, MINE)
    assert provenance.is_first(trained, replace(MINE, table=more))
    assert not provenance.is_first(trained, replace(MINE, table=TABLE.assign(image="other" + TABLE["image"])))
    assert not provenance.is_first(trained, replace(MINE, title="Another"))
    assert provenance.is_first({"training": {"collections": ["mine"]}}, MINE)


def test_a_test_part_that_changed_is_told_from_another_collection():
    trained = {"training": {"collections": ["mine"], "test_fingerprint": "of other pictures"}}
    assert provenance.has_changed(trained, MINE)
    assert not provenance.has_changed(trained, replace(MINE, title="Another"))
    assert not provenance.has_changed({"training": {"collections": ["mine"]}}, MINE)


def test_a_model_of_a_balanced_set_is_fitted_on_a_balanced_set_again(monkeypatch):
    table = pd.concat([TABLE.assign(split="validation"), TABLE], ignore_index=True)
    table["image"] = [f"{place}" for place in range(len(table))]
    monkeypatch.setattr(provenance.collection, "load", lambda name, base: replace(MINE, table=table))
    trained = {"classes": ["mel", "nv"], "training": {"experiment": {"balance": True}}}
    [again] = provenance.load_again(trained, ["mine"])
    assert sorted(again.part("validation")["label"]) == ["mel", "nv"]
    [whole] = provenance.load_again({"classes": ["mel", "nv"]}, ["mine"])
    assert len(whole.part("validation")) == 4


def test_what_a_model_was_trained_on_is_read_in_order():
    recorded = {"training": {"experiment": {"collections": ["ham10000", "isic2017"]}}}
    assert provenance.recorded_collections(recorded) == ("ham10000", "isic2017")
    assert provenance.recorded_collections({}) == ()
