"""Every plot draws what was measured, also where a collection tells little."""

import numpy as np
import pytest

from training import curves, measure, plots
from training.subgroups import subgroups

from . import answered


def measured(labels=None, binary=False, **columns):
    answers = answered.sheet(240, labels=labels)
    answers = answers.binary() if binary else answers
    figures = measure.measure(answers, repeats=5)
    figures["reliability"] = curves.reliability(answers, 5)
    figures["subgroups"] = subgroups(answers, answered.table(answers, **columns), 5)
    return figures, curves.curves(answers, 5)


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("labels", [None, np.tile([2, 4, 5], 40), np.full(40, 5)])
@pytest.mark.parametrize("binary", [False, True])
def test_every_plot_can_be_drawn_of_whole_partial_one_class_and_binary_collections(labels, binary):
    figures, drawn = measured(labels, binary)
    for figure in (
        plots.roc(figures, drawn, ["sensitivity 90%"]),
        plots.precision_recall(figures, drawn),
        plots.reliability(figures),
        plots.confusion(figures),
    ):
        figure.canvas.draw()
        assert len(figure.axes) >= 2


def test_a_plot_names_its_axes_and_the_measured_values():
    figures, drawn = measured()
    shown = texts(plots.roc(figures, drawn, ["sensitivity 90%"]))
    assert "Sensitivity" in shown
    assert any(f"AUROC {figures['figures']['malignant_auroc']['value']:.3f}" in text for text in shown)
    assert any("sensitivity 90%" in text for text in shown)


def test_the_confusion_plot_shows_every_count():
    figures, _ = measured()
    shown = texts(plots.confusion(figures))
    count = figures["confusion_matrix"]["equal"][5][5]
    assert any(text.startswith(f"{count}\n") for text in shown)
    assert f"nv ({figures['counts']['nv']})" in shown


def test_only_subgroups_with_figures_are_drawn():
    site = np.where(np.arange(240) < 10, "ear", "back")
    figures, _ = measured(site=site)
    shown = texts(plots.subgroups(figures))
    assert "back (230)" in shown
    assert not any("ear" in text.split() for text in shown)
    assert plots.subgroups({**figures, "subgroups": {}}) is None


def test_learning_curves_mark_stages_and_the_best_epoch():
    history = [
        {"epoch": e, "size": 128 if e < 3 else 224, "loss": 1 / e, "validation_balanced_accuracy": 0.5}
        for e in (1, 2, 3)
    ]
    shown = texts(plots.learning_curves(history, 2))
    assert {"128 px", "224 px", "Best epoch, 2", "Training loss"} <= set(shown)
    assert plots.learning_curves([]) is None


def test_the_same_figures_give_the_same_file():
    figures, _ = measured()
    first, again = (plots.svg(plots.confusion(figures)) for _ in range(2))
    assert first == again
    assert first.startswith("<?xml")
