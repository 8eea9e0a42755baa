"""Finds pictures that show one lesion twice, by content, where no lesion ids are known.

Two pictures are near-duplicates where one similarity transform - a turn by any angle, a shift, a change of scale, a
mirror image - lays many distinctive points of one onto their matches in the other: SIFT keypoints (Lowe, IJCV 60, 2004,
with the square root of Arandjelovic & Zisserman, CVPR 2012) and RANSAC. That finds copies that were turned, mirrored,
cropped, rescaled, recompressed or recoloured, and second photographs of a lesion too.

Points along one straight line do not count: the rulers of a camera match each other perfectly. To compare every pair
this way would take hours. So candidates are named first, by thumbnails under the eight flips and turns and by votes:
each of the strongest points of a picture names the pictures that hold its nearest neighbours.

Where lesions are known, in HAM10000 at 256 px, four points are in common to 535 of 600 random pairs of pictures of one
lesion, to 17 of the 18 pairs known to show one lesion under two ids, and to none of 3,999 pairs of different lesions.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from training.collection import read_training_picture

LEAST_POINTS = 4
"""Points in common from which two pictures count as near-duplicates; `training.isic2017` tells what was looked at."""
SIDE = 256
KEYPOINTS = 300
# Noise in a flat picture has keypoints too; SIFT's usual contrast of 0.04 leaves pale lesions with hardly any.
CONTRAST = 0.01
RATIO = 0.85  # Lowe's test: the nearest match must be that much nearer than the second
TOLERANCE = 4.0  # pixels of SIDE
LINE_WIDTH = 6.0  # pixels of SIDE on both sides of a line, as the ticks of a ruler need
SCALES = (0.4, 2.5)
THUMBNAIL_SIDE = 32
THUMBNAIL_BLURS = (0.0, 2.0, 4.0)  # what is left after subtracting a blur: all, fine detail, coarse detail
NEIGHBOURS = 10
VOTING_KEYPOINTS = 64
VOTING_DIMENSIONS = 32
LEAST_VOTES = 4
BLOCK = 256  # pictures compared at once, which bounds the memory


@dataclass(frozen=True)
class Features:
    """What is compared of n pictures; some 47 kB a picture.

    `thumbnails` float16 (n, kinds, 32, 32), zero mean and unit length each; `points` per picture float32 (k, 2), x and
    y in pixels of the 256 px square, strongest first; `descriptors` per picture uint8 (k, 128).
    """

    thumbnails: np.ndarray
    points: list[np.ndarray]
    descriptors: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.points)


def describe(paths: Sequence[Path]) -> Features:
    """Return the features of pictures, read as uploads are.

    Raises DatasetError that names a picture which cannot be read.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _together(pool.map(lambda path: _features(read_training_picture(path).resized(SIDE)), paths))


def describe_pictures(pictures: Iterable[np.ndarray]) -> Features:
    """Return the features of decoded pictures, uint8 (256, 256, 3) RGB each."""
    return _together(map(_features, pictures))


def find_pairs(
    features: Features, others: Features | None = None, least: int = LEAST_POINTS, votes: bool = True
) -> pd.DataFrame:
    """Return the near-duplicates as `first`, `second` (positions) and `points`, most points first.

    Args:
        features: of the pictures.
        others: where given, each picture is compared with these instead of with its own collection.
        least: points in common, at least.
        votes: also take candidates from votes of keypoints. Without them copies are found, and some second photographs
            of a lesion: in ISIC 2017 66 of 107 pairs. With them the time grows with the square of the pictures:
            for 2,500 pictures some four minutes of one core.
    """
    second = features if others is None else others
    candidates = set(_alike_thumbnails(features, others))
    if votes:
        candidates |= {(a, b, False) for a, b in _voted(features, others)}
    rows = []
    for a, b, mirrored in sorted(candidates):
        count = points_in_common(features, a, second, b, mirrored, least)
        if count >= least:
            rows.append((a, b, count))
    table = pd.DataFrame(rows, columns=["first", "second", "points"]).astype(int)
    table = table.sort_values(["points", "first", "second"], ascending=[False, True, True])
    return table.drop_duplicates(["first", "second"], ignore_index=True)


def join(names: Sequence[str], pairs: pd.DataFrame) -> list[str]:
    """Return each name's group after joining the pairs of positions: the smallest name that it is connected with.

    Equal names are one group from the start.
    """
    root = {name: name for name in names}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for first, second in zip(pairs["first"], pairs["second"], strict=True):
        low, high = sorted((find(names[first]), find(names[second])))
        root[high] = low
    return [find(name) for name in names]


