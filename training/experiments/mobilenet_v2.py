"""MobileNetV2, small enough for two CPU cores, on pictures of two collections, varied as other cameras would.

    python -m training.train mobilenet_v2_ham10000 --weights runs/weights
    python -m training.train mobilenet_v2 --name mobilenet_v2_cameras --weights runs/weights

It was the default until `mobilenet_v2_distilled` went on from it, and makes two thirds of the present one.
The second command goes on from the first one's best weights, with pictures of other cameras and stronger variation.
Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 96 minutes after the first's 85.
Score: validation BACC 0.753 over both collections (HAM10000 0.759, ISIC 2017 0.635); test BACC 0.781 (0.740 to
0.819) on HAM10000, 0.556 (0.506 to 0.604) on ISIC 2017, both at equal priors.
"""

from training.experiment import Augmentation, Experiment, Stage

EXPERIMENT = Experiment(
    name="mobilenet_v2",
    network="mobilenet_v2",
    collections=("ham10000", "isic2017"),
    collection_shares=(0.72, 0.28),
    start="runs/mobilenet_v2_ham10000",
    stages=(Stage(size=160, epochs=8), Stage(size=224, epochs=6)),
    input_size=224,
    peak_learning_rate=4e-4,
    augmentation=Augmentation(
        zoom=(0.7, 1.5),
        gamma=0.25,
        channel_gain=0.12,
        rim=0.2,
        hair=0.15,
        ink=0.06,
        ruler=0.08,
        bubbles=0.06,
        grey_world=0.15,
        illumination=0.2,
    ),
)
