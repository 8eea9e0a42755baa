"""Xception: the head first, then all layers.

    python -m training.train xception

TO BE FILLED
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="xception",
    network="xception",
    stages=(
        Stage(size=192, epochs=2, trains="head", peak_learning_rate=1e-3),
        Stage(size=192, epochs=12),
        Stage(size=299, epochs=8),
    ),
    input_size=299,
    hidden_units=256,
    dropout=0.4,
    peak_learning_rate=3e-4,
)
