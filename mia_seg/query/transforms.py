"""Transforms: a scene changed in a known way, to see whether a black box still answers the same."""

import numpy as np
from PIL import Image

from mia_seg.data import IGNORE, Scene
from mia_seg.errors import MiaSegError

VERSION = 1


def changed(scene: Scene, transform: str, seed: int) -> Scene:
    """The scene in a transform, under an id of its own, so that a defense draws noise of its own for it.

    flip: image and labels mirrored left to right. shift:D: both moved D pixels to the right (left where D < 0); the
    image repeats its edge, the labels there are IGNORE. noise:S: Gaussian noise of deviation S, where 1 is the range of
    a channel, on every value of the image, rounded and clipped; under one seed a larger S is the same draw, scaled.
    zoom:F: the middle of the scene, F times as large, so that it fills the frame; bilinear, labels by nearest pixels.
    Raises MiaSegError for any other transform.
    """
    name, _, value = transform.partition(":")
    image_HWC, labels_HW = scene.image_HWC, scene.labels_HW
    if name == "flip":
        image_HWC, labels_HW = image_HWC[:, ::-1], labels_HW[:, ::-1]
    elif name == "shift":
        image_HWC, labels_HW = _shifted(image_HWC, labels_HW, int(value))
    elif name == "zoom":
        image_HWC, labels_HW = _zoomed(image_HWC, labels_HW, float(value))
    elif name == "noise":
        noise_HWC = np.random.default_rng(seed).normal(size=image_HWC.shape)
        image_HWC = (image_HWC + 255 * float(value) * noise_HWC).round().clip(0, 255).astype(np.uint8)
    else:
        raise MiaSegError(
            f"No transform is called '{transform}'. There are: flip, shift:D (pixels), zoom:F (factor), noise:S "
            f"(deviation)."
        )
    return Scene(name_of(scene.id, transform), image_HWC, labels_HW)


def _zoomed(image_HWC: np.ndarray, labels_HW: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = labels_HW.shape
    top, left = height * (1 - 1 / factor) / 2, width * (1 - 1 / factor) / 2
    box = (left, top, width - left, height - top)
    image, labels = Image.fromarray(image_HWC), Image.fromarray(labels_HW)
    return (
        np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box)),
        np.asarray(labels.resize((width, height), Image.Resampling.NEAREST, box=box)),
    )


def name_of(scene_id: str, transform: str) -> str:
    """The id of a scene in a transform."""
    return f"{scene_id} {transform}"


def _shifted(image_HWC: np.ndarray, labels_HW: np.ndarray, right: int) -> tuple[np.ndarray, np.ndarray]:
    width = labels_HW.shape[1]
    source_W = np.arange(width) - right
    nearest_W = source_W.clip(0, width - 1)
    return image_HWC[:, nearest_W], np.where(source_W == nearest_W, labels_HW[:, nearest_W], np.uint8(IGNORE))
