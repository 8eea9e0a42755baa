import dataclasses
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.file_server import Fault, serving
from tests.pictures import encoded, gradient
from training import download, ham10000, isic_archive, sources
from training.collection import Collection, DatasetError
from training.download import DownloadError, Remote
from training.prepare import LABELS, PrepareCommand, PrepareError, prepare
from training.sources import SourceError
from training.unpack import ArchiveError

ROWS = [
    ("ISIC_0000001", "HAM_1", "nv", "train"),
    ("ISIC_0000002", "HAM_1", "nv", "train"),
    ("ISIC_0000003", "HAM_2", "mel", "validation"),
    ("ISIC_0000004", "HAM_3", "vasc", "test"),
]
PICTURES = {row[0]: encoded(gradient(60 + place, 45), "JPEG") for place, row in enumerate(ROWS)}


def table():
    facts = {"dx_type": "histo", "age": 50.0, "sex": "male", "localization": "back"}
    return pd.DataFrame([{"lesion_id": lesion, "image_id": image, "dx": dx, **facts} for image, lesion, dx, _ in ROWS])


def load(name, base):
    """Read a HAM10000 of four pictures, whose split is that of ROWS."""
    index = ham10000.read_index(base / name).rename(columns={"image_id": "image", "dx": "label"})
    index["split"] = index["image"].map({image: part for image, _, _, part in ROWS})
    return Collection(name, "Tiny HAM10000", index, tuple(sorted({row[2] for row in ROWS})))


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_copy(folder):
    """A user's own copy in Kaggle's layout."""
    pictures = folder / "HAM10000_images_part_1"
    pictures.mkdir(parents=True)
    table().to_csv(folder / "HAM10000_metadata.csv", index=False)
    for image, content in PICTURES.items():
        (pictures / f"{image}.jpg").write_bytes(content)
    return folder


@pytest.fixture
def server(monkeypatch):
    """Stands for Dataverse, which serves the four pictures in two archives, with their checksums published."""
    images = list(PICTURES)
    files = {"HAM10000_metadata.csv": table().to_csv(index=False).encode()}
    for part, chosen in (("1", images[:2]), ("2", images[2:])):
        files[f"HAM10000_images_part_{part}.zip"] = zipped({f"{image}.jpg": PICTURES[image] for image in chosen})
    monkeypatch.delenv("HAM10000_DIR", raising=False)
    with serving() as running:
        running.files = {f"/{name}": content for name, content in files.items()}
        remotes = [Remote(n, f"{running.url}/{n}", hashlib.md5(c).hexdigest()) for n, c in files.items()]
        monkeypatch.setitem(sources.FILES, "dataverse", tuple(remotes))
        monkeypatch.setattr(download, "time", SimpleNamespace(sleep=lambda _: None, time=lambda: 0.0))
        yield running


@pytest.fixture
def run(tmp_path):
    """Run the command for the tiny HAM10000 below `tmp_path`."""

    def run(**options):
        options = {"data": tmp_path / "data", "cache": tmp_path / "cache", "name": "ham10000", **options}
        return prepare(PrepareCommand(**options), load, {})

    return run


def test_a_download_ends_in_a_table_of_what_is_there_and_the_next_command(server, run, tmp_path, capsys):
    collection = run()
    said = capsys.readouterr().out
    assert list(collection.table["image"]) == list(PICTURES)
    assert "4 pictures of 3 lesions" in said
    assert [line.split() for line in said.splitlines() if line.startswith("nv")] == [["nv", "2", "0", "0", "2"]]
    assert f"python -m training.train mobilenet_v2_ham10000 --data {tmp_path / 'data'}" in said
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_the_archives_are_unpacked_and_not_kept(server, run, tmp_path):
    run()
    folder = tmp_path / "data" / "ham10000"
    assert {path.stem: path.read_bytes() for path in folder.rglob("*.jpg")} == PICTURES
    assert list(folder.rglob("*.zip")) + list(folder.rglob("*.partial*")) == []


def test_a_second_run_asks_nobody_and_decodes_nothing(server, run, capsys):
    run()
    server.requests.clear()
    capsys.readouterr()
    run()
    said = capsys.readouterr().out
    assert server.requests == []
    assert "Everything was there already." in said
    assert "They were decoded already." in said


