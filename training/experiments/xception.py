"""Xception: the head first, then all layers.

    python -m training.train xception

Short form, which is what was trained here:

    python -m training.train xception --stages.0.epochs 1 --stages.0.size 96 \
        --stages.1.epochs 2 --stages.1.size 96 --stages.2.epochs 0 --input-size 96 \
        --epoch-pictures 1500 --weight-average 0.97

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 6 minutes.
Score of it: validation BACC 0.288;
test BACC 0.289 (0.239 to 0.343) at equal priors, macro AUROC 0.736 (0.709 to 0.761),
malignant AUROC 0.707 (0.669 to 0.743).
The recipe below is meant for a faster machine and was not run in full.
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
