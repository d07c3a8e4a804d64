"""Doors: ways to ask a model that exists already. One door is one file.

A door hands an image over as the model wants it and gives back what it answers, raw. What that means is said by the
door's settings and never guessed; `mia_seg.oracles.door` makes posteriors of it and refuses what cannot be one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mia_seg.data import Side
from mia_seg.plugins import Component

Layout = Literal["HWC", "CHW", "NHWC", "NCHW"]
Form = Literal["logits", "posterior", "labels"]
Byte = Annotated[int, Field(ge=0, le=255)]
Three = tuple[float, float, float]
# (what `Input` makes of one image, key) -> the raw answer. The key names scene, seed and repeat; most models ignore it.
Ask = Callable[[np.ndarray, int], np.ndarray]


class Settings(BaseModel):
    """A table within [door]; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Input(Settings):
    """What the model is given of an image, uint8 RGB [H, W, 3]: resized, padded, then scaled and laid out."""

    size: tuple[Side, Side] | None = Field(default=None, description="resize to (height, width); none: as it is")
    resize: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    antialias: bool = Field(default=True, description="smooth before shrinking, as Pillow does and OpenCV does not")
    multiple: int = Field(default=1, ge=1, description="pad below and to the right to a multiple of this")
    fill: tuple[Byte, Byte, Byte] = Field(default=(0, 0, 0), description="RGB of the padding")
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float | None = Field(default=None, gt=0, description="divide by this (255: 0 to 1); none: bytes stay")
    mean: Three | None = Field(default=None, description="subtract from each channel after scaling, in its order")
    std: Three | None = Field(default=None, description="divide each channel by this after that")
    layout: Layout = "HWC"


class Output(Settings):
    """What the model answers for one image."""

    layout: Layout = Field(default="CHW", description="axes of scores; labels are H and W, with N before or without")
    stride: int = Field(default=1, ge=1, description="the answer has a cell for so many pixels a side (SegFormer: 4)")
    enlarge: Literal["logits", "posterior"] = Field(
        default="logits", description="what is enlarged (bilinear) where the answer is smaller than the image"
    )
    normalise: bool = Field(
        default=False, description="divide a posterior by its sum where it is none by itself (Mask2Former's scores)"
    )
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="the model's classes in its order, by the data set's names; others are left out. "
        "Default: the data set's",
    )


class Door(Component):
    """Settings of a door. `answers` is what the model gives: scores of either kind, or one class id a pixel."""

    answers: Form = Field(description="logits, posterior, or labels (one class a pixel)")
    input: Input = Input()
    output: Output = Output()
    examples: str | None = Field(
        default=None,
        description="folder of images with the owner's own answers (name.png, name.npy) that the door must reproduce",
    )

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        """The model, ready to be asked. Raises MiaSegError with the fix.

        base: what paths are relative to. scenes: the scene that a key is of, for a door that answers by names.
        """
        raise NotImplementedError

    def open_with(self, base: Path, scenes: Mapping[int, str], scratch: Path) -> Ask:
        """`open`, with a folder that outlives this process, for a door that keeps there what it paid for."""
        del scratch
        return self.open(base, scenes)

    def files(self, base: Path) -> tuple[Path, ...]:
        """The files that make the model what it is: their content is its identity."""
        del base
        return ()

    @property
    def deterministic(self) -> bool:
        """Whether two answers to one image must be equal."""
        return True
