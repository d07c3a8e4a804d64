"""The features that the blind attacker sees of a scene: some tens of cheap numbers from the image and its labels."""

from typing import cast

import numpy as np
from scipy import ndimage

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.progress import track
from mia_seg.query._layout import boundary_band

VERSION = 1
BINS = 8
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# Components are counted at every nth pixel of large labels, because a pass for each class over 2048 x 1024 takes a
# second.
LONGEST = 256


def features(scenes: Scenes, title: str) -> np.ndarray:
    """The features of all scenes, float64 [N, F], finite; F = 45 + K for K classes. Scenes are read one at a time."""
    classes = len(scenes.dataset.classes())
    return np.stack([features_of(scene, classes) for scene in track(scenes, title, len(scenes))])


def features_of(scene: Scene, classes: int) -> np.ndarray:
    """The features of one scene [45 + K].

    Of the image: colours, edges, brightness by thirds, and size. Of the labels: shares, pieces and boundaries.
    """
    return np.concatenate([_colours(scene.image_HWC), _light(scene.image_HWC), _labels(scene.labels_HW, classes)])


def _colours(image_HWC: np.ndarray) -> np.ndarray:
    """The mean, the standard deviation and the histogram of each channel: [30]."""
    height, width = image_HWC.shape[:2]
    counts_CV = np.stack([np.bincount(image_HWC[..., c].ravel(), minlength=256) for c in range(3)])
    share_CV, values_V = counts_CV / (height * width), np.arange(256)
    mean_C = share_CV @ values_V
    variance_C = share_CV @ values_V**2 - mean_C**2
    histogram_CB = share_CV.reshape(3, BINS, -1).sum(2)
    return np.concatenate([mean_C, np.sqrt(variance_C.clip(0)), histogram_CB.ravel()])


def _light(image_HWC: np.ndarray) -> np.ndarray:
    """Brightness by thirds of height and width; energies of the first differences and of the second; size: [11]."""
    grey_HW = image_HWC @ LUMA
    thirds = [part.mean() if part.size else 0.0 for axis in (0, 1) for part in np.array_split(grey_HW, 3, axis)]
    down_HW, right_HW = np.diff(grey_HW, axis=0), np.diff(grey_HW, axis=1)
    # The second difference, along both axes, shows noise and compression, and little of the picture's content.
    energies = [np.square(part).mean() if part.size else 0.0 for part in (down_HW, right_HW, np.diff(down_HW, axis=1))]
    return np.array([*thirds, *np.log1p(energies), *np.log(grey_HW.shape)])


def _labels(labels_HW: np.ndarray, classes: int) -> np.ndarray:
    """Each class's share of labelled pixels; numbers of classes and pieces; shares of ignored and boundary: [K + 4]."""
    counts_V = np.bincount(labels_HW.ravel(), minlength=256)
    share_K = counts_V[:classes] / max(counts_V[:classes].sum(), 1)
    present = np.flatnonzero(counts_V[:classes])
    sparse_HW = labels_HW[:: (step := -(-max(labels_HW.shape) // LONGEST)), ::step]
    pieces = sum(cast(int, ndimage.label(sparse_HW == k)[1]) for k in present)
    ignored, boundary = counts_V[IGNORE] / labels_HW.size, boundary_band(labels_HW).mean()
    return np.array([*share_K, len(present), np.log1p(pieces), ignored, boundary])
