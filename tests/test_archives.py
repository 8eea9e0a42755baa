import copy
import stat
import struct
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from skin_gradio import archives, images
from skin_gradio.archives import list_entries
from skin_gradio.images import UnusableImage
from tests.pictures import encoded, gradient

PICTURE = encoded(gradient(48, 40), "PNG")
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
# Where a field lies behind the signature, in the directory at the end and before each entry.
FLAGS, METHOD, CRC, UNPACKED = (8, 6), (10, 8), (16, 14), (24, 22)


@pytest.fixture
def write_zip(tmp_path):
    """Writes pairs of entry and content as an archive; optionally overwrites a header field of the first entry."""

    def write(*entries, method=zipfile.ZIP_DEFLATED, field=None, value=b"", replace=()):
        path = tmp_path / "pictures.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in entries:
                archive.writestr(name, content)
        data = bytearray(path.read_bytes())
        if field:
            for signature, offset in zip((CENTRAL, LOCAL), field, strict=True):
                start = data.index(signature) + offset
                data[start : start + len(value)] = value
        for old, new in replace:
            data = data.replace(old, new)
        path.write_bytes(data)
        return path

    return write


def read_all(path):
    """What an archive's items give: their names, and the bytes or the code of the reason."""
    found = []
    for item in list_entries(path, "pictures.zip"):
        assert item.name.startswith("pictures.zip")
        if item.reason:
            found.append((item.name[13:], item.reason.code))
            continue
        try:
            found.append((item.name[13:], item.read()))
        except UnusableImage as error:
            found.append((item.name[13:], error.code))
    return found


def test_entries_come_in_the_order_of_the_archive_with_their_bytes(write_zip):
    entries = [("b.png", PICTURE), ("sub/a.png", PICTURE[:50]), ("a.txt", b"a note")]
    assert read_all(write_zip(*entries)) == entries


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_entries_are_read(write_zip, method):
    assert read_all(write_zip(("a.png", PICTURE), method=method)) == [("a.png", PICTURE)]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(write_zip, method):
    assert read_all(write_zip(("a.png", PICTURE), method=method)) == [("a.png", "unsupported_compression")]


def test_a_compression_that_nobody_knows_is_refused(write_zip):
    path = write_zip(("a.png", PICTURE), ("b.png", PICTURE), field=METHOD, value=b"\x63\0")
    assert read_all(path) == [("a.png", "unsupported_compression"), ("b.png", PICTURE)]


def test_directories_and_what_systems_leave_behind_are_passed_over(write_zip):
    litter = ["sub/", "dos\\", "__MACOSX/a.png", "__MACOSX/sub/._a.png", "sub/._b.png", "sub/.DS_Store", "Thumbs.db"]
    path = write_zip(*((name, b"") for name in litter), ("sub/a.png", PICTURE))
    assert [name for name, _ in read_all(path)] == ["sub/a.png"]


def test_an_archive_without_files_says_so(write_zip):
    assert read_all(write_zip(("sub/", b""))) == [("", "empty")]
    assert read_all(write_zip()) == [("", "empty")]


@pytest.mark.parametrize(
    "name",
    ["../a.png", "sub/../../a.png", "/etc/a.png", "//host/a.png", "C:/a.png", "c:a.png", "sub\\a.png", "..\\a.png"],
)
def test_a_path_that_climbs_is_refused_and_the_next_entry_is_read(write_zip, name):
    assert read_all(write_zip((name, PICTURE), ("a.png", PICTURE))) == [(name, "unsafe_path"), ("a.png", PICTURE)]


def test_a_name_with_a_hidden_end_is_refused(write_zip):
    path = write_zip(("a.png#.sh", PICTURE), replace=[(b"a.png#.sh", b"a.png\0.sh")])
    assert read_all(path) == [("a.png\0.sh", "unsafe_path")]


def test_a_link_is_refused(write_zip):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert read_all(write_zip((link, "/etc/passwd"))) == [("a.png", "symlink")]


def test_an_encrypted_entry_is_refused(write_zip):
    path = write_zip(("a.png", PICTURE), ("b.png", PICTURE), field=FLAGS, value=b"\x01")
    assert read_all(path) == [("a.png", "encrypted"), ("b.png", PICTURE)]


def test_an_archive_inside_an_archive_is_not_opened_whatever_its_name(write_zip):
    inner = write_zip(("a.png", PICTURE)).read_bytes()
    path = write_zip(("inner.zip", inner), ("INNER.ZIP", b""), ("inner.png", inner))
    assert [code for _, code in read_all(path)] == ["nested_zip"] * 3


def test_names_that_collide_are_all_read(write_zip):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(("a.png", PICTURE), ("a.png", b"another"), ("A.PNG", b"third"))
    assert read_all(path) == [("a.png", PICTURE), ("a.png", b"another"), ("A.PNG", b"third")]


@pytest.mark.parametrize(
    ("written", "shown"),
    [("Füße/病変.png".encode(), "Füße/病変.png"), (b"caf\x82.png", "café.png"), (b"caf\xe9.png", "cafΘ.png")],
)
def test_names_without_the_utf8_flag_are_read_as_utf8_or_as_dos_wrote_them(write_zip, written, shown):
    ascii_name = "x" * len(written)
    path = write_zip((ascii_name, PICTURE), replace=[(ascii_name.encode(), written)])
    assert read_all(path) == [(shown, PICTURE)]


