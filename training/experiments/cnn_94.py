"""A custom CNN for the seven diagnoses on pictures of 94 x 94, from scratch.

    python -m training.train cnn_94

Short form, which is what was trained here:

    python -m training.train cnn_94 --stages.0.epochs 4 --epoch-pictures 3500 --weight-average 0.98

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 14 minutes.
Score of it: validation BACC 0.255;
test BACC 0.379 (0.329 to 0.419) at equal priors, macro AUROC 0.800 (0.768 to 0.827),
malignant AUROC 0.729 (0.695 to 0.766).
The recipe below is meant for a faster machine and was not run in full.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_94",
    network="cnn_94",
    collections=("ham10000", "isic2017"),
    stages=(Stage(size=94, epochs=14),),
    input_size=94,
    start="random",
    hidden_units=128,
    teacher="mobilenet_v2",
    batch_size=64,
    peak_learning_rate=2e-3,
    warmup_steps=200,
    weight_average=0.99,
    precision="mixed_bfloat16",
)
