"""Difficulty of a scene: how hard its labels are to predict from its own image, without any trained model.

A regression is fitted to 70% of a scene's pixels; its error on the rest is the difficulty. Source: the predictability
error of Shafran et al. (ICCV 2021; predictability_error.py of reconst_based_MIA), where a linear regression predicts an
image from features of a pretrained network at 56 x 56. Here labels are predicted, so the regression is logistic. The
features are hand-made and need no weights.
"""

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.progress import track
from mia_seg.query._statistics import FLOOR

VERSION = 2
PIXELS = 4000
SHARE = 0.7
WINDOWS = (3, 9)
# Largest gradient of the mean loss at which a fit may end. A third of it takes twice as long, and changes a difficulty
# by 0.01 nats in the mean and 0.03 at most; scenes differ by 0.1 (60 photographs of LabelMeFacade, 96 x 128).
TOLERANCE = 3e-3


def difficulty(scenes: Scenes, title: str) -> np.ndarray:
    """One number a scene, float64 [N]. Reads scene after scene."""
    return np.array([difficulty_of(scene) for scene in track(scenes, title, len(scenes))])


def difficulty_of(scene: Scene) -> float:
    """Mean -log p of the labels of held-out pixels, in nats, p floored as losses are; a function of the scene alone.

    It is computed on a regular grid of at most 4,000 pixels. Held-out pixels of a class that no fitted pixel has are
    left out. It is 0 if nothing is left to predict: no labels, or one class alone.
    """
    step = int(np.ceil(np.sqrt(scene.labels_HW.size / PIXELS)))
    labels_P = scene.labels_HW[::step, ::step].ravel()
    labelled = labels_P != IGNORE
    features_PF, labels_P = features(scene.image_HWC[::step, ::step])[labelled], labels_P[labelled]
    fitted_P = np.random.default_rng(0).permutation(len(labels_P)) < SHARE * len(labels_P)
    classes = np.unique(labels_P[fitted_P])
    held_P = ~fitted_P & np.isin(labels_P, classes)
    if len(classes) < 2 or not held_P.any():
        return 0.0
    model = LogisticRegression(tol=TOLERANCE, max_iter=1000).fit(features_PF[fitted_P], labels_P[fitted_P])
    p_PK = model.predict_proba(features_PF[held_P])
    p_P = np.take_along_axis(p_PK, np.searchsorted(classes, labels_P[held_P])[:, None], 1)
    return float(-np.log(p_P.clip(min=FLOOR)).mean())


def features(image_HWC: np.ndarray) -> np.ndarray:
    """Features of each pixel: colour, mean and deviation of colours around it, gradients, place; float64 [H * W, 19].

    Each has mean 0 and deviation 1 over the image; one that does not vary is 0.
    """
    colour_HWC = image_HWC / 255
    maps = [colour_HWC]
    for width in WINDOWS:
        mean_HWC = ndimage.uniform_filter(colour_HWC, (width, width, 1))
        square_HWC = ndimage.uniform_filter(colour_HWC**2, (width, width, 1))
        maps += [mean_HWC, np.sqrt((square_HWC - mean_HWC**2).clip(0))]
    maps += [np.abs(ndimage.sobel(colour_HWC.mean(2), axis))[..., None] for axis in (0, 1)]
    maps.append(np.moveaxis(np.indices(image_HWC.shape[:2], np.float64), 0, 2))
    features_PF = np.concatenate(maps, 2).reshape(-1, sum(m.shape[2] for m in maps))
    centred_PF = features_PF - features_PF.mean(0)
    deviation_F = centred_PF.std(0)
    return centred_PF / np.where(deviation_F > 1e-9, deviation_F, np.inf)
