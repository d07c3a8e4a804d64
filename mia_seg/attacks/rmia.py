"""RMIA: does the model prefer the scene to scenes that nobody trained on more than shadows do (Zarifzadeh et al. 2024)?

Needs labels and posteriors, one query for each scene and each of the population, and shadows; one that left the scene
out is enough offline. A scene's probability is the geometric mean over its pixels, exp(-loss): the product underflows.
Source: ICML 2024, arXiv 2312.03262; ml_privacy_meter, modules/mia/attacks/rmia.py. Offline, what a shadow that saw the
scene would say is a P_out + (1 - a), and `a` is the best of 0, 0.1, ..., 1 in rehearsals.
"""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.metrics.membership import auc
from mia_seg.query.answers import Statistics
from mia_seg.values import Factor, Part, Temperature

GRID = tuple(k / 10 for k in range(11))


class RMIA(SignalAttack):
    """The share of the population that the scene beats."""

    needs_population: ClassVar[bool] = True
    mode: Literal["online", "offline"] = "online"
    gamma: Factor = Field(default=1.0, description="ratio by which a scene must beat a scene of the population")
    a: Part | None = Field(
        default=None,
        description="offline: shadows that saw the scene are taken to answer a P(out) + 1 - a; default: tuned",
    )
    temperature: Temperature = Field(default=1.0, description="divisor of the losses")
    models: ShadowCount = None

    def kinds(self) -> int:
        return 2 if self.mode == "online" else 1

    def signal(self, statistics: Statistics) -> np.ndarray:
        return np.asarray(np.exp(-statistics.mean_loss() / self.temperature))

    def tuned(self, fleet: Readings) -> Self:
        if self.mode == "online" or self.a is not None:
            return self
        choices = [self.model_copy(update={"a": a}) for a in GRID]
        return max(choices, key=lambda choice: _mean_auc(choice.rehearse(fleet), fleet.members_MN))

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        pairs = self.pairs(fleet)
        scene_N, population_Z = fleet.outside(pairs).mean(0), fleet.population_MZ[: 2 * pairs].mean(0)
        if self.mode == "offline":
            assert self.a is not None
            scene_N, population_Z = (((1 + self.a) * p + 1 - self.a) / 2 for p in (scene_N, population_Z))
        else:
            scene_N = (scene_N + fleet.inside(pairs).mean(0)) / 2
        bar_Z = np.sort(self.gamma * target.population_Z / population_Z)
        return np.searchsorted(bar_Z, target.scenes_N / scene_N, side="right") / len(bar_Z)


def _mean_auc(scores_MN: np.ndarray, members_MN: np.ndarray) -> float:
    return float(np.mean([auc(s, m) for s, m in zip(scores_MN, members_MN, strict=True)]))
