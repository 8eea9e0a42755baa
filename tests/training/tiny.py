"""A tiny network, data set and experiment, so that training tests take seconds."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skin_gradio import lesions
from training.experiment import Augmentation, Experiment, Stage

EXPERIMENT = Experiment(
    name="tiny",
    network="tiny",
    stages=(Stage(size=24, epochs=2), Stage(size=32, epochs=2)),
    input_size=32,
    epoch_pictures=64,
    batch_size=16,
    start="random",
    peak_learning_rate=5e-3,
    warmup_steps=4,
    weight_average=0.8,
    augmentation=Augmentation(hair=0.3, rim=0.3),
)


RECORD = {
    "data_fingerprint": "generated",
    "collections": ["HAM10000"],
    "epochs_run": 1,
    "best_epoch": 1,
    "validation_balanced_accuracy": 0.5,
    "seconds": 60.0,
    "hardware": "2 CPU cores",
    "history": [],
}
"""What a run's record says, as `export_folder` wants it."""


def answers(rng):
    """Logits of a model that is mostly right on twenty pictures of each diagnosis, and their labels."""
    labels = np.repeat(np.arange(7), 20)
    return 2 * np.eye(7)[labels] + rng.normal(0, 1, (140, 7)), labels


@dataclass(frozen=True)
class TinyBackbone:
    """Two convolutions that stand for a network without its top."""

    scale: float = 1 / 127.5
    offset: float = -1.0
    blue_first: bool = False
    branch: int | None = None

    def build(self, weights):
        import keras

        pictures = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(pictures)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
        return keras.Model(pictures, x)


@dataclass(frozen=True)
class ResidualBackbone(TinyBackbone):
    """Three convolutions, two of them residual branches."""

    branch: int | None = 1

    def build(self, weights):
        import keras

        pictures = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(pictures)
        for _ in range(2):
            x = keras.layers.Add()([x, keras.layers.Conv2D(6, 3, padding="same", bias_initializer="ones")(x)])
        return keras.Model(pictures, x)


def data(per_class=12, side=40, seed=0):
    """Pictures whose colour tells the class, more or less: uint8 (n, side, side, 3) and int labels."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(60, 200, (len(lesions.CODES), 3))
    labels = np.repeat(np.arange(len(lesions.CODES)), per_class)
    noise = rng.normal(0, 20, (len(labels), side, side, 3))
    return np.clip(colours[labels][:, None, None] + noise, 0, 255).astype(np.uint8), labels


def examples(per_class=12, seed=0):
    from training.batches import Examples

    pictures, labels = data(per_class, seed=seed)
    return Examples(list(pictures), labels, np.zeros_like(labels), np.ones((1, len(lesions.CODES)), bool))


def train(folder, experiment=EXPERIMENT, learnt=None, **options):
    from training import networks
    from training.fit import fit

    networks.BACKBONES |= {"tiny": TinyBackbone(), "residual": ResidualBackbone()}
    learnt = learnt or examples()
    return fit(experiment, lesions.CODES, learnt, {"tiny": examples(6)}, Path(folder), "generated", **options)


def build(hidden_units=0):
    """An untrained model whose batch normalisation and head are not trivial."""
    import keras

    from training import networks

    networks.BACKBONES["tiny"] = TinyBackbone()
    keras.utils.set_random_seed(3)
    model = networks.build("tiny", len(lesions.CODES), hidden_units, 0.2, "random")
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if layer.name in ("normalise", "hidden", "logits"):
            layer.set_weights(
                [rng.uniform(0.3, 1.0, w.shape) - 0.5 * (layer.name != "normalise") for w in layer.weights]
            )
    return model


if __name__ == "__main__":
    import sys

    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    train(sys.argv[1])
