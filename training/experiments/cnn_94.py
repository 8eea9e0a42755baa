"""A custom CNN for the seven diagnoses on pictures of 94 x 94, from scratch.

    python -m training.train cnn_94

TO BE FILLED
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_94",
    network="cnn_94",
    stages=(Stage(size=94, epochs=40),),
    input_size=94,
    start="random",
    hidden_units=128,
    peak_learning_rate=2e-3,
    batch_size=64,
)
