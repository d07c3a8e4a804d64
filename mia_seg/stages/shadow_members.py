"""The scenes that an attacker's shadows train on: drawn, listed, or chosen by what the victim answered (thesis 7.2)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answers
from mia_seg.recipes.adversaries import A1
from mia_seg.recipes.splits import Partition, read_ids
from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.scenes import Cut, Divided, Part
from mia_seg.store import Draft, Store, write_json
from mia_seg.workspace import Workspace

FILE = "members.json"
VERSION = 1


@dataclass(frozen=True, eq=False)
class ShadowMembers(Stage[Partition]):
    """Adversary A1's members: the scenes of its pool that the victim is surest of, `count` of them.

    Such members are easier than non-members; `choose = "random"` is the control. answers: the victim's to the pool.
    """

    kind = "shadow_members"

    shadow: str
    pool: Cut
    count: int
    answers: AskedModel

    @property
    def dataset(self) -> Dataset:
        """The data set of the pool."""
        return self.pool.dataset

    @property
    def cut(self) -> Cut:
        """The cut that the pool belongs to."""
        return self.pool

    @property
    def name(self) -> str:
        return f"{self.shadow}.s{self.answers.model.seed}"

    def inputs(self) -> dict[str, Any]:
        parts = self.pool.parts
        groups = [[i, parts.group[i]] for i in parts.pool if parts.group[i] != i]
        return {"pool": self.pool.given("pool"), "groups": groups, "count": self.count, "answers": self.answers} | {
            "version": VERSION
        }

    def make(self, draft: Draft, workspace: Workspace) -> None:
        ranking = surest(self.answers.value(workspace.store), self.pool.parts)
        write_json(draft.folder / FILE, asdict(kept_apart(ranking, self.pool.parts, self.count)))

    def load(self, folder: Path) -> Partition:
        return Partition(**json.loads((folder / FILE).read_text(encoding="utf-8")))

    def given(self, part: Part) -> Any:
        """The stage itself with the part's name, because the ids are known only once it is made."""
        return {"of": self, "part": part}

    def partition(self, store: Store) -> Partition:
        """The members, and the rest of the pool as non-members."""
        return self.value(store)


def scenes_of(scenes: Divided, part: Part) -> list[str]:
    """The ids of a part. If members are not chosen yet: as many ids of the pool."""
    if isinstance(scenes, ShadowMembers):
        pool = scenes.pool.parts.pool
        return pool[: scenes.count] if part == "members" else pool
    assert isinstance(scenes, Cut)
    return {"members": scenes.parts.members, "pool": scenes.parts.pool}.get(part, scenes.parts.audited)


def check_room(shadow: str, cut: Partition, adversary: A1) -> None:
    """Raise MiaSegError if so many members are chosen that no non-members are left."""
    block = max(Counter(cut.group[i] for i in cut.pool).values(), default=1)
    if isinstance(adversary.members, int) and adversary.members + block > len(cut.pool):
        raise MiaSegError(
            f"Shadow '{shadow}': [adversary] members = {adversary.members} leaves no non-members "
            f"in a pool of {len(cut.pool)}. Lower it."
        )


def listed(cut: Partition, data_root: Path | None, name: str) -> Partition:
    """Members by a file; the rest of the pool are non-members."""
    return _rest(read_ids(data_root, name, cut.pool), cut)


def drawn(cut: Partition, count: int, seed: int) -> Partition:
    """Members at random, in whole groups."""
    groups = sorted({cut.group[i] for i in cut.pool})
    return kept_apart([str(g) for g in np.random.default_rng(seed).permutation(groups)], cut, count)


def kept_apart(ranking: Sequence[str], cut: Partition, count: int) -> Partition:
    """Members from the front of a ranking of the pool's groups, and the rest as non-members."""
    return _rest(fill(ranking, cut, cut.pool, count=count), cut)


def _rest(members: list[str], cut: Partition) -> Partition:
    # What is left of a block whose other frames are members is no non-member: they look alike.
    seen = {cut.group[i] for i in members}
    return Partition(members, [i for i in cut.pool if cut.group[i] not in seen], [], cut.group)


def halves(cut: Partition, models: int, seed: int) -> list[Partition]:
    """A fleet's parts: each pair of models trains on the two halves of the audited scenes, in whole groups.

    A larger fleet begins with the models of a smaller one. Every scene is in exactly one half of each pair.
    """
    audited = cut.audited
    groups = sorted({cut.group[i] for i in audited})
    if len(groups) < 2:
        raise MiaSegError(
            f"A fleet trains on halves of the audited scenes, and these are {len(groups)} group. Raise [split] "
            f"members and nonmembers, or make its groups smaller."
        )
    found = []
    for pair in range(models // 2):
        found += _two_halves(cut, [str(g) for g in np.random.default_rng([seed, pair]).permutation(groups)])
    return found


def _two_halves(cut: Partition, ranking: Sequence[str]) -> list[Partition]:
    audited = cut.audited
    first = fill(ranking, cut, audited, count=len(audited) // 2)
    # What is left of a group whose other frames are in the first half goes with them.
    seen = {cut.group[i] for i in first}
    first, second = ([i for i in audited if (cut.group[i] in seen) == side] for side in (True, False))
    if not second:
        raise MiaSegError(
            f"Group '{ranking[0]}' holds more than half of the audited scenes; a fleet needs two halves. "
            f"Give [split] smaller blocks."
        )
    return [Partition(first, second, cut.pool, cut.group), Partition(second, first, cut.pool, cut.group)]


def trained(cut: Partition, members: Sequence[str]) -> Partition:
    """The parts of a model that trains on some of the members; the other audited scenes are its non-members."""
    inside = set(members)
    return Partition(list(members), [i for i in cut.audited if i not in inside], cut.pool, cut.group)


def surest(answers: Answers, cut: Partition) -> list[str]:
    """The pool's groups, the one that the victim is surest of first (mean over a group's scenes)."""
    of_group: dict[str, list[float]] = {}
    for scene_id, confidence in zip(answers.ids, answers.statistics.confidence_N, strict=True):
        of_group.setdefault(cut.group[scene_id], []).append(float(confidence))
    return sorted(of_group, key=lambda group: -float(np.mean(of_group[group])))


def fill(ranking: Sequence[str], cut: Partition, scenes: Sequence[str], *, count: int) -> list[str]:
    """Whole groups from the front of the ranking until `count` of the scenes are there."""
    rank = {group: place for place, group in enumerate(ranking)}
    return sorted(sorted(scenes, key=lambda i: (rank[cut.group[i]], i))[:count])
