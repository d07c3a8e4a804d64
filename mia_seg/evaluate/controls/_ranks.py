"""AUC of one list of scores under many memberships at once."""

import numpy as np
from scipy.stats import rankdata

TAIL = 0.025


def right_pairs(scores_NR: np.ndarray, members_NR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of member/non-member pairs in the right order, ties counting half, and of all pairs: both [R].

    scores_NR: finite, [N, R] or [N, 1] for the same scores in each column. members_NR: bool [N, R].
    """
    ranks_NR = rankdata(scores_NR, axis=0)
    members_R = members_NR.sum(0)
    # Mann & Whitney 1947: the sum of the members' ranks minus what it would be among members alone.
    right_R = np.sum(ranks_NR * members_NR, 0) - members_R * (members_R + 1) / 2
    return right_R, members_R * (len(members_NR) - members_R)


def p_value(observed: float, null_R: np.ndarray) -> float:
    """(1 + k) / (1 + R), if k of R draws are at least as large as observed, up to rounding (Phipson & Smyth, 2010)."""
    return float((1 + np.count_nonzero(null_R >= observed - 1e-12)) / (1 + len(null_R)))


def central(null_R: np.ndarray) -> tuple[float, float]:
    """The ends of the middle 95% of the draws."""
    low, high = np.quantile(null_R, (TAIL, 1 - TAIL))
    return float(low), float(high)
