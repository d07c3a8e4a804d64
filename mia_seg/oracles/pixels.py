"""Largest posteriors, posteriors of labels, and one-hot posteriors, computed fast on whole planes of a class.

Libraries compare the classes pixel by pixel. Here a plane of one class is compared at once, in parts that fit into a
processor's cache. benchmarks/answers.py measures what that gains.
"""

from collections.abc import Iterator

import numpy as np

PART = 2**15  # pixels


def parts(size: tuple[int, int]) -> Iterator[slice]:
    """Rows of an image of that size (height, width), some 32,000 pixels at once."""
    rows = max(1, PART // max(size[1], 1))
    return (slice(top, min(top + rows, size[0])) for top in range(0, size[0], rows))


def largest(posterior_KHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest posterior of each pixel and its class, the first of equal ones: the values' dtype and uint8, [H, W].

    posterior_KHW: finite, at most 256 classes; contiguous rows are fastest.
    """
    height, width = posterior_KHW.shape[1:]
    best_HW, class_HW = np.empty((height, width), posterior_KHW.dtype), np.empty((height, width), np.uint8)
    for rows in parts((height, width)):
        part, best = posterior_KHW[:, rows], best_HW[rows]
        np.maximum.reduce(part, 0, out=best)
        class_HW[rows] = _before(part, best)
    return best_HW, class_HW


def _before(part_KHW: np.ndarray, best_HW: np.ndarray) -> np.ndarray:
    """How many classes stand before the first that reaches the largest value: that one's number."""
    below = part_KHW[0] != best_HW
    count = below.astype(np.uint8)
    for plane in part_KHW[1:-1]:
        below &= plane != best_HW
        count += below.view(np.uint8)
    return count


def at_labels(posterior_KHW: np.ndarray, labels_HW: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """The posterior of each pixel's label, in some rows; where the label is ignored (255), that of the last class.

    posterior_KHW: C-contiguous. labels_HW: uint8.
    """
    classes, height, width = posterior_KHW.shape
    place = np.minimum(labels_HW[rows], classes - 1).astype(np.intp)
    place *= height * width
    place += np.arange(width * (rows.start or 0), width * (rows.start or 0) + place.size).reshape(place.shape)
    return posterior_KHW.reshape(-1).take(place)


def one_hot(labels_HW: np.ndarray, out_KHW: np.ndarray) -> np.ndarray:
    """Fill `out_KHW` with 1 at each pixel's label and 0 elsewhere, and return it (all 0 where that is no class)."""
    for k, plane in enumerate(out_KHW):
        np.copyto(plane, labels_HW == k)
    return out_KHW
