"""Augmented crops of scenes."""

import numpy as np
import torch
import torchvision.transforms.v2.functional as tvf
from torch import Tensor
from torch.utils.data import Dataset

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.recipe import Train
from mia_seg.train._order import seed_of

BLACK = (0, 0, 0)


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops; the draw of each depends on seed, epoch and scene alone, whatever the number of workers."""

    def __init__(self, scenes: Scenes, settings: Train, seed: int) -> None:
        self.scenes, self.settings, self.seed, self.epoch = scenes, settings, seed, 0

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        scene = self.scenes[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, self.epoch, scene.id))
            return crop(scene, self.settings)


def crop(scene: Scene, settings: Train) -> tuple[Tensor, Tensor]:
    """A randomly scaled, cropped and mirrored view: float [3, *crop] in 0..1 and int64 [*crop].

    What a scene lacks below and to the right has the colour `fill` and the label IGNORE.
    """
    factor = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * torch.rand(()).item()
    stored = scene.labels_HW.shape
    size = stored if factor == 1 else tuple(max(1, round(s * factor)) for s in stored)
    top, left = (int(torch.randint(max(s - c, 0) + 1, ())) for c, s in zip(settings.crop, size, strict=True))
    rows, columns = slice(top, top + settings.crop[0]), slice(left, left + settings.crop[1])
    image = torch.empty(3, *settings.crop, dtype=torch.uint8)
    image[:] = torch.tensor(settings.fill or BLACK, dtype=torch.uint8)[:, None, None]
    labels = torch.full(settings.crop, IGNORE, dtype=torch.uint8)
    seen = _labels(scene.labels_HW, size, rows, columns)
    image[:, : seen.shape[0], : seen.shape[1]] = _image(scene.image_HWC, size, rows, columns)
    labels[: seen.shape[0], : seen.shape[1]] = seen
    if settings.flip and torch.rand(()) < 0.5:
        image, labels = image.flip(-1), labels.flip(-1)
    return image.float() / 255, labels.long()


def _image(image_HWC: np.ndarray, size: tuple[int, ...], rows: slice, columns: slice) -> Tensor:
    """The window of the image at `size`: uint8 [3, h, w].

    It is resized whole: torch's filter for bytes needs for that what others need for the window.
    """
    if size == image_HWC.shape[:2]:
        return torch.from_numpy(image_HWC[rows, columns].copy()).permute(2, 0, 1)
    image = torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)
    resized: Tensor = tvf.resize(image, list(size), tvf.InterpolationMode.BILINEAR, antialias=True)
    return resized[:, rows, columns]


def _labels(labels_HW: np.ndarray, size: tuple[int, ...], rows: slice, columns: slice) -> Tensor:
    """The window of the labels at `size`, without the rest: uint8 [h, w]."""
    places = (_nearest(window, s, into) for window, s, into in zip((rows, columns), labels_HW.shape, size, strict=True))
    return torch.from_numpy(labels_HW[np.ix_(*places)])


def _nearest(window: slice, stored: int, size: int) -> np.ndarray:
    """Where the places `window` of an axis resized from `stored` to `size` come from: torch's rule and OpenCV's."""
    places = np.arange(size)[window].astype(np.float32) * (np.float32(stored) / np.float32(size))
    return np.minimum(places.astype(np.intp), stored - 1)
