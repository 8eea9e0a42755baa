import pandas as pd
import pytest
from PIL import Image

from training import ham10000, isic2018
from training.collection import DatasetError

HEADER = ["image", *isic2018.ONE_HOT]


def write(folder, labels, name="ISIC2018_Task3_Training_GroundTruth.csv", pictures=True):
    """A ground truth and its pictures as the challenge lays them out; `labels` is image -> one of ONE_HOT."""
    rows = [(image, *(float(code == label) for code in isic2018.ONE_HOT)) for image, label in labels.items()]
    truth = folder / name.removesuffix(".csv") / name
    truth.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=HEADER).to_csv(truth, index=False)
    inputs = folder / "ISIC2018_Task3_Input"
    inputs.mkdir(exist_ok=True)
    for image in labels if pictures else ():
        Image.new("RGB", (40, 40)).save(inputs / f"{image}.jpg")
    return truth


def change(truth, line, text):
    lines = truth.read_text().splitlines()
    lines[line - 1] = text
    truth.write_text("\n".join(lines) + "\n")


@pytest.fixture
def official_test(tmp_path):
    """Three pictures that are not in HAM10000, and their ground truth."""
    return tmp_path, write(tmp_path, {"ISIC_0034524": "NV", "ISIC_0034525": "MEL", "ISIC_0034526": "VASC"})


def test_pictures_that_are_not_in_ham10000_are_all_test_pictures(official_test):
    collection = isic2018.load(official_test[0])
    assert list(collection.part("test")["label"]) == ["nv", "mel", "vasc"]
    assert collection.part("test")["path"][0].name == "ISIC_0034524.jpg"
    assert collection.classes == ("mel", "nv", "vasc")
    assert not collection.grouped


def test_pictures_of_ham10000_keep_its_committed_split(tmp_path):
    committed = pd.read_csv(ham10000.SPLIT_FILE).groupby("split").head(2).set_index("image_id")["split"]
    write(tmp_path, dict.fromkeys(committed.index, "BKL"))
    table = isic2018.load(tmp_path).table
    assert dict(zip(table["image"], table["split"], strict=True)) == committed.to_dict()
    assert table["split"].nunique() == 3


def test_lesion_groupings_give_groups_and_confirmation(tmp_path):
    first, second = ham10000.DUPLICATE_PAIRS[0]
    write(tmp_path, {first: "NV", second: "NV", "ISIC_0000001": "MEL"})
    rows = [
        (first, "HAM_9", "histopathology"),
        (second, "HAM_3", "serial imaging showing no change"),
        ("ISIC_0000001", "HAM_5", "single image expert consensus"),
    ]
    table = pd.DataFrame(rows, columns=["image", "lesion_id", "diagnosis_confirm_type"])
    table.to_csv(tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    collection = isic2018.load(tmp_path)
    known = collection.table.set_index("image")
    assert collection.grouped
    assert known["group"].to_dict() == {first: "HAM_3", second: "HAM_3", "ISIC_0000001": "HAM_5"}
    assert known["confirmation"].to_dict() == {first: "histo", second: "follow_up", "ISIC_0000001": "consensus"}


@pytest.mark.parametrize(
    "values", ["1,1,0,0,0,0,0", "0,0,0,0,0,0,0", "0.5,0.5,0,0,0,0,0", ",1,0,0,0,0,0", "x,1,0,0,0,0,0"]
)
def test_a_row_that_is_not_one_hot_is_named(official_test, values):
    folder, truth = official_test
    change(truth, 3, f"ISIC_0034525,{values}")
    with pytest.raises(DatasetError, match=r"GroundTruth\.csv, line 3 \(image ISIC_0034525\) is not one-hot"):
        isic2018.load(folder)


def test_a_repeated_image_is_named(official_test):
    folder, truth = official_test
    change(truth, 4, "ISIC_0034524,0,1,0,0,0,0,0")
    with pytest.raises(DatasetError, match=r"line 4 \(image ISIC_0034524\) repeats an image"):
        isic2018.load(folder)


def test_a_row_without_an_image_is_named(official_test):
    folder, truth = official_test
    change(truth, 2, ",0,1,0,0,0,0,0")
    with pytest.raises(DatasetError, match=r"line 2 .* has no image"):
        isic2018.load(folder)


def test_a_picture_that_is_missing_is_named(official_test):
    folder, _ = official_test
    next(folder.rglob("ISIC_0034525.jpg")).unlink()
    with pytest.raises(DatasetError, match=r"1 images .* first ISIC_0034525\.jpg"):
        isic2018.load(folder)


def test_a_repeated_image_in_the_lesion_groupings_is_named(official_test):
    folder, _ = official_test
    rows = [("ISIC_0034524", lesion, "histopathology") for lesion in ("a", "b")]
    pd.DataFrame(rows, columns=["image", "lesion_id", "diagnosis_confirm_type"]).to_csv(folder / "g.csv", index=False)
    with pytest.raises(DatasetError, match=r"g\.csv repeats the image ISIC_0034524"):
        isic2018.load(folder)


def test_no_ground_truth_is_an_error_that_names_the_columns(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DatasetError, match="holds no table with the columns image, MEL, NV"):
        isic2018.load(tmp_path)


def test_of_several_ground_truths_one_has_to_be_named(official_test):
    folder, truth = official_test
    write(folder, {"ISIC_0034600": "DF"}, "ISIC2018_Task3_Validation_GroundTruth.csv")
    with pytest.raises(DatasetError, match=r"holds 2 tables .*should hold one ground truth"):
        isic2018.load(folder)
    assert len(isic2018.load(folder, truth).table) == 3
