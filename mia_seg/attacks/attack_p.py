"""Attack P: where does the loss lie among the losses of scenes that nobody trained on (Ye et al., CCS 2022)?

Needs labels and posteriors, one query for each scene and each of the population, and no shadow but for the threshold.
The score is the share of the population that loses more, so that a false-alarm rate can be set before any member is
seen. Its ROC is the image loss's, up to ties; compared within groups of scenes it is not.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.attacks._population import PopulationAttack
from mia_seg.attacks._readings import Signals
from mia_seg.attacks._signals import FORMS, LossForm, loss
from mia_seg.query.answers import Statistics

FEWEST = 20


class AttackP(PopulationAttack):
    """One distribution for all scenes, or one for each group."""

    group: Literal["none", "dominant_class"] = Field(
        default="none",
        description="scenes of the same most frequent class are compared with each other; one with fewer than 20 of "
        "its group in the population with all",
    )
    statistic: LossForm = Field(default="mean", description=FORMS)

    def read(self, statistics: Statistics) -> np.ndarray:
        return np.stack([loss(statistics, self.statistic), statistics.pixels_NK.argmax(1)], 1)

    def judge(self, target: Signals) -> np.ndarray:
        (scenes_N, group_N), (population_Z, group_Z) = target.scenes_N.T, target.population_Z.T
        scores_N = share_above(scenes_N, population_Z)
        for group in np.unique(group_N) if self.group == "dominant_class" else ():
            mine, peers = group_N == group, population_Z[group_Z == group]
            if len(peers) >= FEWEST:
                scores_N[mine] = share_above(scenes_N[mine], peers)
        return scores_N


def share_above(values_N: np.ndarray, population_Z: np.ndarray) -> np.ndarray:
    """Share of the population with a larger value, ties counting half: [N]."""
    ordered_Z = np.sort(population_Z)
    at_most, less = (np.searchsorted(ordered_Z, values_N, side) for side in ("right", "left"))
    return np.asarray(1 - (at_most + less) / (2 * len(ordered_Z)))
