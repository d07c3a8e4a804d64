"""An objective's further inputs, as stages: its teachers, and scenes outside the split."""

from dataclasses import dataclass
from typing import Any

from mia_seg.data import Scenes
from mia_seg.objectives import Teacher
from mia_seg.stages.models import TrainedModel
from mia_seg.stages.scenes import Cut
from mia_seg.train import Company
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Accompanied:
    """teachers: trained before. reference: scenes that join each batch, or `instead` replace the members."""

    teachers: tuple[TrainedModel, ...]
    reference: Cut | None
    instead: bool

    def inputs(self) -> dict[str, Any]:
        """What shapes the training."""
        read = {"reference": self.reference.given("members"), "instead": self.instead} if self.reference else {}
        return read | ({"teachers": list(self.teachers)} if self.teachers else {})

    def trained_on(self) -> list[str] | None:
        """The scenes that take the members' place; None: the members stay."""
        return self.reference.parts.members if self.reference and self.instead else None

    def company(self, workspace: Workspace) -> Company:
        """The same, loaded."""
        store = workspace.store
        teachers = [Teacher(one.network(store), frozenset(one.partition(store).members)) for one in self.teachers]
        beside = None
        if self.reference and not self.instead:
            beside = Scenes(self.reference.dataset, workspace.data_root, self.reference.parts.members)
        return Company(teachers, beside)
