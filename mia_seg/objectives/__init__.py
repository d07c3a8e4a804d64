"""Objectives: what a training step minimises, stage by stage. One objective is one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.plugins import Component
from mia_seg.segmenters import Drawn, Network

NETWORK = "network"  # the name under which a stage trains the segmenter


class Stage(NamedTuple):
    """One update within a step. trains: "network" or names of helpers; the stage changes nothing else."""

    name: str
    trains: tuple[str, ...] = (NETWORK,)


@dataclass(frozen=True)
class Helper:
    """A network that only training needs, with its Adam optimiser; its rate falls as the segmenter's does."""

    module: nn.Module
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


class Batch:
    """The input of one part of a training step.

    image_N3HW: float, RGB in 0..1. labels_NHW: int64 class ids, IGNORE where unlabelled. scene_N: the scenes' places in
    `ids` of `Objective.build`. drawn: synthetic features that join the batch. reference: as many non-member scenes, if
    the objective asked for them. epoch, step: from 0. kept: a dict that stages of the same step share. Not a dataclass,
    because Fabric would give each stage a copy.
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
        """Some scenes of the batch, with an empty `kept`."""
        given = (self.image_N3HW[rows], self.labels_NHW[rows], self.scene_N[rows])
        return Batch(*given, epoch=self.epoch, step=self.step)


class Judged(NamedTuple):
    """A stage's loss (scalar), the logits [N, K, H, W] of the real images, and further numbers for the log."""

    loss: Tensor
    logits_NKHW: Tensor
    notes: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, and the ids of the scenes that it was trained on."""

    network: Network
    ids: frozenset[str]


class Goal(nn.Module):
    """A segmenter and its helpers during training: a forward pass returns the loss of one stage.

    It is a module, because only forward passes run in Fabric's precision and under its strategies. scene_wise: whether
    the loss is a mean over images by their `counts`, and an image's loss depends on it alone (if the network's answer
    does).
    """

    stages: tuple[Stage, ...] = (Stage("segment"),)
    scene_wise: bool = False

    def __init__(self, network: Network, helpers: Mapping[str, Helper] | None = None) -> None:
        super().__init__()
        self.network, self.settings = network, dict(helpers or {})
        self.helpers = nn.ModuleDict({name: helper.module for name, helper in self.settings.items()})

    def meet(self, teachers: Sequence[Teacher]) -> None:
        """Receive the teachers that the objective asked for, in its order; they are on the device, no submodules."""

    def counts(self, labels_NHW: Tensor) -> Tensor:
        """How much each image counts in the loss of its batch: int64 [N], its labelled pixels if nothing else is said.

        Parts of a batch are weighted by their sums; the ratios tell a scene's own loss from the batch's.
        """
        return (labels_NHW != IGNORE).flatten(1).sum(1)

    def forward(self, stage: str, batch: Batch) -> Judged:
        """The loss of `stage` on a batch. Logits are read from the first stage that trains the segmenter."""
        raise NotImplementedError


class Objective(Component):
    """Settings of an objective; `build` makes its goal. Raise VERSION with any change of the trained weights.

    replaces: whether targets of its own take the place of the network's loss. hides: whether some scenes' labels are
    not to be learnt from, so that a network that reads all of them before its first step is refused.
    """

    VERSION: ClassVar[int] = 1
    replaces: ClassVar[bool] = False
    hides: ClassVar[bool] = False

    def taught_by(self, members: Sequence[str], group: Mapping[str, str], *, seed: int) -> list[list[str]]:
        """For each teacher, the members that it trains on, plainly and before the student; [] without teachers."""
        del members, group, seed
        return []

    def kinds(self, ids: Sequence[str]) -> Mapping[str, Sequence[bool]]:
        """name -> bool for each of `ids`: kinds of scenes that it learns from differently. Audits report each kind."""
        del ids
        return {}

    def reference(self) -> Literal["", "beside", "instead"]:
        """Whether it needs scenes outside the split: "beside" the members in each batch, or "instead" of them."""
        return ""

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> Goal:
        """The goal of `network` on the scenes `ids`; torch's global generator draws the helpers' weights."""
        raise NotImplementedError