def test_an_interrupted_run_goes_on_where_it_was(server, run, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults["/HAM10000_images_part_2.zip"] = [Fault(cut_after=100)]
    with pytest.raises(DownloadError, match="run it again"):
        run()
    run()
    assert server.asked("/HAM10000_metadata.csv") == [""]
    assert server.asked("/HAM10000_images_part_1.zip") == [""]
    assert server.asked("/HAM10000_images_part_2.zip") == ["", "bytes=100-"]


def test_a_picture_that_went_missing_is_got_again(server, run, tmp_path):
    run()
    server.requests.clear()
    next((tmp_path / "data").rglob("ISIC_0000003.jpg")).unlink()
    run()
    assert server.requests == [("/HAM10000_images_part_2.zip", "")]
    assert len(list((tmp_path / "data").rglob("*.jpg"))) == 4


def test_a_table_that_was_edited_is_noticed(server, run, tmp_path):
    run()
    path = tmp_path / "data" / "ham10000" / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace("mel", "nv"))
    with pytest.raises(DownloadError, match="has changed since it was downloaded"):
        run()


def test_a_file_with_another_checksum_than_published_is_refused(server, run, tmp_path):
    server.files["/HAM10000_images_part_1.zip"] = zipped({"ISIC_0000001.jpg": b"another"})
    with pytest.raises(DownloadError, match=r"HAM10000_images_part_1\.zip is not the expected file: md5"):
        run()
    assert list((tmp_path / "data").rglob("*.jpg")) == []


def test_without_a_published_checksum_the_first_download_counts(server, run, tmp_path, monkeypatch):
    bare = tuple(dataclasses.replace(remote, md5="") for remote in sources.FILES["dataverse"])
    monkeypatch.setitem(sources.FILES, "dataverse", bare)
    run()
    next((tmp_path / "data").rglob("ISIC_0000001.jpg")).unlink()
    server.files["/HAM10000_images_part_1.zip"] = zipped({"ISIC_0000001.jpg": b"another"})
    with pytest.raises(DownloadError, match="gave another file than at first"):
        run()


def test_a_user_may_pin_a_checksum(server, run):
    with pytest.raises(DownloadError, match=r"sha256 .* instead of 0000"):
        run(sha256=(f"HAM10000_metadata.csv={'0' * 64}",))
    run(sha256=(f"HAM10000_metadata.csv={hashlib.sha256(server.files['/HAM10000_metadata.csv']).hexdigest()}",))
    with pytest.raises(DownloadError, match="was downloaded with sha256"):
        run(sha256=(f"HAM10000_metadata.csv={'0' * 64}",))


@pytest.mark.parametrize("pin", ["HAM10000_metadata.csv", f"other.zip={'0' * 64}", "HAM10000_metadata.csv=123"])
def test_a_pin_that_fits_no_file_is_an_error(server, run, pin):
    with pytest.raises(PrepareError, match=r"takes FILE=HASH.*HAM10000_images_part_1\.zip"):
        run(sha256=(pin,))


def test_the_published_checksums_are_in_use():
    assert set(sources.FILES) == {"dataverse", "isic-challenge"}
    for remotes in sources.FILES.values():
        assert len({remote.md5 for remote in remotes}) == len(remotes)
        assert all(len(remote.md5) == 32 for remote in remotes)


def test_every_picture_that_cannot_be_read_is_named(server, run, tmp_path):
    run(no_cache=True)
    for image in ("ISIC_0000002", "ISIC_0000004"):
        path = next((tmp_path / "data").rglob(f"{image}.jpg"))
        path.write_bytes(path.read_bytes()[:300].ljust(path.stat().st_size, b"\0"))
    with pytest.raises(DatasetError, match=r"2 of 4 pictures cannot be read") as refused:
        run()
    assert "ISIC_0000002.jpg" in str(refused.value)
    assert "ISIC_0000004.jpg" in str(refused.value)
    assert "ISIC_0000001.jpg" not in str(refused.value)
    assert list((tmp_path / "cache").glob("*.npy")) == []


def test_a_table_with_other_diagnoses_than_published_is_refused(server, tmp_path):
    command = PrepareCommand("ham10000", data=tmp_path, no_cache=True)
    with pytest.raises(DatasetError, match="1 of mel instead of 1113"):
        prepare(command, load, LABELS)


