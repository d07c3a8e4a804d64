"""Image confidence: a scene that the model is sure of is called a member (Salem et al., NDSS 2019, adversary 3).

Needs posteriors and, for its threshold alone, a shadow; no labels; one query a scene. It reads what an answer tells
beside the errors in its labels.
"""

from typing import ClassVar

import numpy as np

from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.query.answers import Answers


class ImageConfidence(StatisticAttack):
    """Mean of the largest posterior over all pixels."""

    needs_labels: ClassVar[bool] = False

    def signal(self, answers: Answers) -> np.ndarray:
        return answers.statistics.confidence_N
