"""Firmness: a scene whose predicted labels stay as its image is changed a little is called a member.

Needs predicted labels alone, no posterior and no labels; a shadow for its threshold alone; the scene as it is and four
changes of it, each beside the scene again. Source: the augmentation attack of Choquette-Choo et al. (ICML 2021, arXiv
2007.14321), where the model's own prediction stands in for the label that it compares with.
"""

from typing import ClassVar

import numpy as np

from mia_seg.attacks._signals import accuracy
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.attacks.label_only import AUGMENTED
from mia_seg.query.answers import Answers


class Firmness(StatisticAttack):
    """Share of pixels that keep their predicted label, mean over mirroring, two shifts and noise."""

    needs_posterior: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    against_own: ClassVar[bool] = True

    @property
    def transforms(self) -> tuple[str, ...]:
        return AUGMENTED

    def signal(self, answers: Answers) -> np.ndarray:
        return np.asarray(np.mean([accuracy(answers.transforms[transform]) for transform in self.transforms], 0))
