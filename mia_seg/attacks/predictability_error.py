"""Predictability error: the loss, less the loss that is usual for such an image and labels (Shafran et al., ICCV 2021).

Needs labels, posteriors and the images, one query a scene, and a shadow for its threshold alone. A scene that is easy
for everyone has a small loss, seen or not: its difficulty is taken off, without shadows. Of the image it sees that one
number (`mia_seg.query.difficulty`).
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answers
from mia_seg.values import Weight


class PredictabilityError(StatisticAttack):
    """Score -(L - alpha L_pred)."""

    needs_difficulty: ClassVar[bool] = True
    alpha: Weight = Field(
        default=1.0,
        description="weight of the difficulty: 1 in the authors' code, 0.5 in their ICLR 2021 text; 0: image loss",
    )

    def signal(self, answers: Answers) -> np.ndarray:
        if answers.difficulty_N is None:
            raise MiaSegError(
                "Attack 'predictability_error' was given answers without the difficulty of their scenes. Set their "
                "'difficulty_N' to what 'mia_seg.query.difficulty.difficulty' finds."
            )
        return np.asarray(self.alpha * answers.difficulty_N - answers.statistics.mean_loss())
