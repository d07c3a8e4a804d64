"""Audits a fleet's own recipe, without a victim: each model is the victim in turn, and its pair partner is left out."""

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
from mia_seg.metrics import in_turn, log_ratios, per_scene
from mia_seg.metrics._ranking import Booleans
from mia_seg.metrics.calibrated import LEAST_PAIRS, calibrated
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.log_ratios import Ratios
from mia_seg.metrics.per_scene import BAND_PAIRS, FDR, Estimate, PerScene

UNDER_REPRESENTED = "an under-represented class"  # the name of that part
RARE = 0.25  # a class is under-represented if at most this share of the groups shows it
COLUMNS = (
    "group",
    "scenes",
    "auc",
    "null_low",
    "null_high",
    "p",
    "above",
    "exposed",
    "log_ratio",
    "ratio_low",
    "ratio_high",
)


@dataclass(frozen=True, eq=False)
class Described:
    """Facts of N scenes: the group of each, and which of K classes its labels show, bool [N, K].

    kinds: for trainings that treat some scenes differently, name -> bool [N]. canaries: bool [N], whether a scene is
    one; empty if there are none.
    """

    groups: Sequence[str]
    classes: Sequence[str]
    shows_NK: Booleans
    kinds: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    canaries: Sequence[bool] = ()

    def apart(self) -> tuple[Integers, Integers]:
        """The positions of the natural scenes, and those of the canaries."""
        canary_N = np.array(self.canaries or [False] * len(self.groups))
        return np.flatnonzero(~canary_N), np.flatnonzero(canary_N)

    def take(self, scenes: Integers) -> "Described":
        """The facts of some scenes, without canaries."""
        kinds = {name: [kind_N[k] for k in scenes] for name, kind_N in self.kinds.items()}
        return Described([self.groups[k] for k in scenes], self.classes, self.shows_NK[scenes], kinds)

    @cached_property
    def scenes(self) -> Counter[str]:
        """The number of scenes in each group; groups are in the order of their first scenes."""
        return Counter(self.groups)

    @cached_property
    def shows_UK(self) -> Booleans:
        """Which classes occur in any scene of a group, bool [U, K]."""
        groups_N = np.array(self.groups)
        return np.stack([self.shows_NK[groups_N == unit].any(0) for unit in self.scenes])


@dataclass(frozen=True, eq=False)
class FleetAudit:
    """The result of a fleet's own audit.

    facts: JSON values. found: the AUC of each group over victims, with its null band. ratios: the likelihood ratio of
    each, likewise. A scene may be its own group.
    """

    facts: dict[str, Any]
    described: Described
    found: PerScene
    ratios: Ratios

    def text(self) -> str:
        """A CSV with one line a group, the smallest p-value first."""
        found = self.found
        above, exposed = (self._told(kinds_U) for kinds_U in (_above(found), found.exposed_U()))
        numbers = (column.tolist() for column in (found.auc_U, *found.band_U, found.p_U))
        ratios = (column.tolist() for column in (self.ratios.own_U, *self.ratios.band_U))
        columns = *self._sizes(), *numbers, above, exposed, *ratios
        lines = sorted(zip(*columns, strict=True), key=lambda one: (one[5], one[0]))
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])
        return file.getvalue()

    def _told(self, kinds_U: Booleans | None) -> list[object]:
        """1 or 0 for each group; empty cells if there are too few models to decide."""
        return [""] * len(self.described.scenes) if kinds_U is None else kinds_U.astype(int).tolist()

    def _sizes(self) -> tuple[list[str], list[int]]:
        return list(self.described.scenes), list(self.described.scenes.values())


