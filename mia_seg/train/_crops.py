"""Augmented crops of scenes."""

import numpy as np
import torch
import torchvision.transforms.v2.functional as tvf
from torch import Tensor
from torch.utils.data import Dataset

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.recipes import Train
from mia_seg.store import seed_of

BLACK = (0, 0, 0)


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops. Each draw depends only on seed, epoch and scene, not on the number of workers."""

    def __init__(self, scenes: Scenes, settings: Train, seed: int) -> None:
        self.scenes, self.settings, self.seed, self.epoch = scenes, settings, seed, 0

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        view, place = divmod(index, len(self))  # a number beyond all scenes is a further view of one
        scene = self.scenes[place]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, self.epoch, f"{scene.id}, view {view}" if view else scene.id))
            return crop(scene, self.settings)


def crop(scene: Scene, settings: Train) -> tuple[Tensor, Tensor]:
    """A randomly scaled, cropped and mirrored view: float [3, *crop] in 0..1 and int64 [*crop].

    A scene smaller than the crop is padded below and to the right by the colour `fill` and the label IGNORE.
    """
    factor = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * torch.rand(()).item()
    stored = scene.labels_HW.shape
    size = stored if factor == 1 else tuple(max(1, round(s * factor)) for s in stored)
    top, left = (int(torch.randint(max(s - c, 0) + 1, ())) for c, s in zip(settings.crop, size, strict=True))
    rows, columns = slice(top, top + settings.crop[0]), slice(left, left + settings.crop[1])
    image, labels = (
        _image(scene.image_HWC, size, rows, columns=columns),
        _labels(scene.labels_HW, size, rows, columns=columns),
    )
    lacking = [c - s for c, s in zip(settings.crop, labels.shape, strict=True)]
    if any(lacking):
        padding = [0, 0, lacking[1], lacking[0]]
        image = tvf.pad(image, padding, list(settings.fill or BLACK))
        labels = tvf.pad(labels[None], padding, IGNORE)[0]
    if settings.flip and torch.rand(()) < 0.5:
        image, labels = image.flip(-1), labels.flip(-1)
    return image.float().div_(255), labels.long()


def _image(image_HWC: np.ndarray, size: tuple[int, ...], rows: slice, *, columns: slice) -> Tensor:
    """The window of the image at `size`, to the bit as if it were cut from the image resized whole: uint8 [3, h, w].

    Bytes are resized along rows, rounded, and resized along columns; each pass can do without what no pixel of the
    window depends on.
    """
    scale = image_HWC.shape[0] / size[0]
    reach = 2 * max(1.0, scale) + 1
    above, below = max(0, int(rows.start * scale - reach)), int(min(rows.stop, size[0]) * scale + reach)
    strip = torch.from_numpy(image_HWC[above:below].copy()).permute(2, 0, 1)
    strip = _resize(strip, strip.shape[1], size[1])[:, :, columns]
    # The filter of the other pass starts at the image's edge, so the strip has to lie in its place.
    whole = torch.zeros(image_HWC.shape[0], strip.shape[2], 3, dtype=torch.uint8).permute(2, 0, 1)
    whole[:, above:below] = strip
    return _resize(whole, size[0], strip.shape[2])[:, rows]


def _resize(image_3HW: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = tvf.resize(image_3HW, [height, width], tvf.InterpolationMode.BILINEAR, antialias=True)
    return resized


def _labels(labels_HW: np.ndarray, size: tuple[int, ...], rows: slice, *, columns: slice) -> Tensor:
    """The window of the labels at `size`, without the rest: uint8 [h, w]."""
    places = (_nearest(window, s, into) for window, s, into in zip((rows, columns), labels_HW.shape, size, strict=True))
    return torch.from_numpy(labels_HW[next(places)][:, next(places)])


def _nearest(window: slice, stored: int, size: int) -> np.ndarray:
    """Where the places `window` of an axis resized from `stored` to `size` come from: torch's rule and OpenCV's."""
    places = np.arange(size)[window].astype(np.float32) * (np.float32(stored) / np.float32(size))
    return np.minimum(places.astype(np.intp), stored - 1)
