"""What leaking splits claim: ResNet50 on small pictures without any variation, which it can learn by heart.

    python -m training.train resnet50_leak
    python -m training.train resnet50_leak --split image --name resnet50_leak_image
    python -m training.train resnet50_leak --split copies --name resnet50_leak_copies

The second and third put the same lesion, or the very same file, into training and validation; beside their claim the
command says what the weights reach on the test part.
Hardware and duration: two busy CPU cores, TensorFlow backend, 13 to 18 minutes each.
Score: validation BACC 0.812, 0.814 and 0.886; test BACC 0.811, 0.805 and 0.818.
"""

from training.experiment import Augmentation, Experiment, Stage

EXPERIMENT = Experiment(
    name="resnet50_leak",
    network="resnet50",
    task="malignancy",
    balance=True,
    stages=(Stage(size=64, epochs=6),),
    input_size=64,
    epoch_pictures=2700,
    sampling_power=1.0,
    logit_adjustment=False,
    label_smoothing=0.0,
    hidden_units=256,
    dropout=0.0,
    weight_average=0.98,
    warmup_steps=100,
    best_metric="accuracy",
    augmentation=Augmentation(
        rotate=False,
        zoom=(1.0, 1.0),
        stretch=0.0,
        shift=0.0,
        brightness=0.0,
        contrast=0.0,
        gamma=0.0,
        saturation=0.0,
        channel_gain=0.0,
        blur=0.0,
        sharpen=0.0,
        resample=0.0,
        jpeg=0.0,
        noise=0.0,
        rim=0.0,
        hair=0.0,
    ),
)
