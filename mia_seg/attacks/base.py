"""BASE: the scene's log-probability against the mean probability over shadows (Lassila et al., arXiv 2505.24089).

Needs labels and posteriors, one query a scene, and shadows: of both kinds online; offline those that left the scene
out, with a factor that stands for the lacking ones (0.33 in LeakPro's code). Probabilities are geometric means over
pixels.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.query.answers import Statistics
from mia_seg.values import Temperature, Weight


class Base(SignalAttack):
    """The Bayes-optimal attack for a posterior over weights, approximated by sampling shadows."""

    mode: Literal["online", "offline"] = "online"
    temperature: Temperature = Field(default=1.0, description="divisor of the losses")
    scale: Weight = Field(
        default=0.33, description="offline: factor that replaces the missing shadows that trained on the scene"
    )
    models: ShadowCount = None

    def kinds(self) -> int:
        return 2 if self.mode == "online" else 1

    def signal(self, statistics: Statistics) -> np.ndarray:
        return -statistics.mean_loss() / self.temperature

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        pairs = self.pairs(fleet)
        if self.mode == "offline":
            return target.scenes_N - self.scale * _log_mean_exp(fleet.outside(pairs))
        return target.scenes_N - _log_mean_exp(fleet.scenes_MN[: 2 * pairs])


def _log_mean_exp(log_RN: np.ndarray) -> np.ndarray:
    highest_N = log_RN.max(0)
    return np.asarray(np.log(np.exp(log_RN - highest_N).mean(0)) + highest_N)
