import numpy as np
import pytest
from PIL import Image

from skin_gradio import lesions
from training import robustness


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    small = rng.integers(60, 200, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", robustness.CHANGES)
def test_a_change_keeps_the_size_and_leaves_the_original_alone(name, picture):
    before = picture.copy()
    picture.flags.writeable = False
    changed = robustness.CHANGES[name](picture)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert (picture == before).all()
    assert (changed != picture).any() == (name != "as it is")


def test_the_summary_counts_rare_pictures_that_became_nevi():
    codes = lesions.CODES
    labels = np.array([codes.index(code) for code in ("bcc", "df", "vasc", "vasc", "nv", "mel")])
    as_nevi = labels.copy()
    as_nevi[:2] = codes.index("nv")
    table = robustness.summary(codes, labels, {"as it is": labels, "round dark rim": as_nevi}).set_index("change")
    assert table.loc["as it is"].tolist() == [1.0, 1.0, 0.0, 0.0]
    rim = table.loc["round dark rim"]
    assert rim["rare_called_nv"] == pytest.approx(2 / 4)
    assert rim["rare_recall"] == pytest.approx(1 / 3)  # bcc and df lost, vasc kept
    assert rim["balanced_accuracy"] == pytest.approx(3 / 5)
    assert rim["other_answer"] == pytest.approx(2 / 6)


def test_the_table_has_a_line_for_each_change_and_a_column_for_each_figure_of_a_model():
    labels = np.arange(7)
    found = robustness.summary(lesions.CODES, labels, dict.fromkeys(robustness.CHANGES, labels))
    lines = robustness.as_markdown({"one": found, "two": found}).splitlines()
    assert len(lines) == 2 + len(robustness.CHANGES)
    assert lines[0].count("|") == lines[2].count("|") == 2 + 2 * 3
