import os
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.training.test_near_duplicates import drawn
from training import ham10000, isic2017, near_duplicates
from training.collection import PARTS, DatasetError, find_folder

needs_data = pytest.mark.skipif(
    not os.environ.get("ISIC2017_DIR"), reason="ISIC2017_DIR does not name a copy of ISIC 2017"
)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of three pictures with labels.csv, and a split of its own."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / f"ISIC_000000{number}.jpg")
    rows = ["ISIC_0000000,nv,55,female", "ISIC_0000001,mel,,", "ISIC_0000002,bkl,30,male"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,age,sex", *rows]) + "\n")
    split = [
        "ISIC_0000000,train,ISIC_0000000",
        "ISIC_0000001,test,ISIC_0000001",
        "ISIC_0000002,validation,ISIC_0000002",
    ]
    (tmp_path / "split.csv").write_text("\n".join(["image_id,split,group", *split]) + "\n")
    monkeypatch.setattr(isic2017, "SPLIT_FILE", tmp_path / "split.csv")
    return tmp_path


@pytest.fixture
def challenge(copy):
    """The same pictures as the challenge lays them out, and one more that the split does not name."""
    (copy / "labels.csv").unlink()
    data = copy / "ISIC-2017_Training_Data"
    (copy / "images").rename(data)
    Image.new("RGB", (60, 40)).save(data / "ISIC_0000003.jpg")
    truth = ["ISIC_0000000,0.0,0.0", "ISIC_0000001,1.0,0.0"]
    more = ["ISIC_0000002,0.0,1.0", "ISIC_0000003,0.0,0.0"]
    for part, rows in (("Training", truth), ("Test_v2", more)):
        text = "\n".join(["image_id,melanoma,seborrheic_keratosis", *rows]) + "\n"
        (copy / f"ISIC-2017_{part}_Part3_GroundTruth.csv").write_text(text)
    about = ["ISIC_0000000,55,female", "ISIC_0000001,unknown,unknown", "ISIC_0000002,30,male"]
    metadata = "\n".join(["image_id,age_approximate,sex", *about]) + "\n"
    (data / "ISIC-2017_Training_Data_metadata.csv").write_text(metadata)
    return copy


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_a_copy_gives_the_committed_split_and_what_is_known(copy):
    collection = isic2017.load(copy)
    assert collection.classes == ("bkl", "mel", "nv")
    assert collection.grouped
    assert list(collection.part("train")["image"]) == ["ISIC_0000000"]
    table = collection.table.set_index("image")
    assert table["label"].to_dict() == {"ISIC_0000000": "nv", "ISIC_0000001": "mel", "ISIC_0000002": "bkl"}
    assert table["age"]["ISIC_0000000"] == 55
    assert table["age"].isna()["ISIC_0000001"]
    assert table["sex"].isna()["ISIC_0000001"]


def test_the_challenges_own_layout_gives_the_same_collection(copy, request, capsys):
    first = isic2017.load(copy).table.drop(columns="path")
    second = isic2017.load(request.getfixturevalue("challenge")).table.drop(columns="path")
    pd.testing.assert_frame_equal(first, second[first.columns], check_dtype=False)
    assert "left out 1 images that split.csv does not name" in capsys.readouterr().err


def test_a_picture_of_the_split_that_a_copy_lacks_is_named(copy):
    replace(copy / "labels.csv", "ISIC_0000001,mel,,\n", "")
    with pytest.raises(DatasetError, match=r"differ in 1 images, first ISIC_0000001"):
        isic2017.load(copy)


def test_a_missing_file_is_named(copy):
    (copy / "images" / "ISIC_0000002.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no file below it, first ISIC_0000002\.jpg"):
        isic2017.load(copy)


def test_an_unknown_label_is_named(copy):
    replace(copy / "labels.csv", "bkl", "sk")
    with pytest.raises(DatasetError, match=r"line 4 \(ISIC_0000002, sk, 30, male\) has a label"):
        isic2017.load(copy)


def test_a_repeated_image_is_named(copy):
    replace(copy / "labels.csv", "ISIC_0000002", "ISIC_0000001")
    with pytest.raises(DatasetError, match=r"line 4 .* repeats an image"):
        isic2017.load(copy)


def test_a_row_with_both_diagnoses_is_named(challenge):
    replace(challenge / "ISIC-2017_Training_Part3_GroundTruth.csv", "ISIC_0000001,1.0,0.0", "ISIC_0000001,1.0,1.0")
    with pytest.raises(DatasetError, match=r"Training_Part3_GroundTruth\.csv, line 3 \(ISIC_0000001"):
        isic2017.load(challenge)


def test_an_image_in_two_ground_truths_is_named(challenge):
    replace(challenge / "ISIC-2017_Test_v2_Part3_GroundTruth.csv", "ISIC_0000002", "ISIC_0000001")
    with pytest.raises(DatasetError, match="image ISIC_0000001 is in two ground truths"):
        isic2017.load(challenge)


def test_a_missing_column_is_named(copy):
    replace(copy / "labels.csv", ",age,", ",years,")
    with pytest.raises(DatasetError, match="lacks the columns age"):
        isic2017.load(copy)


def test_a_folder_without_tables_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"neither labels\.csv nor"):
        isic2017.load(tmp_path)


