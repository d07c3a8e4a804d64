"""A model behind a door as an oracle: prepares images for it, and turns its raw answers into posteriors."""

from collections.abc import Sequence
from functools import partial
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
    """Asks a model behind a door. Answers are posteriors over `classes`, the data set's, at the image's size.

    lacking: classes of the data set that the model lacks. beside: classes of the model that the data set lacks.
    """

    def __init__(self, door: Door, ask: Ask, classes: Sequence[str]) -> None:
        self.door, self.ask, self.name = door, ask, type(door).__module__.rpartition(".")[2]
        self.own = tuple(classes) if door.output.classes is None else door.output.classes
        self.places = [self.own.index(name) if name in self.own else None for name in classes]
        self.lacking = tuple(name for name in classes if name not in self.own)
        self.beside = tuple(name for name in self.own if name not in classes)
        self._check_names(classes)

    def __call__(self, image_HWC: np.ndarray, key: int) -> Tensor:
        """The posterior float32 [K, H, W] on the CPU. Raises MiaSegError naming the door for an answer that is none."""
        height, width = image_HWC.shape[:2]
        inner = self.door.input.size or (height, width)
        raw = np.asarray(self.ask(prepare(image_HWC, self.door.input), key))
        return self.posterior(raw, inner, (height, width))

    def posterior(self, raw: np.ndarray, inner: Size, size: Size) -> Tensor:
        """The posterior at `size` from a raw answer. inner: size of the image as it was given, without padding."""
        outer = padded(inner, self.door.input.multiple)
        if self.door.answers == "labels":
            return self._in_our_classes(_fitted(self._labels(raw, outer), outer, inner, size=size, smooth=False))
        scores, enlarge = self._scores(raw, outer), partial(_fitted, outer=outer, inner=inner, size=size)
        if self.door.answers == "logits":
            first = self.door.output.enlarge == "logits"
            return self._in_our_classes(enlarge(scores).softmax(0) if first else enlarge(scores.softmax(0)))
        return self._in_our_classes(_normalised(enlarge(scores)))

    def _scores(self, raw: np.ndarray, outer: Size) -> Tensor:
        """What the model says of its own classes, at its answer's size: logits, or scores that are not negative."""
        if raw.dtype.kind != "f":
            hint = " Is [door] answers 'labels'?" if raw.dtype.kind in "iu" else ""
            self._refuse(f"it answers {raw.dtype} where {self.door.answers} are floats.{hint} Set it to what it gives")
        scores = self._laid_out(raw, outer)
        if not torch.isfinite(scores).all():
            self._refuse("its answer has values that are not finite. Ask it in another precision, or mend the model")
        if self.door.answers == "logits":
            self._check_logits(scores)
            return scores
        self._check_posterior(scores)
        return scores.clamp(min=0)

    def _check_logits(self, scores: Tensor) -> None:
        """A posterior that is taken for logits would become a nearly flat one, and nobody would see it."""
        total = scores.sum(0)
        # One answer everywhere has one sum everywhere, whatever it is.
        suspect = bool((scores != scores[:, :1, :1]).any()) or bool(((total - 1).abs() <= SUM).all())
        even = bool(total.max() - total.min() <= SUM * total.mean())
        if len(scores) > 1 and suspect and even and (scores >= 0).all():
            self._refuse(
                f"its answer sums to {total.mean():.3g} at every pixel, as no logits do. Set [door] answers to "
                f"'posterior', with [door.output] normalise = true where the sum is not one"
            )

    def _check_posterior(self, scores: Tensor) -> None:
        if (scores < -SUM).any():
            self._refuse(
                f"its answer has values down to {scores.min():.3g}: no posterior. Set [door] answers to 'logits' if it "
                f"has no softmax"
            )
        off = (scores.sum(0) - 1).abs().max().item()
        if off > SUM and not self.door.output.normalise:
            self._refuse(
                f"its answer is off by {off:.2g} in its sums, which are one in a posterior. Set [door] answers to "
                f"'logits' if it has no softmax, or [door.output] normalise = true to divide it by its sums"
            )

    def _labels(self, raw: np.ndarray, outer: Size) -> Tensor:
        """One-hot over the model's own classes."""
        if raw.dtype.kind not in "iu":
            self._refuse(f"it answers {raw.dtype} where class ids are expected. Set [door] answers to what it gives")
        if raw.ndim == 3 and raw.shape[0] == 1:
            raw = raw[0]
        if raw.ndim != 2:
            self._refuse(f"its answer has the shape {raw.shape}, where labels have one id a pixel. Correct it")
        self._check_size(raw.shape, outer)
        low, high = int(raw.min()), int(raw.max())
        if low < 0 or high >= len(self.own):
            self._refuse(
                f"its answer has class {low if low < 0 else high}, and it has {len(self.own)} classes "
                f"(0 to {len(self.own) - 1}). Name all of them, in its order, in [door.output] classes"
            )
        return F.one_hot(torch.from_numpy(raw.astype(np.int64)), len(self.own)).permute(2, 0, 1).float()

    def _laid_out(self, raw: np.ndarray, outer: Size) -> Tensor:
        layout = self.door.output.layout
        if raw.ndim != len(layout):
            batch = f"Set layout to 'N{layout}'" if raw.ndim == 4 and len(raw) == 1 else "Set layout to the axes it has"
            self._refuse(
                f"its answer has the shape {raw.shape}, and [door.output] layout says {layout}. {batch}, or let the "
                f"model answer {layout}"
            )
        if layout[0] == "N":
            if len(raw) != 1:
                self._refuse(f"it answers {len(raw)} images, having been given one. Correct [door.output] layout")
            raw = raw[0]
        scores = raw if layout[-3:] == "CHW" else np.moveaxis(raw, 2, 0)
        if len(scores) != len(self.own):
            self._refuse(
                f"it answers {len(scores)} classes, and {len(self.own)} are expected. Name all classes of the label "
                f"files; or, if the model has others, its own, in its order, in [door.output] classes; or correct its "
                f"layout ({layout})"
            )
        self._check_size(scores.shape[1:], outer)
        with np.errstate(over="ignore"):  # what float32 does not hold is found not to be finite
            return torch.from_numpy(np.array(scores, np.float32, order="C"))

    def _check_size(self, found: Sequence[int], outer: Size) -> None:
        wanted = _cells(outer, self.door.output.stride)
        if tuple(found) != wanted:
            fits = [stride for stride in range(1, 65) if _cells(outer, stride) == tuple(found)]
            fix = f"stride = {fits[0]} fits" if fits else "stride, and [door.input] size, say what it does"
            self._refuse(
                f"it answers {found[0]} x {found[1]} to an image of {outer[0]} x {outer[1]}, and {wanted[0]} x "
                f"{wanted[1]} are expected. [door.output] {fix}"
            )

    def _in_our_classes(self, posterior: Tensor) -> Tensor:
        """Over the data set's classes: those that the model lacks get nothing, what it has beside them is left out.

        A pixel that is all another class's says nothing of the data set's: each is as likely there.
        """
        if self.places == list(range(len(self.own))):
            return posterior
        empty = torch.zeros_like(posterior[0])
        return _normalised(torch.stack([empty if place is None else posterior[place] for place in self.places]))

    def _check_names(self, classes: Sequence[str]) -> None:
        if len(self.lacking) == len(classes):
            self._refuse(f"[door.output] classes has none of the data set's ({', '.join(classes)}). Use its names")
        nearly = {_plain(name): name for name in self.lacking}
        for name in self.beside:
            if _plain(name) in nearly:
                self._refuse(
                    f"[door.output] classes has '{name}'. Write '{nearly[_plain(name)]}', as the data set does"
                )

    def _refuse(self, why: str) -> NoReturn:
        raise MiaSegError(f"Door '{self.name}': {why}{'' if why.endswith('?') else '.'}")


