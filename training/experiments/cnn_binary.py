"""Benign or malignant by a Sequential CNN of convolution, pooling and dense layers, from scratch.

    python -m training.train cnn_binary

TO BE FILLED
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_binary",
    network="cnn_binary",
    task="malignancy",
    stages=(Stage(size=96, epochs=40),),
    input_size=96,
    start="random",
    hidden_units=128,
    peak_learning_rate=2e-3,
    batch_size=64,
)
