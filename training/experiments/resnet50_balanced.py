"""Benign or malignant on a class-balanced set, ResNet50, with dropout, early stopping and augmentation.

    python -m training.train resnet50_balanced

Short form, which is what was trained here:

    python -m training.train resnet50_balanced --stages.0.size 96 --stages.0.epochs 5 --stages.1.epochs 0 \
        --input-size 96 --weight-average 0.98

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 19 minutes.
Score of it: validation BACC 0.817;
test BACC 0.775 (0.747 to 0.801) at equal priors, AUROC 0.861 (0.835 to 0.885).
The recipe below is meant for a faster machine and was not run in full.
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
