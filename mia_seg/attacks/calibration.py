"""Calibration: the loss minus what shadows that never saw the scene lose on it (Watson et al., ICLR 2022).

Needs labels and posteriors, one query a scene, and shadows; one that left the scene out is enough.
"""

import numpy as np
from pydantic import Field

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.attacks._signals import FORMS, LossForm, loss
from mia_seg.query.answers import Statistics


class Calibration(SignalAttack):
    """Difficulty calibration: what is hard for everyone counts less."""

    statistic: LossForm = Field(default="mean", description=FORMS)
    models: ShadowCount = None

    def signal(self, statistics: Statistics) -> np.ndarray:
        return loss(statistics, self.statistic)

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        return np.asarray(fleet.outside(self.pairs(fleet)).mean(0) - target.scenes_N)
