"""An attack's score of every scene, in a CSV beside its result. Two results are compared by these, scene by scene."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.paired import overlaps
from mia_seg.texts import read_text

COLUMNS = ("id", "member", "group", "score")


@dataclass(frozen=True, eq=False)
class SceneScores:
    """An attack's scores [N], higher = more likely a member; members_N bool [N], groups as the split drew them."""

    ids: list[str]
    members_N: np.ndarray
    groups: list[str]
    scores_N: Floats

    def text(self) -> str:
        """The CSV's text, with the columns id, member (1 or 0), group and score."""
        file = io.StringIO()
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        rows = zip(self.ids, self.members_N.astype(int).tolist(), self.groups, self.scores_N.tolist(), strict=True)
        lines.writerows((scene, member, group, repr(score)) for scene, member, group, score in rows)
        return file.getvalue()

    def common(self, other: "SceneScores") -> "Common | None":
        """Both attacks' scores of the scenes that both have; None if these lack members or non-members.

        Raises MiaSegError if a scene is a member in only one of them: the results then come from different splits.
        """
        place = {scene: k for k, scene in enumerate(other.ids)}
        mine = [k for k, scene in enumerate(self.ids) if scene in place]
        theirs = [place[self.ids[k]] for k in mine]
        members_N = self.members_N[mine]
        if not np.array_equal(members_N, other.members_N[theirs]):
            wrong = self.ids[mine[int(np.flatnonzero(members_N != other.members_N[theirs])[0])]]
            raise MiaSegError(
                f"Scene '{wrong}' is a member in only one of the two results, so they come from different splits. "
                f"Compare results of one split."
            )
        if members_N.all() or not members_N.any():
            return None
        return Common(self.scores_N[mine], other.scores_N[theirs], members_N, [self.groups[k] for k in mine])


@dataclass(frozen=True, eq=False)
class Common:
    """The scores of two results on the N scenes that both have."""

    scores_N: Floats
    others_N: Floats
    members_N: np.ndarray
    groups: list[str]


def related(found: Iterable[SceneScores | None]) -> Floats | None:
    """How far the errors of a rate may be related over seeds [S, S], since splits share scenes (`overlaps`).

    By the groups that two seeds share as members or as non-members, whichever are more: a rate may be of one side
    alone. None if one of them keeps no scores.
    """
    every = list(found)
    known = [one for one in every if one is not None]
    if len(known) < len(every):
        return None
    sides = ([np.array(one.groups)[one.members_N == side].tolist() for one in known] for side in (True, False))
    return np.maximum(*map(overlaps, sides))


def beside(result: Path) -> Path:
    """The path of the scores that belong to a result's file."""
    return result.with_suffix(".scores.csv")


def read(path: Path) -> SceneScores:
    """The scores in a file. Raises MiaSegError that names the file if it holds none."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path)), strict=True))
        members_N = np.array([{"1": True, "0": False}[row["member"]] for row in rows])
        found = SceneScores(
            [row["id"] for row in rows], members_N, [row["group"] for row in rows],
            np.array([float(row["score"]) for row in rows]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise MiaSegError(
            f"{path} holds no scores ({error!r}). It needs the columns {', '.join(COLUMNS)}; remove it, or run the "
            f"attack again."
        ) from None
    if fault := _fault(found):
        raise MiaSegError(f"{path} {fault}. Remove it, or run the attack again.")
    return found


def _fault(found: SceneScores) -> str:
    """What no attack writes, in words; '' for whole scores."""
    if not found.ids:
        return "holds no scene"
    twice = [scene for scene, count in Counter(found.ids).items() if count > 1]
    if twice:
        return f"has the scene '{twice[0]}' twice"
    odd = np.flatnonzero(~np.isfinite(found.scores_N))
    return f"gives the scene '{found.ids[odd[0]]}' no finite score" if len(odd) else ""