def points_in_common(first: Features, a: int, second: Features, b: int, mirrored: bool = False, least: int = 3) -> int:
    """Return how many points of picture `a` a similarity transform lays onto their matches in picture `b`.

    Points within three pixels of each other count once, and those on the straight line that holds most of them not at
    all. With `mirrored`, `a` is taken as its mirror image. What cannot reach `least` gives 0 without a closer look.
    """
    from_points, from_values = first.points[a], first.descriptors[a]
    to_points, to_values = second.points[b], second.descriptors[b]
    if min(len(from_points), len(to_points)) < least + 2:
        return 0
    if mirrored:
        from_points, from_values = _mirror_points(from_points), _mirror_descriptors(from_values)
    matched = _matches(_unit(from_values), _unit(to_values))
    # A straight line can be laid through any two points.
    if len(matched) < least + 2:
        return 0
    cv2.setRNGSeed(1)
    source, target = from_points[matched[:, 0]], to_points[matched[:, 1]]
    transform, fits = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=500
    )
    if transform is None or not SCALES[0] < np.hypot(transform[0, 0], transform[1, 0]) < SCALES[1]:
        return 0
    fitting = fits.ravel() > 0
    # Counted in both pictures: a transform that shrinks may heap many points onto a few.
    return min(_off_the_line(source[fitting]), _off_the_line(target[fitting]))


def _features(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    found, values = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    order = np.argsort([-keypoint.response for keypoint in found], kind="stable")[:KEYPOINTS].astype(int)
    points = np.array([found[place].pt for place in order], np.float32).reshape(-1, 2)
    values = np.zeros((0, 128), np.float32) if values is None else values[order]
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-6)
    return _thumbnails(grey), points, np.round(255 * np.sqrt(shares)).astype(np.uint8)


