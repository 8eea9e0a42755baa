"""MobileNetV2 on HAM10000 alone: what the default model goes on from, and what it is compared with.

    python -m training.train mobilenet_v2_ham10000

Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 85 minutes.
Score: validation BACC 0.767; test BACC 0.768 (0.723 to 0.807) at equal priors, macro AUROC 0.949, ECE 0.029.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="mobilenet_v2_ham10000",
    network="mobilenet_v2",
    stages=(Stage(size=128, epochs=6), Stage(size=160, epochs=8), Stage(size=224, epochs=5)),
    input_size=224,
)
