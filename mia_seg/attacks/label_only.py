"""Label only: a scene whose predicted labels are right is called a member (gap attack, Yeom et al., CSF 2018).

Needs labels and predicted labels, no posterior; one query a scene, and a shadow for its threshold alone. Its image-wise
form is that of Zhang et al. (IEEE TDSC 2023), without their augmented queries. What argmax cannot hide, it reads.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.answers import Statistics
from mia_seg.attacks._signals import accuracy, miou
from mia_seg.attacks._threshold import StatisticAttack


class LabelOnly(StatisticAttack):
    """The scene's own utility."""

    statistic: Literal["miou", "accuracy"] = Field(
        default="miou", description="mean IoU of the scene by itself, or its share of pixels predicted rightly"
    )

    def signal(self, statistics: Statistics) -> np.ndarray:
        return {"miou": miou, "accuracy": accuracy}[self.statistic](statistics)
