"""Doors: ways to ask a model that exists already. One door is one file.

A door gives an image to the model and returns its raw answer. The door's settings say what the answer means; it is
never guessed. `mia_seg.oracles.door` turns raw answers into posteriors and refuses what cannot be one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mia_seg.oracles.doors._kept import Kept
from mia_seg.plugins import Component
from mia_seg.values import Side

Layout = Literal["HWC", "CHW", "NHWC", "NCHW"]
Form = Literal["logits", "posterior", "labels"]
Byte = Annotated[int, Field(ge=0, le=255)]
Three = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]
# (what `Input` makes of one image, key) -> the raw answer. The key names scene, seed and repeat; most models ignore it.
Ask = Callable[[np.ndarray, int], np.ndarray]


class Settings(BaseModel):
    """A table within [door]; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Input(Settings):
    """What the model is given of an image, uint8 RGB [H, W, 3]: resized, padded, then scaled and laid out."""

    size: tuple[Side, Side] | None = Field(default=None, description="resize to (height, width); none: as it is")
    resize: Literal["bilinear", "bicubic", "nearest"] = Field(
        default="bilinear", description="interpolation; nearest as in OpenCV and PyTorch"
    )
    antialias: bool = Field(default=True, description="smooth before shrinking, as Pillow does and OpenCV does not")
    multiple: int = Field(default=1, ge=1, description="pad below and to the right to a multiple of this")
    fill: tuple[Byte, Byte, Byte] = Field(default=(0, 0, 0), description="RGB of the padding")
    channels: Literal["RGB", "BGR"] = Field(default="RGB", description="order of the channels")
    scale: float | None = Field(default=None, gt=0, description="divide by this (255: 0 to 1); none: no division")
    mean: Three | None = Field(
        default=None, description="subtract from each channel, after scale; in the order of `channels`"
    )
    std: tuple[Positive, Positive, Positive] | None = Field(
        default=None, description="divide each channel by this, after mean"
    )
    layout: Layout = Field(default="HWC", description="axes of the image; N is a batch of one")

    @property
    def scales(self) -> bool:
        """Whether bytes become floats."""
        return any(setting is not None for setting in (self.scale, self.mean, self.std))


class Output(Settings):
    """What the model answers for one image."""

    layout: Layout = Field(default="CHW", description="axes of scores; labels have only H and W, with or without N")
    stride: int = Field(
        default=1, ge=1, description="pixels of the image along a side of one cell of the answer (SegFormer: 4)"
    )
    enlarge: Literal["logits", "posterior"] = Field(
        default="logits", description="enlarge logits, or their softmax, to the image's size (bilinear)"
    )
    normalise: bool = Field(
        default=False, description="scores that do not sum to one (Mask2Former's) are divided by their sum"
    )
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="the model's classes in its order, by the data set's names; others are left out. "
        "Default: the data set's",
    )

    @field_validator("classes")
    @classmethod
    def _once_each(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name, count in Counter(names or ()).items() if count > 1]
        if twice:
            raise ValueError(f"'{twice[0]}' stands there twice; give every class of the model a name of its own")
        return names


class Door(Component):
    """Settings of a door. `answers` is what the model gives: scores of either kind, or one class id a pixel."""

    outside: ClassVar[frozenset[str]] = frozenset({"examples", "path", "trust"})  # settings that change no answer
    by_name: ClassVar[bool] = False  # it answers by a scene's name, whatever image it is given

    answers: Form = Field(description="logits, posterior, or labels (one class a pixel)")
    input: Input = Field(default=Input(), description="how an image is prepared for the model")
    output: Output = Field(default=Output(), description="what its answer means")
    examples: str | None = Field(
        default=None,
        description="folder of images with the owner's own answers (name.png, name.npy) that the door must reproduce",
    )

    @model_validator(mode="after")
    def _normalises_scores(self) -> Self:
        if self.output.normalise and self.answers != "posterior":
            raise ValueError(f"output.normalise = true is for answers = 'posterior', and these are {self.answers}")
        return self

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        """The model, ready to be asked. Raises MiaSegError with the fix.

        base: folder that paths are relative to. scenes: key -> scene id, for doors that answer by a scene's name.
        """
        raise NotImplementedError

    def open_with(self, base: Path, scenes: Mapping[int, str], scratch: Path) -> Ask:
        """As `open`. scratch: a folder that outlives this process, for doors that keep answers that were paid for."""
        del scratch
        return self.open(base, scenes)

    def kept(self, scratch: Path) -> Kept | None:
        """The answers kept in `scratch`; None for doors that keep none, because asking costs nothing."""
        del scratch
        return None

    def files(self, base: Path) -> tuple[Path, ...]:
        """The files of the model. Their content is its identity: other content is another model."""
        del base
        return ()

    @property
    def deterministic(self) -> bool:
        """Whether two answers to one image must be equal."""
        return True
