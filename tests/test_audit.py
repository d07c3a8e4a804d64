"""Audit: which members a result names as exposed."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from mia_seg.attacks import Known
from mia_seg.audit import _exposed


def named(scores: np.ndarray, members: np.ndarray, units: list[str]) -> Any:
    victim: Any = SimpleNamespace(asked=[f"scene_{place:02d}" for place in range(len(scores))])
    return _exposed(scores, victim, Known(members, np.array(units)))


def test_members_that_outrank_every_non_member_are_named() -> None:
    members = np.arange(40) % 2 == 0
    scores = np.where(
        np.isin(np.arange(40), (4, 8, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38)), 9.0, -10.0 * members - np.arange(40)
    )
    found = named(scores, members, [str(place) for place in range(40)])
    assert (found["fdr"], found["tested"]) == (0.1, 20)
    # p is 1/21 for all twelve: 1/21 <= 0.1 * 12/20. Non-members are never named, however high they score.
    assert sorted(found["scenes"]) == [f"scene_{place:02d}" for place in (4, 8, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38)]


def test_scenes_in_blocks_name_nobody() -> None:
    members = np.arange(40) < 20
    assert named(members * 1.0, members, [str(place // 2) for place in range(40)]) is None
