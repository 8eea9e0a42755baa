from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_gradio import lesions
from tests.training import tiny
from training import examples
from training.collection import Collection, DatasetError, held_classes, label_positions, load


@pytest.fixture
def ham(tmp_path):
    """60 pictures of 30 lesions, nv twice as many as mel; every lesion with two pictures."""
    rows = []
    for lesion in range(30):
        part = ("train", "train", "train", "validation", "test")[lesion % 5]
        for view in range(2):
            image = f"picture{lesion:02d}{view}"
            path = tmp_path / f"{image}.png"
            Image.new("RGB", (40, 40), (8 * lesion, 100 * view, 0)).save(path)
            rows.append((image, path, "mel" if lesion < 10 else "nv", f"lesion{lesion}", part))
    table = pd.DataFrame(rows, columns=["image", "path", "label", "group", "split"])
    return Collection("ham", "HAM", table, ("mel", "nv"))


@pytest.fixture
def other(ham):
    table = ham.table.assign(image="other" + ham.table["image"])
    return Collection("other", "Other", table, ("mel", "nv"))


@pytest.fixture
def loaded(monkeypatch, ham, other):
    found = {"ham": ham, "other": other}
    monkeypatch.setattr(examples, "load", lambda name, base: found[name])

    def of(**options):
        return examples.load_collections(replace(tiny.EXPERIMENT, **{"collections": ("ham",), **options}))

    return of


def test_the_honest_split_is_the_collections_own(loaded, ham):
    assert loaded()[0].table.equals(ham.table)


@pytest.mark.parametrize("way", ["image", "copies"])
def test_a_leaking_split_leaks_but_leaves_the_test_part_alone(loaded, ham, way):
    table = loaded(split=way)[0].table
    learnt = table[table["split"] != "test"]
    assert learnt.groupby("group")["split"].nunique().max() == 2
    assert set(table.loc[table["split"] == "test", "image"]) == set(ham.part("test")["image"])
    assert set(learnt["image"]) == set(ham.table.loc[ham.table["split"] != "test", "image"])
    if way == "copies":
        assert learnt["label"].value_counts().nunique() == 1
        assert learnt.groupby("image")["split"].nunique().max() == 2
    else:
        assert learnt["image"].is_unique


def test_a_balanced_set_has_equally_many_of_each_class_in_each_learning_part(loaded, ham):
    counts = loaded(balance=True, task="malignancy")[0].table.groupby(["split", "label"]).size().unstack()
    assert (counts.loc["train", "mel"], counts.loc["train", "nv"]) == (12, 12)
    assert counts.loc["validation", "mel"] == counts.loc["validation", "nv"] == 4
    assert counts.loc["test"].sum() == len(ham.part("test"))


def test_two_collections_make_one_training_part_and_a_validation_part_each(loaded, tmp_path):
    ham, other = loaded(collections=("ham", "other"))
    collections = [ham, replace(other, table=other.table[other.table["label"] == "nv"], classes=("nv",))]
    codes = examples.classes(replace(tiny.EXPERIMENT, collections=("ham", "other")), collections)
    train, validation = examples.load_examples(collections, codes, tmp_path / "cache")
    assert codes == ("mel", "nv")
    assert len(train) == 60
    assert set(validation) == {"ham", "other"}
    assert (validation["other"].sources == 1).all()
    assert train.held.tolist() == [[True, True], [False, True]]
    assert {codes[label] for label in train.labels} == {"mel", "nv"}
    red = int(train.pictures[0][0, 0, 0])  # the first lesion is red 0, the second red 8, ...
    assert red == 0
    assert int(validation["ham"].pictures[0][0, 0, 0]) == 24


def test_classes_that_no_collection_holds_are_not_learnt(loaded):
    assert examples.classes(tiny.EXPERIMENT, loaded(collections=("other",))) == ("mel", "nv")


def test_a_class_that_is_held_out_whole_is_an_error(ham, tmp_path):
    lost = ham.table.assign(split=ham.table["split"].where(ham.table["label"] == "nv", "test"))
    with pytest.raises(DatasetError, match=r"HAM has no training picture of mel: .* is held out for"):
        examples.load_examples([replace(ham, table=lost)], ("mel", "nv"), tmp_path)


def test_a_collection_without_validation_pictures_is_an_error(ham, tmp_path):
    table = ham.table[ham.table["split"] != "validation"]
    with pytest.raises(DatasetError, match="HAM has no validation pictures"):
        examples.load_examples([replace(ham, table=table)], ("mel", "nv"), tmp_path)


def test_labels_of_the_other_task_say_which_option_is_missing(loaded, ham):
    groups = replace(ham, classes=("benign", "malignant"))
    with pytest.raises(DatasetError, match=r"HAM has the labels benign, malignant, .*Use --task malignancy"):
        examples.classes(tiny.EXPERIMENT, [groups])


def test_two_collections_of_one_name_are_refused(loaded):
    with pytest.raises(DatasetError, match="Two collections are called ham"):
        loaded(collections=("ham", "ham"))


def test_pictures_are_decoded_as_large_as_they_are_needed():
    assert examples.decoded_side(tiny.EXPERIMENT) == 256
    assert examples.decoded_side(replace(tiny.EXPERIMENT, input_size=299)) == 299


def test_a_benign_malignant_task_takes_diagnoses_by_their_group(ham):
    codes = lesions.TASKS["malignancy"]
    labels = label_positions(ham, ham.table["label"], codes)
    assert [codes[label] for label in labels[[0, -1]]] == ["malignant", "benign"]
    assert held_classes(ham, codes).all()


def test_a_label_that_is_no_class_of_the_task_is_named(ham):
    grouped = replace(ham, table=ham.table.assign(label="benign"))
    with pytest.raises(DatasetError, match="label 'benign'"):
        label_positions(grouped, grouped.table["label"], lesions.CODES)


def test_a_collection_that_does_not_exist_is_named():
    with pytest.raises(DatasetError, match="no collection 'isic1999'"):
        load("isic1999")


def test_the_fingerprint_tells_collections_and_splits_apart(loaded):
    marks = {
        examples.fingerprint(loaded(**options))
        for options in ({}, {"split": "image"}, {"balance": True}, {"collections": ("ham", "other")})
    }
    assert len(marks) == 4


def test_pictures_are_decoded_once_however_often_they_are_copied(loaded, tmp_path):
    collections = loaded(split="copies")
    examples.load_examples(collections, ("mel", "nv"), tmp_path / "cache")
    (cached,) = (tmp_path / "cache").glob("*.npy")
    assert len(np.load(cached, mmap_mode="r")) == 60