def audited(
    fleet: Readings, method: FleetAttack, described: Described, *, seed: int = 0, rounds: int = per_scene.ROUNDS
) -> FleetAudit:
    """The audit of a fleet by one attack: pooled AUC and TPRs, the same in units of each scene, AUCs of groups.

    fleet: the readings of all models. method: the attack, untuned; it is tuned anew after every shuffle of memberships.
    described: the facts of the scenes. seed: of all draws. rounds: the number of shuffles. Canaries count only in
    `facts["canaries"]`. Raises MiaSegError if there are too few models.
    """
    method.check_shadows(len(fleet))
    natural, canaries = described.apart()
    worst = _worst(fleet.take(canaries), method, [described.groups[k] for k in canaries], seed=seed)
    fleet, described = fleet.take(natural), described.take(natural)
    estimate = rehearsing(fleet, method)
    own = in_turn.pooled(estimate, fleet.members_MN, groups=described.groups, seed=seed)
    found = per_scene.per_scene(estimate, fleet.members_MN, groups=described.groups, seed=seed, rounds=rounds)
    ratios = log_ratios.ratios(estimate, fleet.members_MN, groups=described.groups, seed=seed, rounds=rounds)
    parts = [{"part": name, "rare": rare} | _part(found, ratios, kept_U) for name, rare, kept_U in _parts(described)]
    facts = {
        "models": len(fleet), "scenes": len(described.groups), "groups": len(described.scenes), "rounds": rounds,
        "pooled": {**asdict(own), "null": asdict(found.together())},
        "fdr": FDR, "fewest": found.fewest(), "parts": parts,
    }  # fmt: skip
    facts |= _minority_apart(estimate, fleet.members_MN, described)
    facts |= _in_own_units(estimate, fleet.members_MN, described.groups, seed=seed)
    return FleetAudit(facts | worst, described, found, ratios)


def _minority_apart(estimate: Estimate, inside_MN: Booleans, described: Described) -> dict[str, Any]:
    """By how much more the groups with an under-represented class leak than the others; {} if all or none have one."""
    by_name = {name: kept_U for name, _, kept_U in _parts(described)}
    if UNDER_REPRESENTED not in by_name:
        return {}
    above = in_turn.apart(estimate, inside_MN, by_name[UNDER_REPRESENTED], groups=described.groups)
    return {"under_represented": asdict(above)}


def _in_own_units(estimate: Estimate, inside_MN: Booleans, groups: Sequence[str], *, seed: int) -> dict[str, Any]:
    """The pooled rates of scores in units of each scene; {} if there are too few pairs."""
    if len(inside_MN) < 2 * LEAST_PAIRS:
        return {}
    return {"own_units": asdict(in_turn.pooled(calibrated(estimate), inside_MN, groups=groups, seed=seed))}


def _worst(fleet: Readings, method: FleetAttack, groups: Sequence[str], *, seed: int) -> dict[str, Any]:
    """The rates of the canaries alone, pooled over models; {} if there are none."""
    if not groups:
        return {}
    found = in_turn.pooled(rehearsing(fleet, method), fleet.members_MN, groups=groups, seed=seed)
    return {"canaries": {"scenes": len(groups), **asdict(found)}}


def rehearsing(fleet: Readings, method: FleetAttack) -> Estimate:
    """The attack on a fleet as a function from memberships to scores, each model the victim in turn."""

    def estimate(models: Integers, inside_MN: Booleans) -> Floats:
        said = Readings(fleet.ids, fleet.scenes_MN[models], fleet.population_MZ[models], inside_MN)
        return method.tuned(said).rehearse(said)

    return estimate


def _parts(described: Described) -> Iterator[tuple[str, bool, Booleans]]:
    """The parts that a report shows: name, whether the part is under-represented, and its groups as bool [U].

    All groups; those of each kind; those that show an under-represented class, and the others; those that show each
    class.
    """
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
        yield UNDER_REPRESENTED, True, minority_U
        yield "no under-represented class", False, ~minority_U
    for k in np.argsort(counts_K, kind="stable"):
        if 0 < counts_K[k] < len(shows_UK):
            yield described.classes[k], bool(rare_K[k]), shows_UK[:, k]


def _part(found: PerScene, ratios: Ratios, kept_U: Booleans) -> dict[str, Any]:
    """Of some groups: mean AUC and null band, how many lie above theirs or are exposed, and the mean log-ratio."""
    counted = {"above": _above(found), "exposed": found.exposed_U()}
    counts = {name: None if kinds_U is None else int(kinds_U[kept_U].sum()) for name, kinds_U in counted.items()}
    ratio = ratios.together(kept_U)
    odds = {"log_ratio": ratio.value, "log_ratio_null": [ratio.low, ratio.high]}
    return {"groups": int(kept_U.sum()), **asdict(found.together(kept_U)), **counts, **odds}


def _above(found: PerScene) -> Booleans | None:
    """Which groups lie above their null band; None if there are too few pairs for any."""
    return found.above_U if found.pairs >= BAND_PAIRS else None
