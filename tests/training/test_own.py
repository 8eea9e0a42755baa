import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.training.test_near_duplicates import drawn
from training import own
from training.collection import DatasetError, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    """Run where the cache of near-duplicates harms nobody."""
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


def picture(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 40)) if pixels is None else Image.fromarray(pixels)
    image.save(path)


def with_table(folder, text, files=("a.jpg", "b.png", "c.jpg")):
    for name in files:
        picture(folder / name)
    (folder / "labels.csv").write_text(text)
    return folder


def part_of(collection):
    return dict(zip(collection.table["image"], collection.table["split"], strict=True))


def test_a_folder_per_class_is_read_under_codes_and_english_names(tmp_path):
    for name in ("Melanoma", "nv", "Seborrheic_Keratosis", "basal-cell carcinoma", "Bowen's disease"):
        picture(tmp_path / name / "1.jpg")
    collection = own.load(tmp_path)
    assert collection.classes == ("akiec", "bcc", "bkl", "mel", "nv")
    labels = collection.table.set_index("image")["label"]
    assert labels["Melanoma/1.jpg"] == "mel"
    assert labels["Seborrheic_Keratosis/1.jpg"] == "bkl"
    assert collection.name == tmp_path.name


def test_an_experiment_finds_own_pictures_by_their_path(tmp_path):
    picture(tmp_path / "benign" / "1.jpg")
    picture(tmp_path / "malignant" / "2.bmp")
    assert load(str(tmp_path)).classes == ("benign", "malignant")


@pytest.mark.parametrize(("folder", "file"), [("ham10000", "labels.csv"), ("anything", "HAM10000_metadata.csv")])
def test_a_named_collection_is_not_split_anew_by_its_path(tmp_path, folder, file):
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / folder / name)
    (tmp_path / folder / file).write_text("image_id,dx\na,mel\nb,nv\n")
    with pytest.raises(DatasetError, match=r"looks like HAM10000, whose committed split would be lost.* HAM10000_DIR"):
        load(str(tmp_path / folder))
    picture(tmp_path / "classes" / "isic2017" / "mel" / "a.jpg")
    with pytest.raises(DatasetError, match="isic2017 looks like ISIC 2017"):
        load(str(tmp_path / "classes" / "isic2017"))


def test_the_title_of_what_was_learned_from_does_not_need_its_pictures(tmp_path):
    folder = with_table(tmp_path / "mine", "image,label\na,mel\nb,nv\nc,nv\n")
    for path in (folder, folder / "labels.csv"):
        assert own.title_of(path) == load(str(path)).title == "mine"
    assert own.title_of(tmp_path / "gone" / "labels.csv") == own.title_of(tmp_path / "gone") == "gone"
    (tmp_path / "truth.csv").write_text("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n")
    assert own.title_of(tmp_path / "truth.csv") == "ISIC 2018 Task 3"


def test_a_table_that_is_named_relatively_may_have_whole_paths(tmp_path, monkeypatch):
    folder = with_table(tmp_path / "mine", "")
    rows = "".join(f"{folder / name},{label}\n" for name, label in (("a.jpg", "mel"), ("b.png", "nv"), ("c.jpg", "nv")))
    (folder / "labels.csv").write_text(f"image,label\n{rows}")
    monkeypatch.chdir(tmp_path)
    assert sorted(load("mine/labels.csv").table["image"]) == ["a.jpg", "b.png", "c.jpg"]


def test_all_endings_are_pictures_and_hidden_files_are_not(tmp_path):
    for ending in ("jpg", "JPEG", "png", "webp", "tif", "tiff", "bmp"):
        picture(tmp_path / "mel" / f"{ending}.{ending}")
    picture(tmp_path / "nv" / "deeper" / "1.jpg")
    (tmp_path / "nv" / "._1.jpg").write_bytes(b"left behind by a Mac")
    (tmp_path / "nv" / "notes.txt").write_text("no picture")
    picture(tmp_path / "__MACOSX" / "nv" / "1.jpg")
    assert own.load(tmp_path).table["label"].value_counts().to_dict() == {"mel": 7, "nv": 1}


def test_what_comes_without_a_split_is_split_70_15_15_by_class(tmp_path):
    rows = [f"p{number}.jpg,{'mel' if number < 40 else 'nv'},g{number}" for number in range(120)]
    with_table(tmp_path, "image,label,group\n" + "\n".join(rows), [f"p{number}.jpg" for number in range(120)])
    table = own.load(tmp_path).table
    counts = pd.crosstab(table["label"], table["split"])
    assert counts.loc["mel"].to_dict() == {"test": 6, "train": 28, "validation": 6}
    assert counts.loc["nv"].to_dict() == {"test": 12, "train": 56, "validation": 12}
    assert part_of(own.load(tmp_path)) == part_of(own.load(tmp_path))