def prepare(image_HWC: np.ndarray, wanted: Input) -> np.ndarray:
    """An image, uint8 RGB [H, W, 3], as `wanted` says: uint8, or float32 if it is scaled."""
    image_3HW = torch.from_numpy(np.array(image_HWC)).permute(2, 0, 1)  # torch warns of an array that is read-only
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


def _cells(size: Size, stride: int) -> Size:
    height, width = (-(-side // stride) for side in size)
    return height, width


def _scaled(image_HWC: np.ndarray, wanted: Input) -> np.ndarray:
    if not wanted.scales:
        return image_HWC
    mean_C, std_C = (np.array(three, np.float32) for three in (wanted.mean or (0, 0, 0), wanted.std or (1, 1, 1)))
    floats_HWC: np.ndarray = (image_HWC.astype(np.float32) / np.float32(wanted.scale or 1) - mean_C) / std_C
    return floats_HWC


def _laid(image_HWC: np.ndarray, layout: Layout) -> np.ndarray:
    laid = image_HWC if layout[-3:] == "HWC" else np.moveaxis(image_HWC, 2, 0)
    return np.ascontiguousarray(laid[None] if layout[0] == "N" else laid)


def _fitted(scores_KHW: Tensor, outer: Size, inner: Size, *, size: Size, smooth: bool = True) -> Tensor:
    """An answer to an image that was resized to `inner` and padded to `outer`, at the image's own size.

    In one step where nothing was padded, as toolkits do it.
    """
    if outer == inner:
        return _enlarged(scores_KHW, size, smooth)
    whole_KHW = _enlarged(scores_KHW, outer, smooth)
    return _enlarged(whole_KHW[:, : inner[0], : inner[1]], size, smooth)


def _normalised(scores_KHW: Tensor) -> Tensor:
    """Divided by their sum; where that is nothing, each class is as likely."""
    total_HW = scores_KHW.sum(0)
    return torch.where(total_HW > 0, scores_KHW / total_HW.clamp(min=1e-12), 1 / len(scores_KHW))


def _plain(name: str) -> str:
    """A class's name without what people spell differently: case, spaces, hyphens and underscores."""
    return "".join(c for c in name.casefold() if c not in " -_")


def _enlarged(scores_KHW: Tensor, size: Sequence[int], smooth: bool = True) -> Tensor:
    """At another size; bilinear between cells' middles, as torch and most toolkits do, or the nearest cell."""
    if tuple(scores_KHW.shape[1:]) == tuple(size):
        return scores_KHW
    if not smooth:
        return F.interpolate(scores_KHW[None], list(size), mode="nearest-exact")[0]
    return F.interpolate(scores_KHW[None], list(size), mode="bilinear", align_corners=False)[0]