def test_names_with_the_utf8_flag_are_read_as_they_are(write_zip):
    assert read_all(write_zip(("Füße/病変.png", PICTURE))) == [("Füße/病変.png", PICTURE)]


def test_names_that_break_their_own_flag_are_a_damaged_archive(write_zip):
    path = write_zip(("aé.png", PICTURE), replace=[("é".encode(), b"\xff\xff")])
    assert read_all(path) == [("", "damaged")]


# Bombs


def test_an_entry_that_inflates_too_far_is_refused_by_its_header(write_zip):
    path = write_zip(("a.png", bytes(30_000_000)), ("b.png", PICTURE))
    assert read_all(path) == [("a.png", "zip_bomb"), ("b.png", PICTURE)]


def test_a_small_entry_may_inflate_far(write_zip):
    assert read_all(write_zip(("black.bmp", bytes(900_000)))) == [("black.bmp", bytes(900_000))]


def test_an_entry_larger_than_any_picture_is_refused(write_zip, monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 100)
    assert read_all(write_zip(("a.png", PICTURE))) == [("a.png", "file_too_large")]


def test_a_header_that_understates_a_bomb_makes_it_damage_and_no_large_memory(write_zip):
    path = write_zip(("a.png", bytes(200_000_000)), field=UNPACKED, value=struct.pack("<I", 10_000))
    tracemalloc.start()
    try:
        assert read_all(path) == [("a.png", "damaged")]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_bytes_are_counted_while_they_are_inflated_whatever_the_directory_says(write_zip, monkeypatch):
    path = write_zip(("a.png", bytes(200_000_000)))
    monkeypatch.setattr(archives, "_refusal", lambda name, entry: None)
    tracemalloc.start()
    try:
        assert read_all(path) == [("a.png", "zip_bomb")]
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", PICTURE * 100)
        archive.filelist += [copy.copy(archive.filelist[0]) for _ in range(50)]
    assert read_all(path) == [("", "zip_bomb")]


def test_an_archive_of_too_many_entries_is_refused(write_zip, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    assert len(read_all(write_zip(*((f"{i}.png", b"") for i in range(3))))) == 3
    assert read_all(write_zip(*((f"{i}.png", b"") for i in range(4)))) == [("", "too_many_entries")]


def test_a_directory_too_large_to_hold_is_refused_before_it_is_read(write_zip, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 5_000)
    assert read_all(write_zip(*((f"{i}.png", b"") for i in range(100)))) == [("", "too_many_entries")]


# Damage


def test_an_entry_with_a_wrong_checksum_is_damaged_and_the_next_one_is_read(write_zip):
    path = write_zip(("a.png", PICTURE), ("b.png", PICTURE), field=CRC, value=b"\0\0\0\0")
    assert read_all(path) == [("a.png", "damaged"), ("b.png", PICTURE)]


def test_garbage_instead_of_compressed_bytes_is_damage(write_zip):
    path = write_zip(("a.png", PICTURE * 20), ("b.png", PICTURE))
    data = bytearray(path.read_bytes())
    data[40:80] = b"\xff" * 40
    path.write_bytes(data)
    assert read_all(path) == [("a.png", "damaged"), ("b.png", PICTURE)]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_an_archive_that_was_cut_off_is_one_damaged_item(write_zip, share):
    path = write_zip(("a.png", PICTURE), ("b.png", PICTURE))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert read_all(path) == [("", "damaged")]


@pytest.mark.parametrize("data", [b"not a zip", bytes(1000), b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_one_damaged_item(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    assert read_all(tmp_path / "a.zip") == [("", "damaged")]


def test_an_archive_that_is_not_there_is_one_unreadable_item(tmp_path):
    assert read_all(tmp_path / "missing.zip") == [("", "unreadable_file")]


def test_any_byte_of_an_archive_may_be_wrong(write_zip):
    path = write_zip(("a.png", PICTURE[:60]), ("sub/b.png", b"b" * 60))
    data = path.read_bytes()
    for position in range(len(data)):
        for value in (0, 0xFF, data[position] ^ 0x55):
            path.write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
            for _, content in read_all(path):
                assert isinstance(content, str | bytes)


# Life


def test_entries_are_read_on_many_threads_after_the_listing_has_ended(write_zip):
    contents = [(f"{i}.png", PICTURE + bytes([i]) * 5_000) for i in range(60)]
    items = list(list_entries(write_zip(*contents), "pictures.zip"))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda item: item.read(), items)) == [content for _, content in contents]


def test_an_archive_is_closed_when_its_last_item_is_forgotten(write_zip, monkeypatch):
    closed = threading.Event()

    class Watched(archives._ArchiveFile):
        def close(self):
            closed.set()
            super().close()

    monkeypatch.setattr(archives, "_ArchiveFile", Watched)
    items = list(list_entries(write_zip(("a.png", PICTURE), ("b.png", PICTURE)), "pictures.zip"))
    assert not closed.is_set()
    assert items[-1].read() == PICTURE
    del items
    assert closed.is_set()


def test_nothing_is_written_to_disk(write_zip, tmp_path, monkeypatch):
    path = write_zip(("sub/a.png", PICTURE), ("../b.png", PICTURE))
    monkeypatch.chdir(tmp_path)
    read_all(path)
    assert [file.name for file in tmp_path.iterdir()] == ["pictures.zip"]
