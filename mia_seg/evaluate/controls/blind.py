"""The blind attacker: can images and labels alone, without any model, tell members from non-members?

A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017) with a permutation null. The classifier learns from the true
memberships of the audited split, which no attacker has. That is the best case for finding that a split is confounded.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from mia_seg.evaluate.controls._ranks import central, p_value, right_pairs

VERSION = 2
ROUNDS = 999
FOLDS, FOLDINGS = 5, 10  # a single folding would change p by a factor of six, depending on its draw
# Of 20 exchangeable splits 0.2 are called confounded on average.
ALPHA = 0.01
PENALTIES = np.array([0.01, 0.1, 1.0, 10.0])  # for each training scene


def blind(features_NF: np.ndarray, members_N: np.ndarray, groups_N: np.ndarray, *, seed: int) -> dict[str, Any]:
    """The blind attacker's AUC on features [N, F] for memberships [N] (bool), cross-validated by groups [N], and its p.

    Folds are made of whole groups. They are drawn `FOLDINGS` times, without regard to memberships. The AUC counts pairs
    of scenes within a fold, over all folds. Under the null hypothesis groups are exchangeable. Memberships are
    therefore shuffled among groups, and every shuffle uses the same foldings, which makes p exact. A fold with more
    members leaves fewer members to the other folds, so the mean of the null is a little below 0.5 if groups are few.

    The classifier is scikit-learn's ridge regression on -1/+1, as in its RidgeClassifierCV. One factorisation serves
    all shuffles. Leave-one-out chooses the penalty, for each shuffle as for the true memberships. A single difference
    in a colour that hardly varies needs a small penalty; many small differences need a large one.

    Returns {"auc", "low", "high", "p", "confounded", "alpha", "folds", "features"}; [low, high] is the middle 95% of
    the null. Returns {"untested": why} if there are too few groups for any p <= alpha, or if a group is on both sides.
    """
    names_U, group_N = np.unique(groups_N, return_inverse=True)
    members_U = np.bincount(group_N, members_N, len(names_U)) / np.bincount(group_N)
    if mixed := [str(name) for name, share in zip(names_U, members_U, strict=True) if 0 < share < 1]:
        return {"untested": f"group '{mixed[0]}' holds members and non-members"}
    rng, few = np.random.default_rng(seed), int(min(members_U.sum(), (1 - members_U).sum()))
    if few < 2:
        return {"untested": f"{few} group on one side; learning from one and testing on another takes two"}
    # A faultless classifier may be faultless with the sides swapped too: 2 of `ways` shuffles then reach its AUC.
    # Another factor of two leaves room for the random draw of shuffles.
    if (ways := math.comb(len(names_U), few)) < 4 / ALPHA:
        return {"untested": f"{few} groups on one side can be shuffled in {ways} ways, too few for p <= {ALPHA:g}"}
    folds = max(2, min(FOLDS, few // 2))
    fold_LU = [rng.permutation(np.arange(len(names_U)) % folds) for _ in range(FOLDINGS)]
    members_UR = np.repeat(members_U[:, None] == 1, 1 + ROUNDS, 1)
    members_UR[:, 1:] = rng.permuted(members_UR[:, 1:], axis=0)
    auc_R = _out_of_fold(features_NF, members_UR[group_N], [fold_U[group_N] for fold_U in fold_LU])
    p = p_value(auc_R[0], auc_R[1:])
    low, high = central(auc_R[1:])
    return {
        "auc": float(auc_R[0]), "low": low, "high": high, "p": p, "confounded": p <= ALPHA, "alpha": ALPHA,
        "folds": folds, "features": features_NF.shape[1],
    }  # fmt: skip


def _out_of_fold(features_NF: np.ndarray, members_NR: np.ndarray, foldings: Sequence[np.ndarray]) -> np.ndarray:
    """The AUC [R] over all foldings: the share of rightly ordered pairs in a fold, by a classifier from the others."""
    # Scaling uses no membership, so it may be fitted on all scenes.
    scaled_NF = StandardScaler().fit_transform(features_NF)
    # The second view, distances from the mean, finds sides that vary differently. A linear classifier would miss these.
    views = scaled_NF, StandardScaler().fit_transform(np.abs(scaled_NF))
    right_R, pairs_R = np.zeros((2, members_NR.shape[1]))
    for test_N in (fold_N == fold for fold_N in foldings for fold in range(fold_N.max() + 1)):
        scores_NR = _scores(views, members_NR, test_N)
        right, pairs = right_pairs(scores_NR, members_NR[test_N])
        right_R, pairs_R = right_R + right, pairs_R + pairs
    return right_R / pairs_R


def _scores(views: tuple[np.ndarray, ...], members_NR: np.ndarray, test_N: np.ndarray) -> np.ndarray:
    """Scores of the test scenes [n, R], by the view of the features with the best leave-one-out score in training."""
    targets_NR = 2.0 * members_NR[~test_N] - 1
    ridges = [
        RidgeCV(len(targets_NR) * PENALTIES, alpha_per_target=True).fit(view_NF[~test_N], targets_NR)
        for view_NF in views
    ]
    best_R = np.argmax([ridge.best_score_ for ridge in ridges], 0)
    return np.choose(best_R, [ridge.predict(view_NF[test_N]) for ridge, view_NF in zip(ridges, views, strict=True)])
