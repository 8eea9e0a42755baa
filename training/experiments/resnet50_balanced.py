"""Benign or malignant on a class-balanced set, ResNet50, with dropout, early stopping and augmentation.

    python -m training.train resnet50_balanced

TO BE FILLED
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="resnet50_balanced",
    network="resnet50",
    task="malignancy",
    balance=True,
    stages=(Stage(size=160, epochs=12), Stage(size=224, epochs=8)),
    input_size=224,
    epoch_pictures=2700,
    sampling_power=1.0,
    logit_adjustment=False,
    hidden_units=256,
    dropout=0.5,
    patience=4,
    best_metric="accuracy",
)
