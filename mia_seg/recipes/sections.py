"""The sections of a recipe that say how things are trained and asked."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mia_seg.values import Batch, Byte, Epochs, Factor, Finite, Name, Part, Rate, Share, Side, Switch, Weight, Whole

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
# Beyond these a scene is a spot in its crop, or a crop a spot of its scene.
Zoom = Annotated[Finite, Field(ge=0.01, le=100)]
# At a millisecond each, a thousand million steps take twelve days.
Steps = Annotated[Whole, Field(ge=1, le=10**9)]
Parts = Annotated[Whole, Field(ge=1, le=10**5)]
# A hundredth of a window apart, ten thousand windows read each pixel.
Overlap = Annotated[Finite, Field(ge=0, le=0.99)]
Layouts = Annotated[Whole, Field(ge=0, le=10**4)]


class Section(BaseModel):
    """A table of a recipe; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Train(Section):
    """Optimisation: SGD with momentum under the poly schedule, lr * (1 - step/steps)^power."""

    epochs: Epochs | None = Field(default=None, description="passes over the scenes; this or `steps`")
    steps: Steps | None = Field(default=None, description="all steps of the training, as published recipes count")
    batch: Batch = Field(description="scenes a step, on all devices together; batch normalisation needs two")
    accumulate: Parts = Field(
        default=1, description="parts that a step's batch is processed in; batch norm's statistics are a part's"
    )
    lr: Rate
    head_lr: Rate = Field(default=1.0, description="factor on lr outside the backbone (PSPNet: 10)")
    momentum: Share = 0.9
    weight_decay: Weight = 1e-4
    power: Factor = 0.9
    crop: tuple[Side, Side] = Field(description="(height, width) of a training crop")
    scale: tuple[Zoom, Zoom] = Field(default=(1.0, 1.0), description="range of the random rescaling")
    fill: tuple[Byte, Byte, Byte] | None = Field(
        default=None, description="RGB beyond the edges of a scene smaller than the crop; default: black"
    )
    flip: Switch = Field(default=True, description="mirror half of the scenes")
    precision: Precision = "32-true"
    start: Name | None = Field(default=None, description="a victim recipe whose weights to begin with")
    trains: Literal["all", "head"] = Field(
        default="all", description="head: only the classifying layer; all other weights stay those of `start`"
    )

    @model_validator(mode="after")
    def _possible(self) -> "Train":
        if self.trains == "head" and self.start is None:
            raise ValueError("trains = 'head' keeps all other weights: give start, a victim that was trained before")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give epochs or steps, one of the two")
        if self.batch % self.accumulate or self.batch // self.accumulate < 2:
            raise ValueError(
                f"batch = {self.batch} is not accumulate = {self.accumulate} parts of two scenes or more. Change one"
            )
        return self


class Window(Section):
    """Windows by which images are read; without this section an image is read in one piece."""

    size: tuple[Side, Side] = Field(description="(height, width) of a window")
    overlap: Overlap = Field(default=1 / 3, description="share of a window that its neighbour covers")
    mirror: Switch = Field(default=False, description="add the logits of every window's mirror image")


class TrainGenerator(Section):
    """Optimisation of a generator of features: Adam at a constant rate that then falls linearly (BicycleGAN)."""

    objective: Literal["bicycle", "regression"] = Field(
        default="bicycle", description="bicycle for dfgan and bicyclegan, regression for stochastic"
    )
    epochs: Epochs = Field(default=40, description="passes over the scenes (thesis 6.3.1: 60 and 20)")
    decay: Part = Field(default=0.5, description="share of the epochs, at the end, in which the rate falls")
    batch: Batch = Field(
        default=4,
        multiple_of=2,
        description="scenes a step: half are encoded, half are the second discriminator's truth",
    )
    lr: Rate = 2e-4
    reconstruction: Weight = Field(default=10.0, description="weight of the L1 term (BicycleGAN: 10)")
    decoding: Weight = Field(
        default=0.0,
        description="weight of the cross-entropy between what drawn and real features decode to (thesis: 0)",
    )
    held_out: Share = Field(default=0.1, gt=0, description="share of the members kept aside for the score")
    layout: Literal["labels", "predictions"] = Field(
        default="labels",
        description="what the generator learns from: labels, ignored pixels filled by the segmenter's "
        "prediction, or its predictions everywhere",
    )
    neighbours: Part = Field(
        default=0.0,
        description="regression: features of scenes of the batch are targets, too, whose layouts differ in less than "
        "this share of the area; 0: none",
    )

    @model_validator(mode="after")
    def _read(self) -> "TrainGenerator":
        if self.neighbours and self.objective != "regression":
            raise ValueError("neighbours is for objective = 'regression' alone: set that, or leave neighbours out")
        return self


class Synthetic(Section):
    """Generated features that join the real scenes of each batch and train the decoder (thesis, chapter 6)."""

    of: Name = Field(
        description="the victim recipe, at the same seed, whose weights this one begins with and whose generator draws"
    )
    share: Share = Field(
        default=0.3, description="share of generated features in a batch, besides `batch` scenes; 0: the control"
    )
    smoothing: Share = Field(default=0.1, description="epsilon of equation 6.3 (ADE20K: 0.1, Cityscapes: 1e-4)")
    mine: Layouts = Field(
        default=12,
        description="layouts tried every 10 steps; features are drawn for the harder half. 0: for any layout",
    )
    masks: Literal["members", "labels", "pseudo"] = Field(
        default="members",
        description="for a quarter of the layouts: labels or pseudo-labels of scenes that are in no part of the split",
    )
    data: dict[str, Any] | None = Field(
        default=None, description="another data set, as in [data], to take those scenes from"
    )
