"""Attack R: where does the loss lie among the losses of shadows that never saw the scene (Ye et al., CCS 2022)?

Needs labels and posteriors, one query a scene, and shadows that left the scene out: two for a Gaussian, many for ranks.
"""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import log_ndtr

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.attacks._signals import FORMS, LossForm, loss
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Statistics


class AttackR(SignalAttack):
    """Each scene has a distribution of its own."""

    form: Literal["gaussian", "ranks"] = Field(
        default="gaussian",
        description="log of the Gaussian's chance of a larger loss, or the share of shadows with one (ties count half)",
    )
    statistic: LossForm = Field(default="mean", description=FORMS)
    models: ShadowCount = None

    def least_pairs(self) -> int:
        return 2 if self.form == "gaussian" else 1  # one number has no deviation

    def signal(self, statistics: Statistics) -> np.ndarray:
        return loss(statistics, self.statistic)

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        outside_RN = fleet.outside(self.pairs(fleet))
        if self.form == "ranks":
            larger, equal = outside_RN > target.scenes_N, outside_RN == target.scenes_N
            return np.asarray((larger.sum(0) + equal.sum(0) / 2) / len(outside_RN))
        deviation_N = outside_RN.std(0)
        # Equal numbers may differ in their last bit from their mean.
        if (flat := deviation_N <= 1e-12 * np.abs(outside_RN).max()).any():
            raise MiaSegError(
                f"Attack 'attack_r' has no variance: the {len(outside_RN)} shadows that left out scene "
                f"'{fleet.ids[int(np.argmax(flat))]}' all have the same loss. Give more models, or form = 'ranks'."
            )
        return np.asarray(log_ndtr((outside_RN.mean(0) - target.scenes_N) / deviation_N))
