"""Features of a scene without the model: some tens of cheap numbers of image and labels."""

from typing import cast

import numpy as np
from scipy import ndimage

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.progress import track
from mia_seg.query._layout import boundary_band

VERSION = 1
BINS = 8
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# Components are counted at every nth pixel of large labels: one pass a class over 2048 x 1024 would cost a second.
LONGEST = 256


def features(scenes: Scenes, title: str) -> np.ndarray:
    """One row a scene, float64 [N, F], all finite; F = 45 + K for K classes. Reads scene after scene."""
    classes = len(scenes.dataset.classes())
    return np.stack([features_of(scene, classes) for scene in track(scenes, title, len(scenes))])


def features_of(scene: Scene, classes: int) -> np.ndarray:
    """Colours, edges, light by thirds and size of the image; shares, pieces and boundaries of the labels: [45 + K]."""
    return np.concatenate([_colours(scene.image_HWC), _light(scene.image_HWC), _labels(scene.labels_HW, classes)])


def _colours(image_HWC: np.ndarray) -> np.ndarray:
    """Mean, deviation and histogram of each channel: [30]."""
    height, width = image_HWC.shape[:2]
    counts_CV = np.stack([np.bincount(image_HWC[..., c].ravel(), minlength=256) for c in range(3)])
    share_CV, values_V = counts_CV / (height * width), np.arange(256)
    mean_C = share_CV @ values_V
    variance_C = share_CV @ values_V**2 - mean_C**2
    histogram_CB = share_CV.reshape(3, BINS, -1).sum(2)
    return np.concatenate([mean_C, np.sqrt(variance_C.clip(0)), histogram_CB.ravel()])


def _light(image_HWC: np.ndarray) -> np.ndarray:
    """Brightness by thirds of height and width, energy of gradients and of what changes faster, size: [11]."""
    grey_HW = image_HWC @ LUMA
    thirds = [part.mean() if part.size else 0.0 for axis in (0, 1) for part in np.array_split(grey_HW, 3, axis)]
    down_HW, right_HW = np.diff(grey_HW, axis=0), np.diff(grey_HW, axis=1)
    # The second difference along both axes keeps noise and compression, and little of what the picture shows.
    energies = [np.square(part).mean() if part.size else 0.0 for part in (down_HW, right_HW, np.diff(down_HW, axis=1))]
    return np.array([*thirds, *np.log1p(energies), *np.log(grey_HW.shape)])


def _labels(labels_HW: np.ndarray, classes: int) -> np.ndarray:
    """Shares of the classes among labelled pixels; how many occur, in how many pieces; ignored, boundary: [K + 4]."""
    counts_V = np.bincount(labels_HW.ravel(), minlength=256)
    share_K = counts_V[:classes] / max(counts_V[:classes].sum(), 1)
    present = np.flatnonzero(counts_V[:classes])
    sparse_HW = labels_HW[:: (step := -(-max(labels_HW.shape) // LONGEST)), ::step]
    pieces = sum(cast(int, ndimage.label(sparse_HW == k)[1]) for k in present)
    ignored, boundary = counts_V[IGNORE] / labels_HW.size, boundary_band(labels_HW).mean()
    return np.array([*share_K, len(present), np.log1p(pieces), ignored, boundary])