def test_a_folder_of_the_users_is_linked_and_not_copied(run, tmp_path, capsys):
    own = write_copy(tmp_path / "own")
    run(path=own)
    run(path=own)
    assert (tmp_path / "data" / "ham10000").resolve() == own
    assert "nothing was copied" in capsys.readouterr().out
    run()
    assert "is there already; nothing is downloaded" in capsys.readouterr().out


def test_a_link_can_be_moved_but_files_are_never_replaced(run, tmp_path):
    run(path=write_copy(tmp_path / "own"))
    run(path=write_copy(tmp_path / "other"))
    assert (tmp_path / "data" / "ham10000").resolve() == tmp_path / "other"
    write_copy(tmp_path / "second" / "ham10000")
    with pytest.raises(PrepareError, match="exists already; move it away"):
        run(path=tmp_path / "own", data=tmp_path / "second")


def test_a_link_to_a_folder_that_is_gone_is_named(run, tmp_path):
    own = write_copy(tmp_path / "own")
    run(path=own)
    own.rename(tmp_path / "moved")
    with pytest.raises(PrepareError, match="which is gone"):
        run()
    run(path=tmp_path / "moved")


def test_a_zip_archive_of_the_users_is_unpacked(run, tmp_path):
    files = {f"HAM10000_images_part_1/{image}.jpg": content for image, content in PICTURES.items()}
    files |= {f"ham10000_images_part_1/{image}.jpg": content for image, content in PICTURES.items()}
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped(files | {"HAM10000_metadata.csv": table().to_csv(index=False)}))
    run(path=archive)
    run(path=archive)
    assert len(list((tmp_path / "data").rglob("*.jpg"))) == 4
    assert len(run().table) == 4


def test_a_hostile_archive_leaves_nothing_behind_outside(run, tmp_path):
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped({"../../evil.jpg": b"e"}))
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        run(path=archive)
    assert list(tmp_path.rglob("evil.jpg")) == []


def test_a_place_that_does_not_exist_is_named(run, tmp_path):
    with pytest.raises(PrepareError, match="no such folder or zip archive"):
        run(path=tmp_path / "nowhere")


def test_a_collection_is_not_to_be_had_everywhere(run):
    with pytest.raises(PrepareError, match="takes isic-challenge"):
        run(name="isic2017", source="kaggle")


def test_a_copy_and_a_source_exclude_each_other(run, tmp_path):
    with pytest.raises(PrepareError, match="exclude each other"):
        run(path=tmp_path, source="kaggle")


def test_a_folder_of_half_a_download_is_not_gone_on_with_from_elsewhere(server, run):
    run()
    with pytest.raises(SourceError, match="was begun from dataverse"):
        run(source="isic-archive")


def test_a_source_that_gave_nothing_can_be_changed_for_another(server, run, tmp_path, monkeypatch):
    server.faults["/HAM10000_metadata.csv"] = [Fault(403)]
    with pytest.raises(DownloadError, match="403"):
        run()
    kaggle = SimpleNamespace(dataset_download=lambda _: str(write_copy(tmp_path / "kaggle")))
    monkeypatch.setitem(sys.modules, "kagglehub", kaggle)
    run(source="kaggle")
    assert (tmp_path / "data" / "ham10000").resolve() == tmp_path / "kaggle"


def test_kaggles_client_downloads_and_its_cache_is_linked(run, tmp_path, monkeypatch):
    asked = []

    def dataset_download(handle):
        asked.append(handle)
        return str(write_copy(tmp_path / "kaggle" / "versions" / "2"))

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))
    run(source="kaggle")
    assert asked == ["kmader/skin-cancer-mnist-ham10000"]
    assert (tmp_path / "data" / "ham10000").resolve() == tmp_path / "kaggle" / "versions" / "2"


def test_without_kaggles_client_the_error_says_how_to_install_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SourceError, match="pip install kagglehub"):
        run(source="kaggle")


def test_when_kaggle_refuses_the_error_says_where_a_token_goes(run, monkeypatch):
    def dataset_download(handle):
        raise RuntimeError("403 Client Error")

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))
    with pytest.raises(SourceError, match=r"403 Client Error.*~/\.kaggle/access_token.*KAGGLE_API_TOKEN"):
        run(source="kaggle")


DIAGNOSES = {
    "nv": {"diagnosis_2": "Benign melanocytic proliferations", "diagnosis_3": "Nevus"},
    "mel": {"diagnosis_2": "Malignant melanocytic proliferations (Melanoma)", "diagnosis_3": "Melanoma, NOS"},
    "vasc": {"diagnosis_2": "Benign soft tissue proliferations - Vascular"},
}


