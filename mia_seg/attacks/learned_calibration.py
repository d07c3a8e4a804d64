"""Learned calibration: all statistics of a scene, and each less its mean over shadows that left the scene out.

Needs labels and posteriors, one query a scene, and six shadows or more. A logistic regression as in the learned
combination (the shadow attack of Shokri et al., S&P 2017), fitted on every shadow in the victim's place; the
differences are difficulty calibration (Watson et al., ICLR 2022) of every statistic.
"""

import numpy as np

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.attacks.learned_combination import Strength, features, weigh
from mia_seg.query.answers import Statistics


class LearnedCalibration(SignalAttack):
    """Weights for the statistics and for how unusual they are."""

    strength: Strength = 0.1
    models: ShadowCount = None

    def least_pairs(self) -> int:
        return 2  # it learns from shadows in the victim's place, and of one pair none is left to compare with

    def signal(self, statistics: Statistics) -> np.ndarray:
        return features(statistics)

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        known = fleet.first(self.pairs(fleet))
        seen = [_calibrated(known.target(model), known.apart(model)) for model in range(len(known))]
        linear = weigh(np.concatenate(seen), known.members_MN.ravel(), self.strength)
        return linear.apply(_calibrated(target, known))


def _calibrated(target: Signals, fleet: Readings) -> np.ndarray:
    """Of each scene what the target reads, and what that is above the shadows that left the scene out: [N, 2F]."""
    return np.hstack([target.scenes_N, target.scenes_N - fleet.outside(fleet.pairs).mean(0)])
