"""Benign or malignant by a Sequential CNN of convolution, pooling and dense layers, from scratch.

    python -m training.train cnn_binary

Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, MINUTES minutes.
Score: SCORE
The table of short runs in training/README.md has an earlier recipe: HAM10000 alone, eight epochs.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_binary",
    network="cnn_binary",
    task="malignancy",
    collections=("ham10000", "isic2017"),
    stages=(Stage(size=96, epochs=12),),
    input_size=96,
    start="random",
    hidden_units=128,
    peak_learning_rate=2e-3,
    warmup_steps=200,
    weight_average=0.99,
    batch_size=64,
)
