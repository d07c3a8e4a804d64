"""SELENA (Tang et al., USENIX Security 2022): a student learns of each member what models that never saw it answer.

Split-AI: of K teachers each member is left out of L. Self-distillation: the target of a member is the mean answer of
those L. Scenes of one group (frames of a video, views of a place) are left out together, or a twin would tell of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, cycle
from math import comb
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from mia_seg.objectives import Objective
from mia_seg.objectives._distilled import DistilledGoal
from mia_seg.segmenters import Network
from mia_seg.values import Temperature, Whole

Few = Annotated[Whole, Field(ge=1, le=100)]
OFTEN = 10  # times that each choice of teachers comes at the least, where groups take turns with all choices


class SELENA(Objective):
    """The paper's K = 25 and L = 10 for tens of thousands of images; fewer where members are few."""

    replaces = True
    hides = True
    models: Few = Field(default=5, description="K: number of teachers")
    left_out: Few = Field(default=2, description="L: number of teachers that do not train on a member")
    temperature: Temperature = 1.0

    @model_validator(mode="after")
    def _some_of_both(self) -> Self:
        if self.left_out >= self.models:
            raise ValueError(f"left_out = {self.left_out} of models = {self.models} leaves none to train on a scene")
        return self

    def taught_by(self, members: Sequence[str], group: Mapping[str, str], *, seed: int) -> list[list[str]]:
        """Groups in a random order take turns with choices of L teachers that leave them out."""
        groups, draw = sorted({group[i] for i in members}), np.random.default_rng(seed)
        order = draw.permutation(len(groups))
        out = {groups[place]: chosen for place, chosen in zip(order, self._turns(len(groups), draw), strict=False)}
        return [[i for i in members if teacher not in out[group[i]]] for teacher in range(self.models)]

    def _turns(self, groups: int, draw: np.random.Generator) -> Iterator[Collection[int]]:
        """Choices of L teachers without end, each teacher in as many as any other, or nearly."""
        if OFTEN * comb(self.models, self.left_out) <= groups:
            yield from cycle(combinations(range(self.models), self.left_out))
        while True:  # too many choices to have each: K turns on a shuffled ring leave each teacher out L times
            ring = draw.permutation(self.models)
            yield from (np.roll(ring, turn)[: self.left_out].tolist() for turn in range(self.models))

    def build(self, network: Network, classes: int, *, ids: Sequence[str]) -> DistilledGoal:
        del classes
        return DistilledGoal(network, ids, "selena", temperature=self.temperature, unseen=True)
