"""Benign or malignant by a Sequential CNN of convolution, pooling and dense layers, from scratch.

    python -m training.train cnn_binary

Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 16 minutes.
Score: best at epoch 18 of 18, validation BACC 0.772 over both collections (HAM10000 0.793, ISIC 2017 0.650); test BACC
0.778 (0.748 to 0.808) on HAM10000, 0.606 (0.558 to 0.652) on ISIC 2017, both at equal priors, AUROC 0.862 and 0.637.
A shorter run before, on HAM10000 alone, of eight epochs, reached test BACC 0.773 and AUROC 0.852.
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
