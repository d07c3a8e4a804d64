"""BASE: the scene's log-probability against the mean probability over shadows (Lassila et al., arXiv 2505.24089).

Needs labels and posteriors, one query a scene, and shadows: of both kinds online; offline those that left the scene
out, with a factor that stands for the lacking ones (0.33 in LeakPro's code). Probabilities are geometric means over
pixels. With `views` it also asks about what augmentation makes of the scene, as Carlini et al. (S&P 2022) do: a model
that never trained on the scene as it is may know it mirrored or enlarged.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.query.answers import Answers, Statistics
from mia_seg.values import Temperature, Weight

VIEWS = ("flip", "zoom:1.25", "zoom:1.5", "zoom:2")


class Base(SignalAttack):
    """The Bayes-optimal attack for a posterior over weights, approximated by sampling shadows."""

    mode: Literal["online", "offline"] = "online"
    temperature: Temperature = Field(default=1.0, description="divisor of the losses")
    scale: Weight = Field(
        default=0.33, description="offline: factor that replaces the missing shadows that trained on the scene"
    )
    views: Literal["one", "augmented"] = Field(
        default="one",
        description="augmented: four queries more a scene, mirrored and its middle enlarged 1.25, 1.5 and 2 times; "
        "losses are pooled over the pixels of all five",
    )
    models: ShadowCount = None

    @property
    def transforms(self) -> tuple[str, ...]:
        return VIEWS if self.views == "augmented" else ()

    def kinds(self) -> int:
        return 2 if self.mode == "online" else 1

    def signal(self, statistics: Statistics) -> np.ndarray:
        return -statistics.mean_loss() / self.temperature

    def reading(self, answers: Answers) -> Signals:
        asked = [answers.statistics, *(answers.transforms[transform] for transform in self.transforms)]
        # A view may hold few of the labelled pixels, or none.
        pooled = replace(
            answers.statistics,
            loss_NK=np.sum([one.loss_NK for one in asked], 0),
            pixels_NK=np.sum([one.pixels_NK for one in asked], 0),
        )
        return super().reading(replace(answers, statistics=pooled))

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        pairs = self.pairs(fleet)
        if self.mode == "offline":
            return target.scenes_N - self.scale * _log_mean_exp(fleet.outside(pairs))
        return target.scenes_N - _log_mean_exp(fleet.scenes_MN[: 2 * pairs])


def _log_mean_exp(log_RN: np.ndarray) -> np.ndarray:
    highest_N = log_RN.max(0)
    return np.asarray(np.log(np.exp(log_RN - highest_N).mean(0)) + highest_N)
