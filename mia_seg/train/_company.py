"""A training's inputs besides its scenes: teachers, scenes outside the split, synthetic features."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric

from mia_seg.data import Scenes
from mia_seg.objectives import Teacher
from mia_seg.recipes import Train
from mia_seg.store import seed_of
from mia_seg.train._crops import Crops
from mia_seg.train._loading import Part
from mia_seg.train._source import Source


@dataclass(frozen=True)
class Company:
    """teachers: in the order of the objective's lists. beside: scenes, as many of which join each batch. source: of
    synthetic features that join it.
    """

    teachers: Sequence[Teacher] = field(default_factory=tuple)
    beside: Scenes | None = None
    source: Source | None = None

    def on(self, fabric: Fabric) -> Sequence[Teacher]:
        """The teachers, on the device."""
        for teacher in self.teachers:
            fabric.to_device(teacher.network)
        return self.teachers

    def drawn(self, settings: Train, count: int, key: tuple[int, int, str]) -> Part | None:
        """`count` crops of scenes beside, drawn with replacement by the key; None if there are no such scenes."""
        if self.beside is None:
            return None
        stream = torch.Generator().manual_seed(seed_of(*key))
        places = torch.randint(len(self.beside), (count,), generator=stream)
        crops = Crops(self.beside, settings, seed_of(*key))
        images, labels = zip(*(crops[int(place)] for place in places), strict=True)
        return torch.stack(images), torch.stack(labels), places
