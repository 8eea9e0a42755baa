import stat
import zipfile

import pytest

from training.unpack import ArchiveError, unpack


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_pictures_and_tables_come_out_and_nothing_else(tmp_path):
    files = {"a.jpg": b"a", "B.JPEG": b"b", "a_superpixels.png": b"p", "LICENSE.txt": b"l", "hmnist_28_28_L.csv": b"h"}
    archive = zipped(tmp_path / "all.zip", files | {"HAM10000_metadata.csv": b"m", "__MACOSX/._a.jpg": b"x"})
    assert unpack(archive, tmp_path / "out") == 3
    assert below(tmp_path / "out") == ["B.JPEG", "HAM10000_metadata.csv", "a.jpg"]


def test_a_folder_around_everything_is_left_out(tmp_path):
    archive = zipped(tmp_path / "all.zip", {"Data/part_1/a.jpg": b"a", "Data/Data_metadata.csv": b"m"})
    unpack(archive, tmp_path / "out")
    assert below(tmp_path / "out") == ["Data_metadata.csv", "part_1/a.jpg"]


def test_a_picture_that_is_there_twice_is_unpacked_once(tmp_path):
    archive = zipped(tmp_path / "all.zip", {"HAM_part_1/a.jpg": b"a", "ham_part_1/a.jpg": b"a", "b.jpg": b"b"})
    assert unpack(archive, tmp_path / "out") == 2
    assert below(tmp_path / "out") == ["HAM_part_1/a.jpg", "b.jpg"]


def test_two_different_pictures_of_one_name_are_refused(tmp_path):
    archive = zipped(tmp_path / "all.zip", {"x/a.jpg": b"a", "y/a.jpg": b"other"})
    with pytest.raises(ArchiveError, match=r"two different files named a\.jpg"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "C:/a.jpg", "..\\a.jpg"])
def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path, name):
    archive = zipped(tmp_path / "all.zip", {"good.jpg": b"g", name: b"bad"})
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        unpack(archive, tmp_path / "out" / "in")
    assert below(tmp_path) == ["all.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    link = zipfile.ZipInfo("a.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zipped(tmp_path / "all.zip", {link: b"/etc/passwd"})
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        unpack(archive, tmp_path / "out")


def test_unpacking_again_writes_only_what_is_missing_or_changed(tmp_path):
    archive = zipped(tmp_path / "all.zip", {"a.jpg": b"aaa", "b.jpg": b"bbb", "c.jpg": b"ccc"})
    unpack(archive, tmp_path / "out")
    (tmp_path / "out" / "b.jpg").write_bytes(b"bad")
    (tmp_path / "out" / "c.jpg").unlink()
    kept = (tmp_path / "out" / "a.jpg").stat().st_mtime_ns
    reports = []
    unpack(archive, tmp_path / "out", lambda *report: reports.append(report))
    assert reports == [("unpacking all.zip", 2, 3, "files"), ("unpacking all.zip", 3, 3, "files")]
    assert (tmp_path / "out" / "b.jpg").read_bytes() == b"bbb"
    assert (tmp_path / "out" / "a.jpg").stat().st_mtime_ns == kept


def test_a_damaged_archive_is_named_and_its_damaged_picture_gets_no_name(tmp_path):
    archive = zipped(tmp_path / "all.zip", {"a.jpg": b"sentinel"})
    archive.write_bytes(archive.read_bytes().replace(b"sentinel", b"sentinex", 1))
    with pytest.raises(ArchiveError, match=r"all\.zip cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert "a.jpg" not in below(tmp_path / "out")
    archive.write_bytes(b"no zip")
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")


def test_an_archive_without_pictures_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="no JPEG pictures"):
        unpack(zipped(tmp_path / "all.zip", {"readme.txt": b"r"}), tmp_path / "out")