def _together(features: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Features:
    rows = list(features)
    shape = (-1, len(THUMBNAIL_BLURS), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnails = np.array([row[0] for row in rows], np.float16).reshape(shape)
    return Features(thumbnails, [row[1] for row in rows], [row[2] for row in rows])


def _thumbnails(grey: np.ndarray) -> np.ndarray:
    small = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    kinds = np.stack([small - cv2.GaussianBlur(small, (0, 0), blur) if blur else small for blur in THUMBNAIL_BLURS])
    kinds -= kinds.mean(axis=(1, 2), keepdims=True)
    return (kinds / np.maximum(np.linalg.norm(kinds, axis=(1, 2), keepdims=True), 1e-6)).astype(np.float16)


def _alike_thumbnails(first: Features, others: Features | None) -> Iterator[tuple[int, int, bool]]:
    """Yield for each picture those whose thumbnails correlate most with one of its turns, and whether mirrored."""
    second = first if others is None else others
    count = min(NEIGHBOURS, len(second) - (others is None))
    if count < 1:
        return
    for kind in range(len(THUMBNAIL_BLURS)):
        targets = second.thumbnails[:, kind].reshape(len(second), -1).astype(np.float32)
        for start in range(0, len(first), BLOCK):
            thumbnails = first.thumbnails[start : start + BLOCK, kind].astype(np.float32)
            for mirrored in (False, True):
                views = thumbnails[:, :, ::-1] if mirrored else thumbnails
                turned = [np.rot90(views, quarter, (1, 2)).reshape(len(views), -1) for quarter in range(4)]
                alike = np.max([view @ targets.T for view in turned], axis=0)
                rows = np.arange(len(views))
                if others is None:
                    alike[rows, start + rows] = -2
                nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
                for row, places in zip(start + rows, nearest, strict=True):
                    for place in places:
                        yield (*_ordered(int(row), int(place), others is None), mirrored)


def _voted(first: Features, others: Features | None) -> Iterator[tuple[int, int]]:
    """Yield the pairs where a picture's points name the other among the NEIGHBOURS pictures nearest to them."""
    second = first if others is None else others
    count = min(NEIGHBOURS, len(second) - (others is None))
    if count < 1:
        return
    basis = _principal_directions(first)
    queries, targets = _voting_descriptors(first, basis), _voting_descriptors(second, basis)
    pairs, votes = [], []
    step = 16
    for start in range(0, len(first), step):
        query = queries[start : start + step].reshape(-1, VOTING_DIMENSIONS)
        pictures = len(query) // VOTING_KEYPOINTS
        nearest = np.concatenate(
            [
                (query @ block.reshape(-1, VOTING_DIMENSIONS).T).reshape(len(query), -1, VOTING_KEYPOINTS).max(axis=2)
                for block in (targets[low : low + BLOCK] for low in range(0, len(targets), BLOCK))
            ],
            axis=1,
        )
        nearest = nearest.reshape(pictures, VOTING_KEYPOINTS, len(second))
        if others is None:
            nearest[np.arange(pictures), :, start + np.arange(pictures)] = -2
        named = nearest >= np.partition(nearest, len(second) - count, axis=2)[:, :, len(second) - count, None]
        named &= query.any(axis=1).reshape(pictures, VOTING_KEYPOINTS, 1)
        number = named.sum(axis=1)
        rows, places = np.nonzero(number)
        ends = np.stack([start + rows, places], axis=1)
        pairs.append(np.sort(ends, axis=1) if others is None else ends)
        votes.append(number[rows, places])
    distinct, which = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    # Within a collection both pictures of a pair vote, across two collections only one does.
    enough = np.bincount(which.ravel(), np.concatenate(votes)) >= (LEAST_VOTES if others is None else LEAST_VOTES // 2)
    yield from map(tuple, distinct[enough].tolist())


def _ordered(a: int, b: int, within: bool) -> tuple[int, int]:
    return (b, a) if within and b < a else (a, b)


def _principal_directions(features: Features) -> np.ndarray:
    """Return float32 (128, VOTING_DIMENSIONS): the directions in which the pictures' descriptors vary most."""
    covariance = np.zeros((128, 128))
    for values in features.descriptors:
        unit = _unit(values[:VOTING_KEYPOINTS]).astype(np.float64)
        covariance += unit.T @ unit
    return np.linalg.eigh(covariance)[1][:, -VOTING_DIMENSIONS - 1 : -1].astype(np.float32)


def _voting_descriptors(features: Features, basis: np.ndarray) -> np.ndarray:
    """Return float32 (n, VOTING_KEYPOINTS, VOTING_DIMENSIONS), unit length; zeros where a picture has fewer points."""
    result = np.zeros((len(features), VOTING_KEYPOINTS, VOTING_DIMENSIONS), np.float32)
    for place, values in enumerate(features.descriptors):
        projected = _unit(values[:VOTING_KEYPOINTS]) @ basis
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        result[place, : len(projected)] = projected / np.maximum(lengths, 1e-6)
    return result


def _unit(values: np.ndarray) -> np.ndarray:
    floats = values.astype(np.float32)
    return floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-6)


def _matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return int (m, 2): the points that are each other's nearest and pass Lowe's test."""
    alike = first @ second.T
    nearest, back = alike.argmax(axis=1), alike.argmax(axis=0)
    rows = np.arange(len(first))
    best = alike[rows, nearest]
    alike[rows, nearest] = -1
    # Unit vectors: the squared distance is 2 - 2 * cosine.
    passed = (back[nearest] == rows) & (1 - best < RATIO**2 * (1 - alike.max(axis=1)))
    return np.stack([rows[passed], nearest[passed]], axis=1)


def _off_the_line(points: np.ndarray) -> int:
    """Return how many distinct points remain without those near the straight line that holds most of them."""
    distinct = np.unique(np.round(points / 3), axis=0) * 3
    if len(distinct) < 3:
        return 0
    ends = distinct[:40]
    first, second = (ends[index] for index in np.triu_indices(len(ends), 1))
    along = (second - first) / np.linalg.norm(second - first, axis=1, keepdims=True)
    offset = distinct[None] - first[:, None]
    distance = np.abs(offset[..., 0] * along[:, None, 1] - offset[..., 1] * along[:, None, 0])
    return int(len(distinct) - (distance <= LINE_WIDTH).sum(axis=1).max())


def _mirror_points(points: np.ndarray) -> np.ndarray:
    return np.stack([SIDE - 1 - points[:, 0], points[:, 1]], axis=1)


def _mirror_descriptors(values: np.ndarray) -> np.ndarray:
    """Return what SIFT finds in the mirror image: 4 rows x 4 columns x 8 directions, rows and directions reversed."""
    grid = values.reshape(-1, 4, 4, 8)[:, ::-1]
    return np.concatenate([grid[..., :1], grid[..., :0:-1]], axis=-1).reshape(-1, 128)
