"""A model behind a door as an oracle: images as it wants them, posteriors out of what it answers."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch
import torchvision.transforms.v2.functional as tvf
from torch import Tensor
from torch.nn import functional as F

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door, Input, Layout

Size = tuple[int, int]
SUM = 2e-3  # how far the sum of a posterior in float16 may be from one
RULES = {
    "bilinear": tvf.InterpolationMode.BILINEAR,
    "bicubic": tvf.InterpolationMode.BICUBIC,
    "nearest": tvf.InterpolationMode.NEAREST,
}


class DoorOracle:
    """Asks a model behind a door; its answers are posteriors over `classes`, the data set's, at the image's size."""

    def __init__(self, door: Door, ask: Ask, classes: Sequence[str]) -> None:
        self.door, self.ask, self.name = door, ask, type(door).__module__.rpartition(".")[2]
        self.own = tuple(classes) if door.output.classes is None else door.output.classes
        self.places = [self.own.index(name) if name in self.own else None for name in classes]
        if not any(place is not None for place in self.places):
            self._refuse(f"[door.output] classes has none of the data set's ({', '.join(classes)}). Use its names")

    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """The posterior float32 [K, H, W] on the CPU. Raises MiaSegError naming the door for an answer that is none."""
        size, inner = (image_HWC.shape[0], image_HWC.shape[1]), self.door.input.size or image_HWC.shape[:2]
        outer = padded(inner, self.door.input.multiple)
        raw = np.asarray(self.ask(prepare(image_HWC, self.door.input), key))
        answer = self._labels(raw, outer) if self.door.answers == "labels" else self._scores(raw, outer)
        answer = answer[:, : inner[0], : inner[1]]
        return self._in_our_classes(_enlarged(answer, size, smooth=self.door.answers != "labels"))

    def _scores(self, raw: np.ndarray, outer: Size) -> Tensor:
        """A posterior over the model's own classes at the size that it was given."""
        if raw.dtype.kind != "f":
            self._refuse(
                f"it answers {raw.dtype} where {self.door.answers} are expected. Set [door] answers to 'labels'"
            )
        scores = self._laid_out(raw, outer)
        if not torch.isfinite(scores).all():
            self._refuse("its answer has values that are not finite. Ask it in another precision, or mend the model")
        if self.door.answers == "logits":
            if self.door.output.enlarge == "logits":
                return _enlarged(scores, outer).softmax(0)
            return _enlarged(scores.softmax(0), outer)
        return _enlarged(self._posterior(scores), outer)

    def _posterior(self, scores: Tensor) -> Tensor:
        total = scores.sum(0, keepdim=True)
        if (scores < -SUM).any():
            self._refuse(f"its answer has values down to {scores.min():.3g}: no posterior. Is [door] answers 'logits'?")
        if self.door.output.normalise:
            return torch.where(total > 0, scores / total.clamp(min=1e-12), 1 / len(scores))
        if (off := (total - 1).abs().max().item()) > SUM:
            self._refuse(
                f"its answer sums to one within {off:.2g} only, where a posterior does exactly. Is [door] answers "
                f"'logits'? Scores that never sum to one can be made to by [door.output] normalise = true"
            )
        return scores.clamp(min=0) / total

    def _labels(self, raw: np.ndarray, outer: Size) -> Tensor:
        """One-hot over the model's own classes."""
        if raw.dtype.kind not in "iu":
            self._refuse(f"it answers {raw.dtype} where class ids are expected. Set [door] answers to what it gives")
        if raw.ndim == 3 and raw.shape[0] == 1:
            raw = raw[0]
        self._check_size(raw.shape, outer)
        if raw.min() < 0 or raw.max() >= len(self.own):
            self._refuse(
                f"its answer has class {raw.max()}, and it has {len(self.own)} classes. Set [door.output] classes"
            )
        one_hot = F.one_hot(torch.from_numpy(raw.astype(np.int64)), len(self.own)).permute(2, 0, 1).float()
        return _enlarged(one_hot, outer, smooth=False)

    def _laid_out(self, raw: np.ndarray, outer: Size) -> Tensor:
        layout = self.door.output.layout
        if raw.ndim != len(layout):
            self._refuse(f"its answer has the shape {raw.shape}, and [door.output] layout says {layout}. Correct it")
        if layout[0] == "N":
            if len(raw) != 1:
                self._refuse(f"it answers {len(raw)} images, having been given one. Correct [door.output] layout")
            raw = raw[0]
        scores = torch.from_numpy(np.ascontiguousarray(raw if layout[-3:] == "CHW" else np.moveaxis(raw, 2, 0)))
        if len(scores) != len(self.own):
            self._refuse(
                f"it answers {len(scores)} classes, and {len(self.own)} are expected. Name them, in its order, in "
                f"[door.output] classes, or correct its layout ({layout})"
            )
        self._check_size(tuple(scores.shape[1:]), outer)
        return scores.float()

    def _check_size(self, found: tuple[int, ...], outer: Size) -> None:
        stride = self.door.output.stride
        wanted = tuple(-(-side // stride) for side in outer)
        if tuple(found) != wanted:
            self._refuse(
                f"it answers {found[0]} x {found[-1]} to an image of {outer[0]} x {outer[1]}, and {wanted[0]} x "
                f"{wanted[1]} are expected. Set [door.input] size and [door.output] stride to what it does"
            )

    def _in_our_classes(self, posterior: Tensor) -> Tensor:
        """Over the data set's classes: those that the model lacks get nothing, what it has beside them is left out."""
        if self.places == list(range(len(self.own))):
            return posterior
        empty = torch.zeros_like(posterior[0])
        ours = torch.stack([empty if place is None else posterior[place] for place in self.places])
        total = ours.sum(0)
        return torch.where(total > 0, ours / total.clamp(min=1e-12), 1 / len(ours))

    def _refuse(self, why: str) -> NoReturn:
        raise MiaSegError(f"Door '{self.name}': {why}.")


def prepare(image_HWC: np.ndarray, wanted: Input) -> np.ndarray:
    """What a model is given of an image, uint8 RGB [H, W, 3]: uint8, or float32 where anything is scaled."""
    image_3HW = torch.from_numpy(np.ascontiguousarray(image_HWC)).permute(2, 0, 1)
    if wanted.size is not None:
        image_3HW = tvf.resize(image_3HW, list(wanted.size), RULES[wanted.resize], antialias=wanted.antialias)
    image_HWC = image_3HW.permute(1, 2, 0).numpy()
    height, width = padded(image_HWC.shape[:2], wanted.multiple)
    whole_HWC = np.empty((height, width, 3), np.uint8)
    whole_HWC[:] = wanted.fill
    whole_HWC[: image_HWC.shape[0], : image_HWC.shape[1]] = image_HWC
    return _laid(_scaled(whole_HWC[..., ::-1] if wanted.channels == "BGR" else whole_HWC, wanted), wanted.layout)


def padded(size: Sequence[int], multiple: int) -> Size:
    """The size with both sides filled up to a multiple."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def _scaled(image_HWC: np.ndarray, wanted: Input) -> np.ndarray:
    if wanted.scale is None and wanted.mean is None and wanted.std is None:
        return image_HWC
    mean_C, std_C = (np.array(three, np.float32) for three in (wanted.mean or (0, 0, 0), wanted.std or (1, 1, 1)))
    floats_HWC: np.ndarray = (image_HWC.astype(np.float32) / np.float32(wanted.scale or 1) - mean_C) / std_C
    return floats_HWC


def _laid(image_HWC: np.ndarray, layout: Layout) -> np.ndarray:
    laid = image_HWC if layout[-3:] == "HWC" else np.moveaxis(image_HWC, 2, 0)
    return np.ascontiguousarray(laid[None] if layout[0] == "N" else laid)


def _enlarged(scores_KHW: Tensor, size: Sequence[int], smooth: bool = True) -> Tensor:
    """At another size; bilinear between cells' middles, as torch and most toolkits do, or the nearest cell."""
    if tuple(scores_KHW.shape[1:]) == tuple(size):
        return scores_KHW
    if not smooth:
        return F.interpolate(scores_KHW[None], list(size), mode="nearest-exact")[0]
    return F.interpolate(scores_KHW[None], list(size), mode="bilinear", align_corners=False)[0]
