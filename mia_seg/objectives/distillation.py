"""Distillation for membership privacy (Shejwalkar & Houmansadr, AAAI 2021): the released model never meets a member.

A teacher trains on the members; the student learns its answers to other scenes. The members of the teacher are those
that an audit asks about. They leak through it (Jagielski et al., "Students Parrot Their Teachers", NeurIPS 2023).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from mia_seg.objectives import Objective
from mia_seg.objectives._distilled import DistilledGoal
from mia_seg.segmenters import Network
from mia_seg.values import Temperature


class Distillation(Objective):
    """One teacher, trained plainly on all members."""

    replaces = True
    on: Literal["reference", "members"] = Field(
        default="reference", description="scenes that the student sees: those outside the split, or the members"
    )
    temperature: Temperature = 4.0

    def taught_by(self, members: Sequence[str], group: Mapping[str, str], *, seed: int) -> list[list[str]]:
        del group, seed
        return [list(members)]

    def reference(self) -> Literal["", "beside", "instead"]:
        return "instead" if self.on == "reference" else ""

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> DistilledGoal:
        del classes
        return DistilledGoal(network, ids, "distillation", temperature=self.temperature, unseen=False)
