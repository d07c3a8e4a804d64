"""Label only: a scene whose predicted labels are right is called a member (gap attack, Yeom et al., CSF 2018).

Needs labels and predicted labels, no posterior, and a shadow for its threshold alone; one query a scene, and one more
for each changed image: five in all for "augmented" and for "distance". What argmax cannot hide, it reads.
Sources: the image-wise form is that of Zhang et al. (IEEE TDSC 2023). "augmented" is the augmentation attack of
Choquette-Choo et al. (ICML 2021, arXiv 2007.14321) and "distance" their random-noise attack, with mIoU for "right".
"""

from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.answers import Answers
from mia_seg.attacks._signals import accuracy, miou
from mia_seg.attacks._threshold import StatisticAttack

AUGMENTED = ("flip", "shift:-4", "shift:4", "noise:0.05")
LEVELS = (0.05, 0.1, 0.2, 0.4)


class LabelOnly(StatisticAttack):
    """The scene's own utility, or how firm it is."""

    statistic: Literal["miou", "accuracy", "augmented", "distance"] = Field(
        default="miou",
        description="miou: mean IoU of the scene by itself; accuracy: share of its pixels predicted rightly; "
        "augmented: mean of its mIoU as it is, mirrored, shifted and with noise; distance: noise that halves its mIoU",
    )

    @property
    def views(self) -> tuple[str, ...]:
        noise = tuple(f"noise:{level}" for level in LEVELS)
        return {"augmented": AUGMENTED, "distance": noise}.get(self.statistic, ())

    def signal(self, answers: Answers) -> np.ndarray:
        if self.statistic == "accuracy":
            return accuracy(answers.statistics)
        miou_VN = np.stack([miou(s) for s in (answers.statistics, *(answers.views[view] for view in self.views))])
        if self.statistic == "distance":
            return np.array([distance(miou_V) for miou_V in miou_VN.T])
        return np.asarray(miou_VN.mean(0))


def distance(miou_V: np.ndarray) -> float:
    """The level of noise at which a scene's mIoU first falls below half of its undisturbed one, the first value.

    miou_V: without noise, then at each of `LEVELS`; between two levels it is a straight line. A scene that never falls
    gets the largest level, one whose mIoU is 0 from the start gets 0.
    """
    levels_V, half = np.array([0, *LEVELS]), miou_V[0] / 2
    fallen = np.flatnonzero(miou_V < half)
    if not len(fallen):
        return LEVELS[-1] if half else 0.0
    span = [fallen[0], fallen[0] - 1]
    return float(np.interp(half, miou_V[span], levels_V[span]))
