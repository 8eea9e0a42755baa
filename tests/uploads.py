"""Files as the page finds them after an upload."""

from PIL import Image

from skin_gradio.ui.dropzone import Upload
from tests.pictures import encoded


def picture_bytes(value=200):
    """The file of a small grey picture; its brightness decides what the tests' engines say."""
    return encoded(Image.new("RGB", (60, 40), (value, value, value)), "PNG")


def saved(folder, name, data):
    """An upload of that name with these bytes."""
    (folder / name).write_bytes(data)
    return Upload(folder / name, name)


def upload_folder(tmp_path, monkeypatch):
    """An empty folder that Gradio takes for the one it keeps uploads in."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder
