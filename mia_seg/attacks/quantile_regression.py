"""Quantile regression: is the model surer than of 9 in 10 such scenes that nobody saw (Bertran et al., NeurIPS 2023)?

Needs labels and posteriors, one query for each scene and each of the population, and no shadow but for the threshold.
What "such scenes" are is read from labels alone: shares of classes, of the boundary band, of small and medium objects,
and how many objects there are. A linear quantile of the mean logit confidence is fitted to the population.
"""

import numpy as np
from pydantic import Field
from sklearn.linear_model import QuantileRegressor

from mia_seg.attacks._population import PopulationAttack
from mia_seg.attacks._readings import Signals
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import PARTS, Statistics
from mia_seg.values import Share

SHARES = [PARTS.index(name) for name in ("boundary", "small", "medium")]


class QuantileRegression(PopulationAttack):
    """A threshold for each scene, without shadows."""

    quantile: Share = Field(default=0.9, gt=0, description="quantile of non-members that is a scene's threshold")

    def least_population(self, classes: int) -> int:
        return classes + 5  # one more than the features of `label_features` and a constant

    def read(self, statistics: Statistics) -> np.ndarray:
        return np.column_stack([statistics.mean_phi(), label_features(statistics)])

    def judge(self, target: Signals) -> np.ndarray:
        phi_Z, features_ZF = target.population_Z[:, 0], target.population_Z[:, 1:]
        if len(phi_Z) <= features_ZF.shape[1] + 1:
            raise MiaSegError(
                f"Attack 'quantile_regression' fits {features_ZF.shape[1] + 1} numbers to {len(phi_Z)} scenes of the "
                f"population. Give [split] a larger pool, or leave the attack out."
            )
        fitted = QuantileRegressor(quantile=self.quantile, alpha=0, solver="highs").fit(features_ZF, phi_Z)
        return np.asarray(target.scenes_N[:, 0] - fitted.predict(target.scenes_N[:, 1:]))


def label_features(statistics: Statistics) -> np.ndarray:
    """Features of a scene's labels [N, K + 3]: shares of all classes but the last, three of groups, log of objects."""
    pixels_N1 = np.maximum(statistics.pixels_NK.sum(1, keepdims=True), 1)
    # Shares sum to one: the last class's is known from the others.
    shares = np.hstack([statistics.pixels_NK[:, :-1], statistics.part_pixels_NG[:, SHARES]]) / pixels_N1
    return np.column_stack([shares, np.log1p(statistics.objects_N)])
