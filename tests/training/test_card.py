import pytest

from training import card


def test_marked_text_is_replaced_and_the_rest_stays(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    for text in ("first", "second"):
        card.replace_marked(readme, "figures", text)
    assert readme.read_text() == "before\n<!-- figures: begin -->\n\nsecond\n\n<!-- figures: end -->\nafter\n"


def test_a_readme_without_marks_is_an_error_and_stays_as_it_is(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing here")
    with pytest.raises(ValueError, match="lacks the marks"):
        card.replace_marked(readme, "figures", "text")
    assert readme.read_text() == "nothing here"
