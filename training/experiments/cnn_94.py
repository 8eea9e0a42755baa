"""A custom CNN for the seven diagnoses on pictures of 94 x 94, from scratch; the default model is its teacher.

    python -m training.train cnn_94

Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, MINUTES minutes.
Score: SCORE
The table of short runs in training/README.md has an earlier recipe: HAM10000 alone, no teacher, four epochs of 3,500
pictures.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_94",
    network="cnn_94",
    collections=("ham10000", "isic2017"),
    stages=(Stage(size=94, epochs=12),),
    input_size=94,
    start="random",
    teacher="mobilenet_v2",
    hidden_units=128,
    peak_learning_rate=2e-3,
    warmup_steps=200,
    weight_average=0.99,
    batch_size=64,
)
