"""Template: is the answer nearer to those of shadows that trained on the scene, or to those of shadows that did not?

Needs posteriors but no labels, one query a scene, and shadows of both kinds. Attacks by the loss ask how right an
answer is. A training that never compares answers with labels (SELENA, distillation) may leave little trace there, and
still teaches the model what to say. So whole answers are compared, as posteriors averaged over a grid. A template
attack on a device does so with its power trace and the mean trace of each hypothesis (Chari et al., CHES 2002).
"""

from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import from_numpy
from torch.nn.functional import adaptive_avg_pool2d

from mia_seg.attacks._fleet import FleetAttack, ShadowCount
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answers
from mia_seg.values import Whole


class Template(FleetAttack):
    """The squared distance to the mean answer of shadows outside, minus that of shadows inside, each over its variance.

    The variance is one for all scenes: a scene's own is noise where shadows are few.
    """

    needs_labels: ClassVar[bool] = False

    cells: Whole = Field(default=4, ge=1, le=64, description="rows and columns of the grid")
    models: ShadowCount = None

    def kinds(self) -> int:
        return 2

    def reading(self, answers: Answers) -> Signals:
        """Posteriors on the grid, [N, classes x cells x cells]; of a population nothing."""
        maps = (from_numpy(answer.posterior_KHW) for answer in answers)
        scenes_ND = np.stack([adaptive_avg_pool2d(map_KHW, self.cells).numpy().ravel() for map_KHW in maps])
        return Signals(scenes_ND.astype(np.float64), np.empty((0, scenes_ND.shape[1])))

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        pairs = self.pairs(fleet)
        inside_N, outside_N = (_far(target.scenes_N, kind(pairs)) for kind in (fleet.inside, fleet.outside))
        return outside_N - inside_N


def _far(scenes_ND: np.ndarray, shadows_RND: np.ndarray) -> np.ndarray:
    """The squared distance of each scene's answer from the mean of shadows of a kind, over their variance if R > 1."""
    distance_N: np.ndarray = ((scenes_ND - shadows_RND.mean(0)) ** 2).sum(1)
    if len(shadows_RND) == 1:
        return distance_N
    variance = float(shadows_RND.var(0, ddof=1).sum(1).mean())
    if variance == 0:
        raise MiaSegError(
            f"Attack 'template': {len(shadows_RND)} shadows of a kind answer every scene alike, so that there is "
            f"nothing to compare with. Give other shadows."
        )
    return distance_N / variance
