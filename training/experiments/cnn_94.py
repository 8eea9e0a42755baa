"""A custom CNN for the seven diagnoses on pictures of 94 x 94, from scratch, taught by the default model as well.

    python -m training.train cnn_94

Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 22 minutes.
Score: best at epoch 13 of 14, validation BACC 0.574 over both collections (HAM10000 0.584, ISIC 2017 0.433); test BACC
0.602 (0.550 to 0.653) on HAM10000, 0.380 (0.332 to 0.429) on ISIC 2017, all at equal priors.
A short run before, on HAM10000 alone, without teacher, of 14,000 pictures, reached test BACC 0.379.
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
