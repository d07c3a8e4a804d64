"""Image loss: a scene with a small cross-entropy is called a member (Yeom et al., CSF 2018, on dense labels).

Needs labels and posteriors, one query a scene, and a shadow for its threshold alone. Beside the scene's score it gives
that of each part alone, always by the mean loss: where in a scene the leak is.
"""

import numpy as np
from pydantic import Field

from mia_seg.attacks import Scores
from mia_seg.attacks._signals import FORMS, LossForm, loss, part_losses
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.query.answers import Answers


class ImageLoss(StatisticAttack):
    """The baseline."""

    statistic: LossForm = Field(default="mean", description=FORMS)

    def signal(self, answers: Answers) -> np.ndarray:
        return -loss(answers.statistics, self.statistic)

    def scores(self, answers: Answers) -> Scores:
        parts = {part: -loss_N for part, loss_N in part_losses(answers).items()}
        return Scores(self.signal(answers), parts=parts)
