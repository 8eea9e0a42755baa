"""Generated answer sheets and collections that the tests of measuring share."""

import numpy as np
import pandas as pd
from PIL import Image

from skin_gradio import lesions
from training.collection import Collection
from training.measure import Sheet

PRIOR = np.array([0.05, 0.05, 0.1, 0.05, 0.1, 0.6, 0.05])


def sheet(count=300, seed=0, labels=None, skill=2.0):
    """Answers that are better than chance, two pictures a lesion, for the mix PRIOR."""
    rng = np.random.default_rng(seed)
    lesion_labels = rng.choice(7, count // 2, p=PRIOR) if labels is None else labels
    labels = np.repeat(lesion_labels, 2)
    logits = rng.normal(0, 1, (len(labels), 7)) + skill * np.eye(7)[labels] + np.log(PRIOR)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    groups = np.repeat([f"lesion {i}" for i in range(len(lesion_labels))], 2)
    return Sheet(lesions.CODES, PRIOR, labels, probabilities, groups, (0.2, 0.1), ((0.9, 0.2),))


def table(answers, **columns):
    """The table that a sheet could come from."""
    labels = [answers.codes[label] for label in answers.labels]
    images = [f"picture_{i:04d}" for i in range(len(labels))]
    return pd.DataFrame({"image": images, "label": labels, "group": answers.groups, "split": "test", **columns})


def collection(folder, name="ham10000", labels=lesions.CODES, each=2, split="test", classes=None):
    """Solid-coloured pictures of 40 x 40 pixels on disk."""
    rng = np.random.default_rng(len(labels))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for label in labels:
        for number in range(each):
            path = folder / f"{label}_{number}.png"
            Image.fromarray(np.full((40, 40, 3), rng.integers(30, 220, 3), np.uint8)).save(path)
            rows.append((path.stem, path, label, f"{label} lesion {number}", split, ("male", "female")[number % 2]))
    frame = pd.DataFrame(rows, columns=["image", "path", "label", "group", "split", "sex"])
    return Collection(name, name.upper(), frame, tuple(classes or labels))
