"""The blind attacker: can images and labels alone, without any model, tell members from non-members?

A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017) with a permutation null. The classifier learns from the
audited split's own membership, which no attacker has: the best case for finding that the split is confounded.
"""

import math
from collections import Counter
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from mia_seg.evaluate.controls._ranks import central, p_value, right_pairs

VERSION = 1
ROUNDS = 999
FOLDS = 5
# Of 20 exchangeable splits 0.2 are called confounded on average.
ALPHA = 0.01
PENALTIES = np.array([0.01, 0.1, 1.0, 10.0])  # a training scene


def blind(features_NF: np.ndarray, members_N: np.ndarray, groups_N: np.ndarray, *, seed: int) -> dict[str, Any]:
    """AUC of features [N, F] for memberships [N] (bool), cross-validated by groups [N], and its p-value.

    Folds hold whole groups, member and non-member groups evenly. Under the null the groups of a fold are exchangeable:
    memberships are shuffled among the groups of each fold, in training and test alike: as the test fold's shuffle is
    independent of the training folds', the null's mean is 0.5 (exactly so for groups of equal size). Pairs of one fold
    alone are compared, because out-of-fold scores pooled over folds lean below 0.5.
    The classifier is scikit-learn's ridge regression on -1/+1, as in its RidgeClassifierCV: one factorisation serves
    all shuffles. Leaving one training scene out chooses the penalty, for each shuffle as for the truth: one difference
    in colour that scenes hardly vary in wants a small penalty, many small differences want a large one.

    Returns {"auc", "low", "high" (95% of the null), "p", "confounded", "alpha", "folds", "features"}, or
    {"untested": why} where no arrangement of so few groups could give p <= alpha, or a group is on both sides.
    """
    names_U, group_N = np.unique(groups_N, return_inverse=True)
    members_U = np.bincount(group_N, members_N, len(names_U)) / np.bincount(group_N)
    if mixed := [str(name) for name, share in zip(names_U, members_U, strict=True) if 0 < share < 1]:
        return {"untested": f"group '{mixed[0]}' holds members and non-members"}
    rng, few = np.random.default_rng(seed), int(min(members_U.sum(), (1 - members_U).sum()))
    if few < 2:
        return {"untested": f"{few} group on one side; learning from one and testing on another takes two"}
    fold_U = _folds(members_U == 1, max(2, min(FOLDS, few // 2)), rng)
    # What tells the sides apart faultlessly does so with the sides swapped, too; twice that leaves room for the draw.
    if (ways := _ways(members_U == 1, fold_U)) < 4 / ALPHA:
        return {"untested": f"{few} groups on one side can be shuffled in {ways} ways, too few for p <= {ALPHA:g}"}
    members_UR = _shuffled(members_U == 1, fold_U, rng)
    auc_R = _out_of_fold(features_NF, members_UR[group_N], fold_U[group_N])
    p = p_value(auc_R[0], auc_R[1:])
    low, high = central(auc_R[1:])
    return {
        "auc": float(auc_R[0]), "low": low, "high": high, "p": p, "confounded": p <= ALPHA, "alpha": ALPHA,
        "folds": int(fold_U.max()) + 1, "features": features_NF.shape[1],
    }  # fmt: skip


def _folds(members_U: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each group: those of either side dealt out in random order."""
    fold_U = np.empty(len(members_U), np.intp)
    for side in (members_U, ~members_U):
        fold_U[rng.permutation(np.flatnonzero(side))] = np.arange(side.sum()) % folds
    return fold_U


def _ways(members_U: np.ndarray, fold_U: np.ndarray) -> int:
    """How many memberships shuffling within the folds can give."""
    groups, members = Counter(fold_U.tolist()), Counter(fold_U[members_U].tolist())
    return math.prod(math.comb(groups[fold], members[fold]) for fold in groups)


def _shuffled(members_U: np.ndarray, fold_U: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The memberships as they are and, in the other columns, shuffled within each fold: bool [U, 1 + ROUNDS]."""
    members_UR = np.repeat(members_U[:, None], 1 + ROUNDS, 1)
    for fold in range(fold_U.max() + 1):
        rows = np.flatnonzero(fold_U == fold)
        members_UR[rows, 1:] = rng.permuted(members_UR[rows, 1:], axis=0)
    return members_UR


def _out_of_fold(features_NF: np.ndarray, members_NR: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
    """Share of rightly ordered pairs within folds, scored by what the other folds taught: [R]."""
    # Scaling sees no membership, so all scenes may shape it.
    scaled_NF = StandardScaler().fit_transform(features_NF)
    # How far scenes lie from the middle shows that one side varies more, which nothing linear in the features does.
    views = scaled_NF, StandardScaler().fit_transform(np.abs(scaled_NF))
    right_R, pairs_R = np.zeros((2, members_NR.shape[1]))
    for fold in range(fold_N.max() + 1):
        test_N = fold_N == fold
        scores_NR = _scores(views, members_NR, test_N)
        right, pairs = right_pairs(scores_NR, members_NR[test_N])
        right_R, pairs_R = right_R + right, pairs_R + pairs
    return right_R / pairs_R


def _scores(views: tuple[np.ndarray, ...], members_NR: np.ndarray, test_N: np.ndarray) -> np.ndarray:
    """What training scenes teach about the test scenes [n, R], by the view that a left-out training scene prefers."""
    targets_NR = 2.0 * members_NR[~test_N] - 1
    ridges = [
        RidgeCV(len(targets_NR) * PENALTIES, alpha_per_target=True).fit(view_NF[~test_N], targets_NR)
        for view_NF in views
    ]
    best_R = np.argmax([ridge.best_score_ for ridge in ridges], 0)
    return np.choose(best_R, [ridge.predict(view_NF[test_N]) for ridge, view_NF in zip(ridges, views, strict=True)])
