import numpy as np
from PIL import Image

from skin_gradio.images import read_picture
from skin_gradio.ui.examples import EXAMPLES, write_examples


def test_the_drawings_are_the_same_every_time(tmp_path):
    first, second = write_examples(tmp_path / "a"), write_examples(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_every_drawing_can_be_read_and_differs_from_the_others(tmp_path):
    squares = [read_picture(path.read_bytes()).resized(64).astype(int) for path in write_examples(tmp_path)]
    assert len(squares) == len(EXAMPLES) >= 3
    for i, square in enumerate(squares):
        assert all(np.abs(square - other).mean() > 3 for other in squares[:i])


def test_a_drawing_shows_a_darker_spot_on_skin(tmp_path):
    for path in write_examples(tmp_path):
        pixels = np.asarray(Image.open(path).convert("L"), float)
        height, width = pixels.shape
        middle = pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
        assert middle.mean() < pixels[:, : width // 8].mean()


def test_captions_claim_no_diagnosis():
    captions = " ".join(str(example.caption).lower() for example in EXAMPLES)
    assert not any(word in captions for word in ("melanoma", "nevus", "carcinoma", "benign", "keratosis"))
