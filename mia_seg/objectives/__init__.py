"""What a training step minimises, in stages that name what they train. One objective is one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from mia_seg.plugins import Component
from mia_seg.segmenters import Drawn, Network

NETWORK = "network"  # the name under which a stage trains the segmenter


class Stage(NamedTuple):
    """One update within a step. trains: `"network"` or names of helpers; all else stays as it is meanwhile."""

    name: str
    trains: tuple[str, ...] = (NETWORK,)


@dataclass(frozen=True)
class Helper:
    """A network that only training needs, with its Adam; its rate falls as the segmenter's does."""

    module: nn.Module
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


class Batch:
    """What one part of a step learns from.

    image_N3HW: RGB in 0..1. labels_NHW: class ids, IGNORE where unlabelled. scene_N: the scenes' places in `ids` of
    `Objective.build`. drawn: synthetic features that join it. reference: as many scenes that are no members, where the
    objective reads them beside. epoch, step: where training stands, from 0. kept: what one stage leaves to the next of
    the same step. No dataclass: Fabric would hand each stage a copy of it.
    """

    def __init__(
        self, image_N3HW: Tensor, labels_NHW: Tensor, scene_N: Tensor, *, drawn: Drawn | None = None, epoch: int = 0,
        step: int = 0,
    ) -> None:  # fmt: skip
        self.image_N3HW, self.labels_NHW, self.scene_N = image_N3HW, labels_NHW, scene_N
        self.drawn, self.epoch, self.step = drawn, epoch, step
        self.kept: dict[str, Tensor] = {}
        self.reference: Batch | None = None

    def only(self, rows: Tensor) -> "Batch":
        """Some of its scenes, with nothing kept."""
        given = (self.image_N3HW[rows], self.labels_NHW[rows], self.scene_N[rows])
        return Batch(*given, epoch=self.epoch, step=self.step)


class Judged(NamedTuple):
    """A stage's loss (a scalar), the logits [N, K, H, W] of the real images, and numbers that the log shows."""

    loss: Tensor
    logits_NKHW: Tensor
    notes: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, and the ids of the scenes that it was trained on."""

    network: Network
    ids: frozenset[str]


class Goal(nn.Module):
    """A segmenter and its helpers on the way to an objective: a forward pass is the loss of one stage.

    A module, because a forward pass alone runs in Fabric's precision and under its strategies. scene_wise: whether the
    loss is a mean over pixels, each of which depends on its own scene alone (as far as the network looks at one).
    """

    stages: tuple[Stage, ...] = (Stage("segment"),)
    scene_wise: bool = False

    def __init__(self, network: Network, helpers: Mapping[str, Helper] | None = None) -> None:
        super().__init__()
        self.network, self.settings = network, dict(helpers or {})
        self.helpers = nn.ModuleDict({name: helper.module for name, helper in self.settings.items()})

    def meet(self, teachers: Sequence[Teacher]) -> None:
        """Take the teachers that the objective asked for, in its order; they are on the device and no part of this."""

    def forward(self, stage: str, batch: Batch) -> Judged:
        """What `stage` makes of a batch; logits are read of the first stage that trains the segmenter."""
        raise NotImplementedError


class Objective(Component):
    """Settings of an objective; `build` makes the goal. VERSION rises with what changes the trained weights."""

    VERSION: ClassVar[int] = 1

    def taught_by(self, members: Sequence[str], group: Mapping[str, str], *, seed: int) -> list[list[str]]:
        """The members that each of its teachers trains on, plainly and before it; none where it has no teachers."""
        del members, group, seed
        return []

    def kinds(self, ids: Sequence[str]) -> Mapping[str, Sequence[bool]]:
        """Kinds of scenes that it learns from in ways of their own, by name: an audit tells them apart."""
        del ids
        return {}

    def reference(self) -> Literal["", "beside", "instead"]:
        """Whether scenes of no part of the split join each batch, or are trained on instead of the members."""
        return ""

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> Goal:
        """The goal of `network` on the scenes `ids`; torch's global generator draws the helpers' weights."""
        raise NotImplementedError
