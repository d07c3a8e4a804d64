"""An attack's scores under meaningless memberships: shuffled ones, and halves of the non-members."""

from typing import Any

import numpy as np

from mia_seg.evaluate.controls._ranks import central, p_value, right_pairs

ROUNDS = 1000


def shuffled(scores_N: np.ndarray, members_N: np.ndarray, groups_N: np.ndarray, *, seed: int) -> dict[str, float]:
    """The AUCs of scores [N] after memberships [N] (bool) were shuffled among whole groups [N].

    Returns the `mean` over 1,000 shuffles, the ends `low` and `high` of their middle 95%, and the one-sided p-value `p`
    of the AUC of the true memberships. As in `metrics.membership.measure`, a group with members and non-members counts
    as two.
    """
    code_N = np.unique(groups_N, return_inverse=True)[1]
    group_N = np.unique(2 * code_N + members_N, return_inverse=True)[1]
    member_groups = len(np.unique(group_N[members_N]))
    auc_R = _auc(scores_N, _dealt(group_N.max() + 1, member_groups, seed)[group_N])
    low, high = central(auc_R)
    p = p_value(float(_auc(scores_N, members_N[:, None])[0]), auc_R)
    return {"mean": float(auc_R.mean()), "low": low, "high": high, "p": p}


def halves(scores_N: np.ndarray, groups_N: np.ndarray, seed: int) -> dict[str, Any]:
    """The AUCs between two halves of the non-members, with scores [N] and groups [N] in the order of the scenes' ids.

    1,000 random halves of the groups differ by chance alone. `distance` is their mean |AUC - 0.5|; `low` and `high` are
    the ends of the middle 95% of their AUCs. `by_order` is the AUC of the first half of the ids against the second, and
    `p_order` its two-sided p-value. A small p-value says that scores drift along the ids. That is harmless if members
    and non-members are spread alike over the ids. Returns {"untested": why} for fewer than two groups.
    """
    group_N = np.unique(groups_N, return_inverse=True)[1]
    groups = int(group_N.max()) + 1
    if groups < 2:
        return {"untested": "one non-member group cannot be halved"}
    auc_R = _auc(scores_N, _dealt(groups, groups // 2, seed)[group_N])
    in_order = float(_auc(scores_N, _appearance(group_N)[:, None] < groups // 2)[0])
    low, high = central(auc_R)
    return {
        "distance": float(np.abs(auc_R - 0.5).mean()), "low": low, "high": high,
        "by_order": in_order, "p_order": p_value(abs(in_order - 0.5), np.abs(auc_R - 0.5)),
    }  # fmt: skip


def _appearance(group_N: np.ndarray) -> np.ndarray:
    """The number of each score's group [N], if groups are numbered in the order of their first scores."""
    first_U = np.unique(group_N, return_index=True)[1]
    return np.argsort(np.argsort(first_U))[group_N]


def _dealt(groups: int, chosen: int, seed: int) -> np.ndarray:
    """Random choices of `chosen` groups, bool [groups, ROUNDS]; each column is one choice."""
    deck_UR = np.repeat((np.arange(groups) < chosen)[:, None], ROUNDS, 1)
    return np.random.default_rng(seed).permuted(deck_UR, axis=0)


def _auc(scores_N: np.ndarray, members_NR: np.ndarray) -> np.ndarray:
    right_R, pairs_R = right_pairs(scores_N[:, None], members_NR)
    return right_R / pairs_R
