"""The scenes and groups of scenes that stand out, by id."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mia_seg.evaluate.scores import SceneScores
from mia_seg.report.cells import Cell
from mia_seg.report.tables import Table

SHOWN = 30
AT_FPR = 0.1
SCENES = (
    "Members whose scores stand out from the non-members of the same model, the most exposed first. On average at "
    "most a tenth of a list is false. Seeds: in how many seeds' lists the scene stands."
)
GROUPS = (
    "A group is what the split drew as one piece: a drive, a patient, a run of frames. Found: the share of its member "
    "scenes with a score above that of 90% of the non-members. A share of few scenes is rough."
)


def scene_ids(cell: Cell) -> list[str]:
    """The exposed members: those in the lists of most seeds first, then by their rank in the first list with them."""
    lists = [run["exposed"]["scenes"] for run in cell.runs if run.get("exposed")]
    seen = Counter(scene for one in lists for scene in one)
    rank = {scene: place for one in reversed(lists) for place, scene in enumerate(one)}
    return sorted(seen, key=lambda scene: (-seen[scene], rank[scene], scene))


def scene_table(cell: Cell) -> Table | None:
    """The most exposed scenes of an attack; None if its results list none."""
    lists = [run["exposed"]["scenes"] for run in cell.runs if run.get("exposed")]
    seen, ids = Counter(scene for one in lists for scene in one), scene_ids(cell)
    if not ids:
        return None
    more = f" {len(ids) - SHOWN} more are in the results." if len(ids) > SHOWN else ""
    rows = [[scene, f"{seen[scene]} of {len(lists)}"] for scene in ids[:SHOWN]]
    return Table("Most exposed scenes", SCENES + more, ["Scene", "Seeds"], rows)


def group_table(cell: Cell) -> Table | None:
    """The share of each group that the attack finds; None without scores, or if every scene is its own group."""
    kept = [run["scores"] for run in cell.runs if run.get("scores") is not None]
    found = [row for one in kept for row in _groups(one)]
    if not found:
        return None
    names = sorted({name for name, _, _ in found})
    rows = [[name, *_pooled([row for row in found if row[0] == name])] for name in names]
    rows.sort(key=lambda row: (-float(row[2]), row[0]))
    return Table("Groups of scenes", GROUPS, ["Group", "Member scenes", "Found, %"], rows)


def _groups(one: SceneScores) -> list[tuple[str, int, float]]:
    """Each group of members: name, number of scenes, share found. Empty if every scene is its own group."""
    names = np.array(one.groups)[one.members_N]
    if len(set(one.groups)) == len(one.groups) or not one.members_N.any() or one.members_N.all():
        return []
    found_N = one.scores_N[one.members_N] > np.quantile(one.scores_N[~one.members_N], 1 - AT_FPR, method="higher")
    mine = {str(name): found_N[names == name] for name in sorted(set(names))}
    return [(name, len(found), float(found.mean())) for name, found in mine.items()]


def _pooled(rows: Sequence[tuple[str, int, float]]) -> list[str]:
    scenes = sum(count for _, count, _ in rows)
    return [str(scenes), f"{100 * sum(count * share for _, count, share in rows) / scenes:.0f}"]
