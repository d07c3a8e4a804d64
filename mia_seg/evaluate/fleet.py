"""A fleet's audit of its own recipe, without a victim: each model is the victim in turn, its partner left out."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mia_seg.attacks._fleet import FleetAttack
from mia_seg.attacks._readings import Readings
from mia_seg.metrics import in_turn, per_scene
from mia_seg.metrics._ranking import Booleans
from mia_seg.metrics.calibrated import calibrated
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.per_scene import BAND_PAIRS, FDR, Estimate, PerScene

RARE = 0.25  # of the groups at the most show an under-represented class
COLUMNS = ("group", "scenes", "auc", "null_low", "null_high", "p", "above", "exposed")


@dataclass(frozen=True, eq=False)
class Described:
    """Facts of N scenes: the group of each, and which of K classes it shows, bool [N, K].

    kinds: name -> bool [N], for trainings that learn differently from some scenes. canaries: bool [N], the scenes with
    wrong labels; empty if there are none.
    """

    groups: Sequence[str]
    classes: Sequence[str]
    shows_NK: Booleans
    kinds: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    canaries: Sequence[bool] = ()

    def apart(self) -> tuple[Integers, Integers]:
        """Positions of the natural scenes, and of the canaries."""
        canary_N = np.array(self.canaries or [False] * len(self.groups))
        return np.flatnonzero(~canary_N), np.flatnonzero(canary_N)

    def take(self, scenes: Integers) -> "Described":
        """The facts of some scenes, without canaries."""
        kinds = {name: [kind_N[k] for k in scenes] for name, kind_N in self.kinds.items()}
        return Described([self.groups[k] for k in scenes], self.classes, self.shows_NK[scenes], kinds)

    @cached_property
    def scenes(self) -> Counter[str]:
        """How many scenes each group has, in the order of their first ones."""
        return Counter(self.groups)

    @cached_property
    def shows_UK(self) -> Booleans:
        """Which classes a group shows in any of its scenes."""
        groups_N = np.array(self.groups)
        return np.stack([self.shows_NK[groups_N == unit].any(0) for unit in self.scenes])


@dataclass(frozen=True, eq=False)
class FleetAudit:
    """facts: JSON values. found: each group's AUC over victims and its null band; a scene may be its own group."""

    facts: dict[str, Any]
    described: Described
    found: PerScene

    def text(self) -> str:
        """A CSV: a line a group, the smallest p-value first."""
        found = self.found
        above, exposed = (self._told(kinds_U) for kinds_U in (_above(found), found.exposed_U()))
        numbers = (column.tolist() for column in (found.auc_U, *found.band_U, found.p_U))
        lines = zip(*self._sizes(), *numbers, above, exposed, strict=True)
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(lines, key=lambda line: (line[5], line[0]))])
        return file.getvalue()

    def _told(self, kinds_U: Booleans | None) -> list[object]:
        """1 or 0 a group; nothing where there are too few models to say."""
        return [""] * len(self.described.scenes) if kinds_U is None else kinds_U.astype(int).tolist()

    def _sizes(self) -> tuple[list[str], list[int]]:
        return list(self.described.scenes), list(self.described.scenes.values())


def audited(
    fleet: Readings, method: FleetAttack, described: Described, *, seed: int = 0, rounds: int = per_scene.ROUNDS
) -> FleetAudit:
    """Pooled AUC and TPRs, TPRs with a threshold for each scene, and each group's AUC with its null band, by class.

    method: untuned; its settings are tuned anew after every shuffle of memberships. Canaries count only in
    `facts["canaries"]`. Raises MiaSegError if there are too few models.
    """
    method.check_shadows(len(fleet))
    natural, canaries = described.apart()
    worst = _worst(fleet.take(canaries), method, [described.groups[k] for k in canaries], seed=seed)
    fleet, described = fleet.take(natural), described.take(natural)
    estimate = rehearsing(fleet, method)
    own = in_turn.pooled(estimate, fleet.members_MN, groups=described.groups, seed=seed)
    apart = calibrated(estimate, fleet.members_MN, groups=described.groups, seed=seed)
    found = per_scene.per_scene(estimate, fleet.members_MN, groups=described.groups, seed=seed, rounds=rounds)
    parts = [{"part": name, "rare": rare} | _part(found, kept_U) for name, rare, kept_U in _parts(described)]
    facts = {
        "models": len(fleet), "scenes": len(described.groups), "groups": len(described.scenes), "rounds": rounds,
        "pooled": {**asdict(own), "null": asdict(found.together())},
        "own_thresholds": None if apart is None else {target: asdict(rate) for target, rate in apart.items()},
        "fdr": FDR, "fewest": found.fewest(), "parts": parts,
    } | worst  # fmt: skip
    return FleetAudit(facts, described, found)


def _worst(fleet: Readings, method: FleetAttack, groups: Sequence[str], *, seed: int) -> dict[str, Any]:
    """How well canaries are told, pooled over models; nothing where there are none."""
    if not groups:
        return {}
    found = in_turn.pooled(rehearsing(fleet, method), fleet.members_MN, groups=groups, seed=seed)
    return {"canaries": {"scenes": len(groups), **asdict(found)}}


def rehearsing(fleet: Readings, method: FleetAttack) -> Estimate:
    """A function from memberships to the scores of a fleet's models, each in the victim's place."""

    def estimate(models: Integers, inside_MN: Booleans) -> Floats:
        said = Readings(fleet.ids, fleet.scenes_MN[models], fleet.population_MZ[models], inside_MN)
        return method.tuned(said).rehearse(said)

    return estimate


def _parts(described: Described) -> Iterator[tuple[str, bool, Booleans]]:
    """All groups; those of each kind; those that show an under-represented class, and the others; each class's."""
    shows_UK = described.shows_UK
    counts_K, every_U = shows_UK.sum(0), np.ones(len(shows_UK), np.bool_)
    rare_K = (counts_K > 0) & (counts_K <= RARE * len(shows_UK))
    minority_U = np.asarray(shows_UK[:, rare_K].any(1))
    yield "all", False, every_U
    for name, kind_N in described.kinds.items():
        inside = {unit for unit, is_one in zip(described.groups, kind_N, strict=True) if is_one}
        kept_U = np.array([unit in inside for unit in described.scenes])
        if kept_U.any():
            yield name, False, kept_U
    if minority_U.any() and not minority_U.all():
        yield "an under-represented class", True, minority_U
        yield "none of these", False, ~minority_U
    for k in np.argsort(counts_K, kind="stable"):
        if 0 < counts_K[k] < len(shows_UK):
            yield described.classes[k], bool(rare_K[k]), shows_UK[:, k]


def _part(found: PerScene, kept_U: Booleans) -> dict[str, Any]:
    """The mean AUC of some groups with its null band, how many are above their own, how many are exposed."""
    counted = {"above": _above(found), "exposed": found.exposed_U()}
    counts = {name: None if kinds_U is None else int(kinds_U[kept_U].sum()) for name, kinds_U in counted.items()}
    return {"groups": int(kept_U.sum()), **asdict(found.together(kept_U)), **counts}


def _above(found: PerScene) -> Booleans | None:
    """Which groups lie above their band; None where no group could."""
    return found.above_U if found.pairs >= BAND_PAIRS else None