def test_pictures_of_a_group_stay_together(tmp_path):
    rows = [f"p{number}.jpg,{'mel' if number < 40 else 'nv'},patient {number // 4}" for number in range(80)]
    with_table(tmp_path, "image,label,patient_id\n" + "\n".join(rows), [f"p{number}.jpg" for number in range(80)])
    collection = own.load(tmp_path)
    assert collection.grouped
    assert (collection.table.groupby("group")["split"].nunique() == 1).all()
    assert collection.table["group"].nunique() == 20


def test_without_groups_copies_stay_together_and_leaks_are_not_ruled_out(tmp_path):
    for number in range(6):
        picture(tmp_path / ("nv" if number % 2 else "mel") / f"{number}.png", drawn(number))
    picture(tmp_path / "nv" / "copy.jpg", drawn(3)[:, ::-1])
    collection = own.load(tmp_path)
    group = collection.table.set_index("image")["group"]
    assert not collection.grouped
    assert group["nv/copy.jpg"] == group["nv/3.png"]
    assert group.nunique() == 6


def test_near_duplicates_are_looked_for_once(tmp_path, monkeypatch):
    picture(tmp_path / "mel" / "1.png", drawn(1))
    picture(tmp_path / "nv" / "2.png", drawn(2))
    first = own.load(tmp_path)
    monkeypatch.setattr(own.near_duplicates, "describe", lambda paths: pytest.fail("looked again"))
    assert own.load(tmp_path).fingerprint == first.fingerprint


def test_a_split_in_folders_is_kept_and_validation_is_taken_from_train(tmp_path):
    for number in range(40):
        picture(tmp_path / "train" / ("benign" if number % 2 else "malignant") / f"{number}.jpg")
    for name in ("benign", "malignant"):
        picture(tmp_path / "Test" / name / "1.jpg")
    table = own.load(tmp_path).table
    assert table["split"].value_counts().to_dict() == {"train": 34, "validation": 6, "test": 2}
    assert set(table.loc[table["split"] == "test", "image"]) == {"Test/benign/1.jpg", "Test/malignant/1.jpg"}


def test_a_whole_split_in_folders_stays_as_it_is(tmp_path):
    for part in ("train", "val", "test"):
        for name in ("benign", "malignant"):
            picture(tmp_path / part / name / "1.jpg")
    assert own.load(tmp_path).table["split"].value_counts().to_dict() == {"train": 2, "validation": 2, "test": 2}


def test_training_pictures_that_repeat_a_test_picture_are_left_out(tmp_path, capsys):
    for number in range(10):
        picture(tmp_path / "train" / ("nv" if number % 2 else "mel") / f"{number}.png", drawn(number))
    picture(tmp_path / "test" / "nv" / "copy.jpg", drawn(3))
    picture(tmp_path / "test" / "mel" / "new.png", drawn(50))
    images = set(own.load(tmp_path).table["image"])
    assert "train/nv/3.png" not in images
    assert {"test/nv/copy.jpg", "train/nv/5.png"} < images
    assert (
        "left out 1 pictures that repeat one of a later part by content, first train/nv/3.png"
        in capsys.readouterr().err
    )


def test_a_table_names_pictures_with_or_without_ending_or_by_path(tmp_path):
    with_table(
        tmp_path, "image,label\na,mel\nb.png,nv\ndeep/c.jpg,nv\n", ("a.jpg", "b.png", "deep/c.jpg", "other/c.jpg")
    )
    assert list(own.load(tmp_path).table["image"]) == ["a.jpg", "b.png", "deep/c.jpg"]


def test_the_table_itself_can_be_named(tmp_path):
    with_table(tmp_path, "image,label\na,mel\nb,nv\n")
    (tmp_path / "second.csv").write_text("image,label\na,mel\nc,nv\n")
    assert list(own.load(tmp_path / "second.csv").table["image"]) == ["a.jpg", "c.jpg"]
    with pytest.raises(DatasetError, match=r"2 tables of labels \(labels.csv, second.csv\); name the one to use"):
        own.load(tmp_path)


def test_a_table_may_tell_sex_age_site_and_split(tmp_path):
    header = "Image_ID,dx,lesion_id,split,age,sex,localization"
    text = f"{header}\na,mel,l1,train,50,female,back\nb,nv,l2,val,,male,\nc,nv,l3,test,35,,foot\n"
    row = own.load(with_table(tmp_path, text)).table.set_index("image").loc["a.jpg"]
    assert (row["group"], row["split"], row["age"], row["sex"], row["site"]) == ("l1", "train", 50.0, "female", "back")