def test_the_command_keeps_copies_together_and_leaves_out_what_ham10000_shows(tmp_path, monkeypatch, capsys):
    lesions = [drawn(seed) for seed in range(5)]
    ours = {f"ISIC_000000{number}": lesion for number, lesion in enumerate(lesions)}
    ours |= {"ISIC_0000007": lesions[1][::-1], "ISIC_0000008": lesions[2][20:, 20:]}
    theirs = {"ISIC_0000009": np.rot90(lesions[2]), "ISIC_0000004": lesions[4]}
    for name, pictures in (("isic2017", ours), ("ham10000", theirs)):
        (tmp_path / name).mkdir()
        for image, pixels in pictures.items():
            Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / name / f"{image}.jpg", quality=90)
    labels = pd.DataFrame({"image": list(ours), "label": "nv", "age": 50, "sex": "male"})
    labels.to_csv(tmp_path / "isic2017" / "labels.csv", index=False)
    metadata = pd.DataFrame({"lesion_id": ["HAM_0000001", "HAM_0000002"], "image_id": list(theirs), "dx": "nv"})
    metadata = metadata.assign(dx_type="histo", age=50, sex="male", localization="back")
    metadata.to_csv(tmp_path / "ham10000" / "HAM10000_metadata.csv", index=False)

    output = tmp_path / "split.csv"
    monkeypatch.setattr(sys, "argv", ["isic2017", "--data", str(tmp_path), "--output", str(output)])
    isic2017.main()

    group = pd.read_csv(output).set_index("image_id")["group"]
    assert set(group.index) == {"ISIC_0000000", "ISIC_0000001", "ISIC_0000003", "ISIC_0000007"}
    assert group["ISIC_0000007"] == group["ISIC_0000001"] == "ISIC_0000001"
    assert group.nunique() == 3
    told = capsys.readouterr().out
    assert "ISIC_0000002 repeats HAM10000's ISIC_0000009" in told
    assert "2 images left out because HAM10000 shows their lesions" in told


def test_no_group_is_in_two_parts_of_the_committed_split():
    split = pd.read_csv(isic2017.SPLIT_FILE)
    assert split["image_id"].is_unique
    assert set(split["split"]) == set(PARTS)
    assert (split.groupby("group")["split"].nunique() == 1).all()


def test_no_image_of_the_committed_split_is_one_of_ham10000s():
    ours, theirs = (pd.read_csv(path)["image_id"] for path in (isic2017.SPLIT_FILE, ham10000.SPLIT_FILE))
    assert not set(ours) & set(theirs)


@needs_data
def test_the_committed_split_holds_60_10_30_percent_of_each_diagnosis():
    table = isic2017.load(find_folder("isic2017")).table
    shares = pd.crosstab(table["label"], table["split"], normalize="index")[list(PARTS)]
    assert np.abs(shares.to_numpy() - [0.6, 0.1, 0.3]).max() < 0.01


@needs_data
def test_every_picture_of_a_copy_is_in_the_committed_split_once():
    split = pd.read_csv(isic2017.SPLIT_FILE)["image_id"]
    assert sorted(split) == sorted(path.stem for path in find_folder("isic2017").rglob("*.jpg"))


@needs_data
def test_pictures_of_a_committed_group_have_points_in_common():
    table = isic2017.load(find_folder("isic2017")).table
    for _, rows in list(table[table["group"].duplicated(keep=False)].groupby("group"))[:20]:
        features = near_duplicates.describe(list(rows["path"]))
        for a in range(len(rows)):
            common = [
                near_duplicates.points_in_common(features, a, features, b, mirrored)
                for b in range(len(rows))
                for mirrored in (False, True)
                if b != a
            ]
            assert max(common) >= near_duplicates.LEAST_POINTS


@needs_data
def test_the_committed_split_is_made_again_from_its_groups(tmp_path):
    collection = isic2017.load(find_folder("isic2017"))
    ham10000.write_split(isic2017.split(collection.table), tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_bytes() == isic2017.SPLIT_FILE.read_bytes()
