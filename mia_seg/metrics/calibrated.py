"""Scores in units of each scene's own, so that one threshold accuses all scenes about as often.

One threshold for raw scores has the target FPR on average. Scenes whose scores spread widely are then accused falsely
far more often than others, as Jälkö, Pradhan, Räisä & Honkela (arXiv 2605.25819) point out. Here the threshold is set
on pooled scores as everywhere, so that the FPR is realised whatever their law. Axes: M models in pairs, N scenes.
"""

import numpy as np

from mia_seg.metrics._ranking import Booleans
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.per_scene import Estimate

LEAST_PAIRS = 4  # one is the victim's, one is left out in turn, and a standard deviation takes two


def calibrated(estimate: Estimate) -> Estimate:
    """The attack's scores, calibrated: a function from models and memberships to scores, as `estimate` is."""

    def found(models: Integers, inside_MN: Booleans) -> Floats:
        return standing(estimate(models, inside_MN), inside_MN)

    return found


def standing(scores_MN: Floats, inside_MN: Booleans) -> Floats:
    """How far a scene's score by a model [M, N] stands out of those by models that did not train on the scene.

    In standard deviations of these, which come from the models of other pairs. For normal scores that is Student's
    statistic of one more draw, but for a constant. Without spread it is 0, or as large as a number can be. Three pairs
    at the least have a standard deviation.
    """
    pairs, left_MN = len(scores_MN) // 2, np.where(inside_MN, 0.0, scores_MN)
    out_PN = left_MN[0::2] + left_MN[1::2]  # in each pair, the score by the model that did not train on the scene
    found = np.empty_like(scores_MN)
    for pair in range(pairs):
        apart_PN, both = np.delete(out_PN, pair, axis=0), slice(2 * pair, 2 * pair + 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[both] = np.nan_to_num((scores_MN[both] - apart_PN.mean(0)) / apart_PN.std(0, ddof=1), nan=0.0)
    return found
