"""Image loss: a scene with a small cross-entropy is called a member (Yeom et al., CSF 2018, on dense labels).

Needs labels and posteriors, one query a scene, and a shadow for its threshold alone.
"""

import numpy as np
from pydantic import Field

from mia_seg.answers import Statistics
from mia_seg.attacks._signals import FORMS, LossForm, loss
from mia_seg.attacks._threshold import StatisticAttack


class ImageLoss(StatisticAttack):
    """The baseline."""

    statistic: LossForm = Field(default="mean", description=FORMS)

    def signal(self, statistics: Statistics) -> np.ndarray:
        return -loss(statistics, self.statistic)
