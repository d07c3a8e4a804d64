"""Label only: a scene whose predicted labels are right is called a member (gap attack, Yeom et al., CSF 2018).

Needs labels and predicted labels, no posterior, and a shadow for its threshold alone; one query a scene, and one more
for each changed image: five in all for "augmented" and for "distance". What argmax cannot hide, it reads.
Sources: the image-wise form is that of Zhang et al. (IEEE TDSC 2023). "augmented" is the augmentation attack of
Choquette-Choo et al. (ICML 2021, arXiv 2007.14321) with mIoU for "right", and "distance" their distance to the boundary
in random directions, for each pixel: how much noise its label bears.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mia_seg.attacks._signals import accuracy, miou
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.query.answers import Answers

AUGMENTED = ("flip", "shift:-4", "shift:4", "noise:0.05")
LEVELS = (0.05, 0.1, 0.2, 0.4)


class LabelOnly(StatisticAttack):
    """The scene's own mIoU or accuracy, or how well its labels withstand changes of the image."""

    needs_posterior: ClassVar[bool] = False

    statistic: Literal["miou", "accuracy", "augmented", "distance"] = Field(
        default="miou",
        description="miou: mean IoU of the scene by itself; accuracy: share of its pixels predicted rightly; "
        "augmented: mean of its mIoU as it is, mirrored, shifted and with noise; distance: how much noise a pixel's "
        "label bears before it is wrong, mean over the pixels",
    )

    @property
    def transforms(self) -> tuple[str, ...]:
        noise = tuple(f"noise:{level}" for level in LEVELS)
        return {"augmented": AUGMENTED, "distance": noise}.get(self.statistic, ())

    def signal(self, answers: Answers) -> np.ndarray:
        asked = [answers.statistics, *(answers.transforms[transform] for transform in self.transforms)]
        if self.statistic == "accuracy":
            return accuracy(answers.statistics)
        if self.statistic == "distance":
            return distance(np.stack([accuracy(statistics) for statistics in asked]))
        return np.asarray(np.mean([miou(statistics) for statistics in asked], 0))


def distance(accuracy_VN: np.ndarray) -> np.ndarray:
    """Up to what deviation of noise a pixel's predicted label is right, mean over the pixels: [N], 0 to 0.4.

    accuracy_VN: share of pixels predicted rightly without noise, then at each of `LEVELS`. A pixel that noise has
    turned wrong is taken to stay so; then that mean is the area below the accuracy, a straight line between levels.
    """
    return np.asarray(np.trapezoid(accuracy_VN, [0, *LEVELS], axis=0))
