"""Updates: how gradients become a step, of the whole batch at once or scene by scene. One update is one file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lightning_fabric import Fabric
from torch import Tensor, nn

from mia_seg.objectives import Batch, Goal, Judged, Stage
from mia_seg.plugins import Component


@dataclass(frozen=True)
class Step:
    """The inputs of one update.

    run: the goal under Fabric's strategy. shares: the weight of each part; weighted so, losses summed over parts and
    averaged over devices are the loss of the whole batch. parameters: what the stage trains. key: (seed, epoch, step),
    for random draws.
    """

    run: Any
    fabric: Fabric
    stage: Stage
    parts: Sequence[Batch]
    shares: Sequence[Tensor]
    parameters: Sequence[nn.Parameter]
    training: "Training"
    key: tuple[int, int, str]


@dataclass(frozen=True)
class Training:
    """Facts of a training, for checks of an update.

    batch: scenes of a step on all devices. drawn: whether synthetic features join it. frozen: whether batch norms keep
    their first statistics. repeated: whether some scene is listed twice. objective: its name.
    """

    title: str
    scenes: int
    batch: int
    steps: int
    accumulate: int = 1
    devices: int = 1
    drawn: bool = False
    frozen: bool = False
    repeated: bool = False
    precision: str = "32-true"
    objective: str = "supervised"


@dataclass(frozen=True)
class Spent:
    """The proven privacy of a training: epsilon at delta for adding or removing one scene, and the accountant.

    epsilon: None if it is infinite, because there is no noise.
    """

    epsilon: float | None
    delta: float
    accountant: str
    noise: float
    clip: float


class Update(Component):
    """Settings of an update. Raise VERSION with any change of the trained weights."""

    VERSION: ClassVar[int] = 1

    def check(self, goal: Goal, training: Training) -> None:
        """Raise MiaSegError if this update does not fit the goal or its training."""

    def lists(self, training: Training, key: tuple[int, int, str]) -> Iterator[list[int]] | None:
        """The scenes of each step of an epoch, without end; None: each epoch takes every scene once, in whole batches.

        key: seed, epoch and what the draw is for.
        """
        del training, key
        return None

    def gradients(self, step: Step) -> list[Judged]:
        """Fill the gradients of the step's parameters; returns each part's result, its loss weighted by its share."""
        raise NotImplementedError

    def spent(self, training: Training) -> Spent | None:
        """The proven privacy of the training; None if nothing is proven."""
        del training
        return None
