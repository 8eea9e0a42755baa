"""A small data set of drawings on disk, in the layout of `training.own`: pictures and a CSV with lesions.

The classes have made-up looks that say nothing about real diagnoses. They are easy to tell apart but for mel and nv, so
that a network learns most in seconds and still has something to be unsure of.
"""

import csv
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

COUNTS = {"akiec": 16, "bcc": 18, "bkl": 20, "df": 14, "mel": 20, "nv": 44, "vasc": 14}
"""Pictures of each class."""
SIDE = 96
_LOOKS = {
    # colour of the spot, its length over its width, teeth of its border, dark dots in it
    "akiec": ((205, 105, 90), 1.3, 0.00, 0),
    "bcc": ((225, 150, 200), 1.0, 0.00, 3),
    "bkl": ((165, 125, 60), 1.6, 0.12, 12),
    "df": ((120, 150, 110), 1.0, 0.00, 0),
    "mel": ((80, 50, 45), 1.3, 0.09, 0),
    "nv": ((110, 65, 40), 1.1, 0.05, 0),
    "vasc": ((150, 15, 45), 1.0, 0.08, 0),
}


def write_data(folder: Path, seed: int = 0, counts: dict[str, int] = COUNTS) -> Path:
    """Write pictures and `labels.csv`, one to three pictures a lesion; return the CSV's path."""
    rng = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for code, count in counts.items():
        lesion, left = 0, 0
        for number in range(count):
            if not left:
                lesion, left = lesion + 1, int(rng.integers(1, 4))
                look, sex, age = _Lesion(code, rng), rng.choice(["female", "male"]), int(rng.integers(4, 17)) * 5
            name = f"{code}_{number:02d}.png"
            Image.fromarray(look.draw(rng)).save(folder / "pictures" / name)
            rows.append((f"pictures/{name}", code, f"{code} lesion {lesion}", sex, age))
            left -= 1
    path = folder / "labels.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([("image", "label", "group", "sex", "age"), *rows])
    return path


class _Lesion:
    """A spot on skin; its pictures differ in place, angle, light and noise."""

    def __init__(self, code, rng):
        colour, self.stretch, self.teeth, self.dots = _LOOKS[code]
        self.skin = np.array([225, 180, 155]) * rng.uniform(0.8, 1.05) + rng.normal(0, 5, 3)
        self.colour = np.array(colour) + rng.normal(0, 10, 3)
        self.radius = rng.uniform(0.2, 0.28) * SIDE
        self.border = rng.uniform(0, 2 * np.pi, 3)

    def draw(self, rng):
        """Return one picture of the lesion, uint8 (SIDE, SIDE, 3)."""
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        waves = sum(np.sin(k * angles + phase) for k, phase in zip((3, 5, 8), self.border, strict=True))
        radius = self.radius * (1 + self.teeth * waves)
        turn, centre = rng.uniform(0, 2 * np.pi), SIDE / 2 + rng.uniform(-6, 6, 2)
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shape = np.stack([np.cos(angles) * self.stretch**0.5, np.sin(angles) / self.stretch**0.5]) * radius
        picture = np.tile(self.skin, (SIDE, SIDE, 1)).astype(np.float32)
        cv2.fillPoly(picture, [np.int32(turned @ shape + centre[:, None]).T], self.colour.tolist())
        for _ in range(self.dots):
            place = np.int32(centre + rng.uniform(-0.5, 0.5, 2) * self.radius)
            cv2.circle(picture, place.tolist(), 2, (self.colour * 0.5).tolist(), -1)
        picture = cv2.GaussianBlur(picture, (0, 0), 1.2) * rng.uniform(0.9, 1.08) + rng.normal(0, 5, picture.shape)
        return np.clip(picture, 0, 255).astype(np.uint8)
