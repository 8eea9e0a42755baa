"""Benign or malignant by a Sequential CNN of convolution, pooling and dense layers, from scratch.

    python -m training.train cnn_binary

Short form, which is what was trained here:

    python -m training.train cnn_binary --stages.0.epochs 8 --weight-average 0.99

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 17 minutes.
Score of it: validation BACC 0.785;
test BACC 0.773 (0.742 to 0.801) at equal priors, AUROC 0.852 (0.825 to 0.876).
The recipe below is meant for a faster machine and was not run in full.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="cnn_binary",
    network="cnn_binary",
    task="malignancy",
    collections=("ham10000", "isic2017"),
    stages=(Stage(size=96, epochs=18),),
    input_size=96,
    start="random",
    hidden_units=128,
    batch_size=64,
    peak_learning_rate=2e-3,
    warmup_steps=200,
    weight_average=0.99,
    precision="mixed_bfloat16",
)
