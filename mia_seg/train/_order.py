"""The order of scenes in training, the same for any number of devices, and each device's share of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import Sampler

from mia_seg.errors import MiaSegError
from mia_seg.recipes import Train
from mia_seg.store import seed_of

Drawing = Callable[[tuple[int, int, str]], Iterator[list[int]] | None]


@dataclass(frozen=True)
class Plan:
    """How many steps a training has, and how the `batch` scenes of each are divided among devices.

    A last batch of few scenes would break batch normalisation of a 1x1 bin, so scenes that do not fill a batch are left
    to other epochs. If the recipe counts steps, the last epoch may be shorter.
    """

    scenes: int
    settings: Train
    rank: int = 0
    world: int = 1

    def check(self, title: str) -> None:
        """Raise MiaSegError where the scenes do not fill a batch, or a batch cannot be dealt out evenly."""
        batch = self.settings.batch
        if self.scenes < batch:
            raise MiaSegError(f"{title}: {self.scenes} scenes do not fill a batch of {batch}. Lower [train] batch.")
        check_shared(title, self.settings, self.world)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.steps or (self.settings.epochs or 0) * self.an_epoch

    @property
    def an_epoch(self) -> int:
        """Steps of an epoch that is not cut short."""
        return self.scenes // self.settings.batch

    @property
    def epochs(self) -> int:
        """Epochs begun."""
        return -(-self.steps // self.an_epoch)

    def steps_of(self, epoch: int) -> int:
        """Steps of one epoch."""
        return min(self.an_epoch, self.steps - epoch * self.an_epoch)

    @property
    def share(self) -> int:
        """Scenes that one device takes at a time."""
        return self.settings.batch // (self.settings.accumulate * self.world)


def check_shared(title: str, settings: Train, devices: int) -> None:
    """Raise MiaSegError where a batch cannot be dealt out evenly to so many devices."""
    batch, parts = settings.batch, settings.accumulate * devices
    if batch % parts or batch // parts < 2:
        raise MiaSegError(
            f"{title}: [train] batch = {batch} is what all devices share, and {devices} of them in "
            f"{settings.accumulate} parts (accumulate) cannot take two or more scenes each. "
            f"Use fewer devices, or change batch or accumulate."
        )


class Shares(Sampler[list[int]]):
    """Lists of scenes for one device: `accumulate` lists a step, from step `first` of the epoch to its end.

    The order is that of torch's RandomSampler on the epoch's stream. Devices split a part of a step between them, so
    that it holds the same scenes whatever their number. drawn: the lists of an epoch by its key, where scenes are not
    taken in turn.
    """

    def __init__(self, plan: Plan, seed: int, drawn: Drawing | None = None) -> None:
        self.plan, self.seed, self.epoch, self.first, self.drawn = plan, seed, 0, 0, drawn

    def __len__(self) -> int:
        return (self.plan.steps_of(self.epoch) - self.first) * self.plan.settings.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        lists = self.drawn((self.seed, self.epoch, "scenes")) if self.drawn else None
        return self._in_turn() if lists is None else islice(lists, self.first, self.first + len(self))

    def _in_turn(self) -> Iterator[list[int]]:
        order, plan = order_of(self.plan.scenes, self.seed, self.epoch), self.plan
        first = self.first * plan.settings.accumulate
        for part in range(first, first + len(self)):
            start = (part * plan.world + plan.rank) * plan.share
            yield order[start : start + plan.share]


def order_of(scenes: int, seed: int, epoch: int) -> list[int]:
    """The order of an epoch: its stream's second number seeds a permutation, the first is the loader's."""
    stream = torch.Generator().manual_seed(seed_of(seed, epoch, "rank 0"))
    _, drawn = (int(torch.empty((), dtype=torch.int64).random_(generator=stream)) for _ in range(2))
    return torch.randperm(scenes, generator=torch.Generator().manual_seed(drawn)).tolist()


def start_noise(seed: int, epoch: int) -> None:
    """Begin the epoch's stream of dropout noise: what the order did not take of it."""
    torch.manual_seed(seed_of(seed, epoch, "rank 0"))
    for _ in range(2):
        torch.empty((), dtype=torch.int64).random_()
