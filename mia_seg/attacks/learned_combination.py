"""Learned combination: a logistic regression of all statistics of a scene, fitted on the shadow.

Needs labels and posteriors, one query a scene, and a shadow. It sees every loss form, logit confidences by class, group
of pixels and region, and the scene's own utility. Source: the shadow attack of Shokri et al. (S&P 2017), on numbers
that sum a segmenter's answers up.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
from lightning_fabric import Fabric
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from mia_seg.attacks import ATTACKER, Attack, Attacker, Membership, Scores, Thresholds
from mia_seg.attacks._signals import LossForm, accuracy, loss, means, miou, phi_vector
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import best_threshold
from mia_seg.query.answers import Answers, Statistics
from mia_seg.values import Factor

FOLDS = 5
Strength = Annotated[Factor, Field(description="inverse weight of the penalty on the squared weights")]


class LearnedCombination(Attack):
    """Weights for the statistics."""

    strength: Strength = 0.1

    def fit(self, answers: Answers, known: Membership, seed: int, *, fabric: Fabric) -> "LinearAttacker":
        """Fit the weights. The threshold is chosen on cross-validated scores, by groups of the shadow."""
        del seed, fabric
        features_NF, members_N = features(answers.statistics), known.members_N
        folds = min(FOLDS, *(len(np.unique(known.groups_N[members_N == side])) for side in (True, False)))
        if folds < 2:
            raise MiaSegError(
                "Attack 'learned_combination': the shadow has fewer than two groups of members or of non-members, and "
                "two of each are needed to learn and to validate. Give the shadow more scenes."
            )
        held_N = np.zeros(len(members_N))
        for side in _folds(known, folds):
            held_N[side] = weigh(features_NF[~side], members_N[~side], self.strength).apply(features_NF[side])
        linear = weigh(features_NF, members_N, self.strength)
        return LinearAttacker(self, linear, Thresholds(best_threshold(held_N, members_N)))

    def load(self, folder: Path, fabric: Fabric) -> "LinearAttacker":
        del fabric
        kept = json.loads((folder / ATTACKER).read_text(encoding="utf-8"))
        linear = Linear(np.array(kept["centre"]), np.array(kept["weights"]), kept["bias"])
        return LinearAttacker(self, linear, Thresholds(**kept["thresholds"]))


@dataclass(frozen=True)
class Linear:
    """Log-odds of "member": (features - centre_F) . weights_F + bias."""

    centre_F: np.ndarray
    weights_F: np.ndarray
    bias: float

    def apply(self, features_NF: np.ndarray) -> np.ndarray:
        """Log-odds [N]."""
        return np.asarray((features_NF - self.centre_F) @ self.weights_F + self.bias)


@dataclass(frozen=True)
class LinearAttacker(Attacker):
    """The weights and the threshold."""

    settings: LearnedCombination
    linear: Linear
    thresholds: Thresholds

    def score(self, answers: Answers, seed: int) -> Scores:
        del seed
        return Scores(self.linear.apply(features(answers.statistics)))

    def save(self, folder: Path) -> None:
        kept = {
            "centre": self.linear.centre_F.tolist(), "weights": self.linear.weights_F.tolist(),
            "bias": self.linear.bias, "thresholds": asdict(self.thresholds),
        }  # fmt: skip
        (folder / ATTACKER).write_text(json.dumps(kept), encoding="utf-8")


def weigh(features_NF: np.ndarray, members_N: np.ndarray, strength: float) -> Linear:
    """A logistic regression of membership on the standardised features, both sides with the same weight."""
    centre_F, deviation_F = features_NF.mean(0), features_NF.std(0)
    deviation_F[deviation_F < 1e-9] = np.inf  # what does not vary tells nothing
    fitted = LogisticRegression(C=strength, max_iter=1000, class_weight="balanced")
    fitted.fit((features_NF - centre_F) / deviation_F, members_N)
    return Linear(centre_F, fitted.coef_[0] / deviation_F, float(fitted.intercept_[0]))


def features(statistics: Statistics) -> np.ndarray:
    """Every statistic of a scene as a mean, float64 [N, F]."""
    losses = [loss(statistics, form) for form in get_args(LossForm)]
    mean_N, right_N = statistics.mean_phi(), accuracy(statistics)
    pixels_NG = statistics.part_pixels_NG
    groups = [
        means(statistics.part_loss_NG, pixels_NG, losses[0]),
        means(statistics.part_phi_NG, pixels_NG, mean_N),
        means(statistics.part_correct_NG, pixels_NG, right_N),
    ]
    return np.column_stack(
        [*losses, statistics.trimmed_loss_NT, mean_N, right_N, miou(statistics), phi_vector(statistics), *groups]
    )


def _folds(known: Membership, folds: int) -> list[np.ndarray]:
    """Masks of scenes that are held out together: whole groups, of members and of non-members apart."""
    masks = [np.zeros(len(known.members_N), bool) for _ in range(folds)]
    for side in (True, False):
        rows = np.flatnonzero(known.members_N == side)
        for mask, (_, held) in zip(masks, GroupKFold(folds).split(rows, groups=known.groups_N[rows]), strict=True):
            mask[rows[held]] = True
    return masks
