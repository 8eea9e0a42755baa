import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from training import collection, ham10000
from training.collection import DatasetError, find_folder

needs_data = pytest.mark.skipif(
    not os.environ.get("HAM10000_DIR"), reason="HAM10000_DIR does not name a copy of HAM10000"
)


@pytest.fixture
def copy(tmp_path):
    """A small folder in Kaggle's layout: 40 lesions of nv and bkl, every second one with two pictures."""
    rows = []
    for lesion in range(40):
        for view in range(1 + lesion % 2):
            rows.append((f"HAM_{lesion:07d}", f"ISIC_{2 * lesion + view:07d}", ("nv", "bkl")[lesion // 20]))
    table = pd.DataFrame(rows, columns=["lesion_id", "image_id", "dx"])
    table[["dx_type", "age", "sex", "localization"]] = ["histo", 40.0, "female", "back"]
    table.to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    for part, ids in (("1", table["image_id"][:30]), ("2", table["image_id"][30:])):
        folder = tmp_path / f"HAM10000_images_part_{part}"
        folder.mkdir()
        for image_id in ids:
            Image.new("RGB", (40, 40)).save(folder / f"{image_id}.jpg")
    return tmp_path


def committed_split():
    table = pd.read_csv(ham10000.SPLIT_FILE, dtype=str)
    return dict(zip(table["image_id"], table["split"], strict=True))


def edit(root, change):
    table = pd.read_csv(root / "HAM10000_metadata.csv")
    change(table).to_csv(root / "HAM10000_metadata.csv", index=False)


def test_the_index_holds_every_picture_once_with_its_file(copy):
    index = ham10000.read_index(copy)
    assert len(index) == 60
    assert index["image_id"].is_monotonic_increasing
    assert all(Path(path).stem == image_id for path, image_id in zip(index["path"], index["image_id"], strict=True))


def test_a_split_keeps_lesions_whole_and_its_shares(copy):
    index = ham10000.read_index(copy)
    table = index.merge(ham10000.split(index), on="image_id")
    assert (table.groupby("group")["split"].nunique() == 1).all()
    shares = pd.crosstab(table["dx"], table["split"], normalize="index")
    assert np.allclose(shares["test"], 0.15, atol=0.07)
    assert np.allclose(shares["validation"], 0.15, atol=0.07)


def test_another_seed_splits_differently(copy):
    index = ham10000.read_index(copy)
    assert not ham10000.split(index, seed=1).equals(ham10000.split(index, seed=2))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"HAM10000_metadata\.csv is missing"):
        ham10000.read_index(tmp_path)


def test_a_missing_picture_is_named(copy):
    next(copy.rglob("ISIC_0000007.jpg")).unlink()
    with pytest.raises(DatasetError, match=r"1 images .* first ISIC_0000007\.jpg"):
        ham10000.read_index(copy)


def test_an_unknown_diagnosis_is_named(copy):
    edit(copy, lambda table: table.assign(dx=table["dx"].where(table.index != 3, "scc")))
    with pytest.raises(DatasetError, match=r"line 5 .*dx scc.*not one of"):
        ham10000.read_index(copy)


def test_a_missing_lesion_id_is_an_error(copy):
    edit(copy, lambda table: table.assign(lesion_id=table["lesion_id"].where(table.index != 0)))
    with pytest.raises(DatasetError, match=r"line 2 .*has no lesion_id"):
        ham10000.read_index(copy)


def test_a_repeated_image_id_is_an_error(copy):
    edit(copy, lambda table: pd.concat([table, table.tail(1)]))
    with pytest.raises(DatasetError, match="repeats an image_id"):
        ham10000.read_index(copy)


def test_a_missing_column_is_named(copy):
    edit(copy, lambda table: table.drop(columns="dx_type"))
    with pytest.raises(DatasetError, match="lacks the columns dx_type"):
        ham10000.read_index(copy)


def test_an_unreadable_picture_is_named(copy):
    next(copy.rglob("ISIC_0000007.jpg")).write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"ISIC_0000007\.jpg: .*not a picture"):
        ham10000.check_pictures(ham10000.read_index(copy))


def test_a_copy_of_other_pictures_does_not_fit_the_committed_split(copy):
    with pytest.raises(DatasetError, match="differ in"):
        ham10000.load(copy)


def test_no_folder_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.delenv("HAM10000_DIR", raising=False)
    with pytest.raises(DatasetError, match="HAM10000_DIR"):
        find_folder("ham10000", tmp_path)
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="nowhere"):
        find_folder("ham10000")


def test_duplicate_pairs_join_their_lesions():
    first, second = ham10000.DUPLICATE_PAIRS[0]
    lesion_of = {first: "HAM_9", second: "HAM_3", "ISIC_1": "HAM_9", "ISIC_2": "HAM_5"}
    assert ham10000.join_duplicates(lesion_of) == ["HAM_3", "HAM_3", "HAM_3", "HAM_5"]


def test_no_duplicate_pair_crosses_the_committed_split():
    split = committed_split()
    assert len(ham10000.DUPLICATE_PAIRS) == 18
    assert all(split[first] == split[second] for first, second in ham10000.DUPLICATE_PAIRS)


def test_the_committed_split_holds_70_15_15_percent():
    shares = pd.Series(committed_split()).value_counts(normalize=True)
    assert abs(shares["train"] - 0.70) < 0.01
    assert abs(shares["validation"] - 0.15) < 0.01
    assert abs(shares["test"] - 0.15) < 0.01


@needs_data
def test_no_lesion_crosses_the_committed_split():
    index = collection.load("ham10000").table
    assert len(index) == 10015
    assert (index.groupby("lesion_id")["split"].nunique() == 1).all()
    assert (index.groupby("group")["split"].nunique() == 1).all()


@needs_data
def test_the_committed_split_is_stratified():
    index = collection.load("ham10000").table
    shares = pd.crosstab(index["label"], index["split"], normalize="index")
    assert (shares[["validation", "test"]] - 0.15).abs().to_numpy().max() < 0.02


@needs_data
def test_the_committed_split_regenerates_byte_for_byte(tmp_path):
    table = ham10000.split(ham10000.read_index(find_folder("ham10000")))
    ham10000.write_split(table, tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_bytes() == ham10000.SPLIT_FILE.read_bytes()


@needs_data
def test_the_known_duplicate_pairs_are_those_beside_the_data():
    file = find_folder("ham10000") / "duplicate_lesions.csv"
    if not file.exists():
        pytest.skip("this copy of HAM10000 has no duplicate_lesions.csv")
    assert set(pd.read_csv(file).itertuples(index=False, name=None)) == set(ham10000.DUPLICATE_PAIRS)
