"""Controls: could the attack's result come from something other than the model? Every result has them.

blind: an attacker who sees images and labels but never the model; made once for each split (`controls.blind`).
shuffle, halves: the attack's own scores under meaningless memberships (`controls.nulls`).
"""

from typing import Any

import numpy as np

from mia_seg.attacks import Membership
from mia_seg.evaluate.controls import nulls
from mia_seg.metrics import membership


def controls(scores_N: np.ndarray, known: Membership, blind: dict[str, Any], *, seed: int) -> dict[str, Any]:
    """The controls of an attack's scores [N], one for each scene of `known`, as JSON values.

    blind: the result of `blind.blind` for this split. Returns {"blind": ..., "shuffle": ..., "halves": ...}; the latter
    two are from `nulls.shuffled` and `nulls.halves`. If the split is confounded, blind also has `above`: the attack's
    AUC minus the blind attacker's.
    """
    split = dict(blind)
    if split.get("confounded"):
        split["above"] = membership.auc(scores_N, known.members_N) - split["auc"]
    others = ~known.members_N
    return {
        "blind": split,
        "shuffle": nulls.shuffled(scores_N, known.members_N, known.groups_N, seed=seed),
        "halves": nulls.halves(scores_N[others], known.groups_N[others], seed),
    }