def test_a_patient_counts_before_a_lesion(tmp_path):
    text = "image,label,lesion_id,patient_id\na,mel,l1,p1\nb,nv,l2,p1\nc,nv,l3,p2\n"
    assert list(own.load(with_table(tmp_path, text)).table["group"]) == ["p1", "p1", "p2"]


def test_a_one_hot_ground_truth_is_read_as_isic_2018(tmp_path):
    text = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na,1,0,0,0,0,0,0\nc,0,1,0,0,0,0,0\n"
    with_table(tmp_path, text, ("a.jpg", "c.jpg"))
    for path in (tmp_path, tmp_path / "labels.csv"):
        collection = own.load(path)
        assert collection.name == "isic2018"
        assert list(collection.part("test")["label"]) == ["mel", "nv"]


TABLE_MISTAKES = {
    "an unknown label": (
        "image,label\na,mel\nb,wart\n",
        r"labels\.csv, line 3 \(image b\) has the label 'wart'; it should be one of akiec",
    ),
    "an unknown part": ("image,label,split\na,mel,train\nb,nv,later\n", r"line 3 \(image b\) has the split 'later'"),
    "a missing label": ("image,label\na,mel\nb,\n", r"line 3 \(image b\) has no label"),
    "a missing group": ("image,label,group\na,mel,1\n\nb,nv,\n", r"line 4 \(image b\) has no group"),
    "a missing picture": ("image,label\na,mel\nz,nv\n", r"line 3: there is no picture z below"),
    "a repeated picture": ("image,label\na,mel\nb,nv\na.jpg,mel\n", r"line 4 \(image a.jpg\) repeats .* line 2"),
    "an age that is no number": ("image,label,age\na,mel,50\nb,nv,old\n", r"line 3 .* has an age that is no number"),
    "labels of two kinds": ("image,label\na,mel\nb,benign\n", r"mixes labels of two kinds: mel, benign"),
    "one class": ("image,label\na,mel\nb,mel\n", "only the class mel"),
    "no label column": ("image,diagnose\na,mel\n", "lacks the column label"),
    "no rows": ("image,label\n", "names no pictures"),
    "a group in two parts": (
        "image,label,group,split\na,mel,1,train\nb,nv,1,test\n",
        r"the group 1 is in two parts of the split \(a.jpg in train, b.png in test\)",
    ),
}


@pytest.mark.parametrize("mistake", TABLE_MISTAKES)
def test_a_mistake_in_a_table_is_one_clear_line(tmp_path, mistake):
    text, message = TABLE_MISTAKES[mistake]
    with pytest.raises(DatasetError, match=message):
        own.load(with_table(tmp_path, text))


def test_a_name_that_fits_two_pictures_is_an_error(tmp_path):
    with_table(tmp_path, "image,label\na,mel\n", ("one/a.jpg", "two/a.jpg"))
    with pytest.raises(DatasetError, match=r"line 2: a could be any of one/a.jpg, two/a.jpg"):
        own.load(tmp_path)


def test_an_empty_class_folder_is_an_error(tmp_path):
    picture(tmp_path / "mel" / "1.jpg")
    (tmp_path / "nv").mkdir()
    with pytest.raises(DatasetError, match=r"class folder .*nv holds no picture"):
        own.load(tmp_path)


def test_an_unknown_class_folder_is_an_error(tmp_path):
    picture(tmp_path / "mel" / "1.jpg")
    picture(tmp_path / "warts" / "1.jpg")
    with pytest.raises(DatasetError, match=r"folder .*warts is no class: none of akiec"):
        own.load(tmp_path)


def test_a_folder_beside_the_parts_is_an_error(tmp_path):
    for name in ("train/nv", "train/mel", "extra/nv"):
        picture(tmp_path / name / "1.jpg")
    with pytest.raises(DatasetError, match=r"extra is neither train, validation nor test"):
        own.load(tmp_path)


def test_a_folder_without_classes_or_table_is_an_error(tmp_path):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DatasetError, match=r"neither a sub-folder for each class .* nor a CSV"):
        own.load(tmp_path)


def test_a_file_that_is_no_table_is_an_error(tmp_path):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DatasetError, match=r"1\.jpg is no CSV file"):
        own.load(tmp_path / "1.jpg")


def test_an_unreadable_picture_is_named(tmp_path):
    picture(tmp_path / "mel" / "1.jpg")
    (tmp_path / "nv").mkdir()
    (tmp_path / "nv" / "2.jpg").write_bytes(np.random.default_rng(1).bytes(200))
    with pytest.raises(DatasetError, match=r"2\.jpg: "):
        own.load(tmp_path)