@pytest.fixture
def archive(server, tmp_path, monkeypatch):
    """Stands for the ISIC Archive: pages of two entries, and a picture of the collection that nobody wants."""
    entries = []
    for image, lesion, dx, _ in [*ROWS, ("ISIC_0099999", "HAM_9", "nv", "")]:
        server.files[f"/images/{image}.jpg"] = PICTURES.get(image, b"")
        clinical = {"lesion_id": f"IL_{lesion}", "diagnosis_confirm_type": "serial imaging showing no change"}
        entries.append(
            {
                "isic_id": image,
                "files": {"full": {"url": f"{server.url}/images/{image}.jpg", "size": len(PICTURES.get(image, b""))}},
                "metadata": {
                    "acquisition": {"image_type": "dermoscopic"},
                    "clinical": {"age_approx": 50, "sex": "male", **clinical, **DIAGNOSES[dx]},
                },
            }
        )
    pages = [
        f"/images/search/?collections=212&limit={100 if start == 0 else f'100&cursor={start}'}" for start in (0, 2, 4)
    ]
    for place, path in enumerate(pages):
        following = f"{server.url}{pages[place + 1]}" if place < 2 else None
        results = entries[2 * place : 2 * place + 2]
        server.add_json(
            path, {"count": 5 if place == 0 else None, "next": following, "previous": None, "results": results}
        )
    split = tmp_path / "split.csv"
    pd.DataFrame({"image_id": list(PICTURES)}).to_csv(split, index=False)
    monkeypatch.setattr(sources, "SPLIT_FILE", split)
    monkeypatch.setattr(isic_archive, "API", server.url)
    return server


def test_the_isic_archive_gives_the_splits_pictures_in_kaggles_layout(archive, run, tmp_path):
    collection = run(source="isic-archive")
    index = pd.read_csv(tmp_path / "data" / "ham10000" / "HAM10000_metadata.csv")
    assert list(index.columns) == list(ham10000.COLUMNS)
    assert dict(zip(index["image_id"], index["dx"], strict=True)) == {row[0]: row[2] for row in ROWS}
    assert set(index["dx_type"]) == {"follow_up"}
    assert {Path(path).stem: Path(path).read_bytes() for path in collection.table["path"]} == PICTURES
    assert archive.asked("/images/ISIC_0099999.jpg") == []


def test_the_isic_archives_pictures_are_fetched_once(archive, run, tmp_path):
    run(source="isic-archive")
    archive.requests.clear()
    run()
    assert archive.requests == []
    next((tmp_path / "data").rglob("ISIC_0000002.jpg")).unlink()
    run()
    assert [path for path, _ in archive.requests if path.endswith(".jpg")] == ["/images/ISIC_0000002.jpg"]


def test_the_isic_archive_may_be_busy_for_a_while(archive, run):
    archive.faults["/images/search/?collections=212&limit=100"] = [Fault(429), Fault(502)]
    archive.faults["/images/ISIC_0000001.jpg"] = [Fault(503), Fault(cut_after=50)]
    assert len(run(source="isic-archive").table) == 4


def test_a_picture_that_the_isic_archive_lacks_is_named(archive, run, tmp_path):
    pd.DataFrame({"image_id": [*PICTURES, "ISIC_0000077"]}).to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(DownloadError, match="lacks 1 pictures, first ISIC_0000077"):
        run(source="isic-archive")


def test_a_picture_of_another_size_than_the_isic_archive_states_is_refused(archive, run):
    archive.files["/images/ISIC_0000001.jpg"] = b"short"
    with pytest.raises(DownloadError, match="5 bytes instead of"):
        run(source="isic-archive")


@pytest.mark.skipif("HAM10000_DIR" not in os.environ, reason="needs HAM10000_DIR")
def test_a_real_copy_of_ham10000_passes(tmp_path, monkeypatch, capsys):
    own = Path(os.environ["HAM10000_DIR"])
    monkeypatch.delenv("HAM10000_DIR")
    collection = prepare(PrepareCommand("ham10000", path=own, data=tmp_path, no_cache=True))
    assert len(collection.table) == 10015
    assert "10015 pictures of 7452 lesions" in capsys.readouterr().out
