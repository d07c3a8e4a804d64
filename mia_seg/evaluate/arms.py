"""Compares fleets of several trainings with plain ones: which training leaks more than overfitting alone explains?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.metrics import equal_gap, in_turn, per_scene
from mia_seg.metrics.equal_gap import Arm
from mia_seg.metrics.equal_miou import better, between, worth
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.per_scene import Estimate
from mia_seg.metrics.strongest import Choice, leaks_less, strongest
from mia_seg.texts import files_below, read_json

IMAGE_LOSS = "image_loss"


@dataclass(frozen=True, eq=False)
class Compared:
    """A fleet behind a defense, to be compared with other fleets. arms: an `equal_gap.Arm` for each attack, by name.

    facts: JSON values that name the fleet in a report. within_reach: arms of all attacks that the fleet's attacker can
    try; the strongest attack is chosen among them. canaries: arms of the scenes that are canaries, which no other arm
    includes; empty if there are none.
    """

    facts: Mapping[str, Any]
    arms: Mapping[str, Arm]
    within_reach: Mapping[str, Arm]
    canaries: Mapping[str, Arm] = field(default_factory=dict)

    @cached_property
    def choice(self) -> Choice:
        """The attacks of which the strongest counts."""
        return Choice(self.within_reach)


def image_loss(loss_MN: Floats) -> Estimate:
    """The scores of the image-loss attack, which needs no other model: the negative losses [M, N]."""

    def estimate(models: Integers, inside_MN: np.ndarray) -> Floats:
        del inside_MN
        return -loss_MN[models]

    return estimate


def compared(others: Sequence[Compared], curve: Sequence[Compared]) -> dict[str, Any]:
    """JSON facts of all fleets: {"plain": [...], "others": [...]}. curve: the plain fleets.

    `others` also have `above`: for each attack, their AUC minus that of plain training at the same gap, which is read
    off straight lines, and `plain_range`, the AUC that plain training can have there. `worth` is the AUC of the
    strongest attack minus that on plain training with the same mIoU on others. `dominated_by` names the trainings that
    are as good by the points, and `leaking_less` those of them that are shown to leak less. Raises MiaSegError if
    fleets differ in scenes or halves.
    """
    told = {"plain": [_told(one) for one in curve], "others": [_told(one) | _beside(one, curve) for one in others]}
    fleets, every = [*curve, *others], [*told["plain"], *told["others"]]
    for mine, one in zip(fleets, every, strict=True):
        found = [(fleet, other) for fleet, other in zip(fleets, every, strict=True) if dominates(other, one)]
        one["dominated_by"] = [other["title"] for _, other in found]
        one["leaking_less"] = [other["title"] for fleet, other in found if leaks_less(fleet.choice, mine.choice)]
    _add_ranges(told)
    return told


def beside_plain(above: Mapping[str, Any]) -> Literal["more", "less", "perhaps more", ""]:
    """What the interval of a difference from plain training shows.

    "perhaps more": above the straight line between two plain trainings, but not above all that plain training can have
    there. "": nothing.
    """
    if above["low"] is None:
        return ""
    least, most = (auc - above["plain"] for auc in above.get("plain_range", (above["plain"], above["plain"])))
    if above["high"] < least:
        return "less"
    return "more" if above["low"] > most else "perhaps more" if above["low"] > 0 else ""


def frontier(every: Sequence[Compared], curve: Sequence[Compared]) -> list[dict[str, Any]]:
    """Every training behind every defense, each with the list of those that dominate it.

    curve: the plain fleets without a defense. `worth` is the distance from these, whatever the defense; None for them.
    `leaks_less` says of each that dominates whether it is shown to leak less.
    """
    points = marked([_point(one) | {"worth": None if one in curve else _worth(one, curve)} for one in every])
    fleets = {(one.facts["title"], one.facts["defense"]): one.choice for one in every}
    for one, point in zip(every, points, strict=True):
        for by in point["dominated_by"]:
            by["leaks_less"] = leaks_less(fleets[by["title"], by["defense"]], one.choice)
    return points


def marked(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of a frontier, each with the list of those that dominate it."""
    for one in points:
        better = [other for other in points if dominates(other, one)]
        one["dominated_by"] = [{key: other[key] for key in ("title", "defense")} for other in better]
    return points


def is_plain(point: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether a point of the frontier is one of the plain fleets that all others are compared with."""
    return any((point["title"], point["defense"]) == (one["title"], one["defense"]) for one in facts["plain"])


def dominates(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether training `one` is as good as `other` in both the strongest attack's AUC and mIoU, and better in one.

    An AUC is as good as it is close to 0.5: an attacker may reverse scores. mIoU is on the scenes that models did not
    train on.
    """
    return better(*((each["strongest"]["value"], each["miou"]["others"]) for each in (one, other)))


def files(root: Path) -> list[Path]:
    """The files of all comparisons of trainings in the tree below `root`, sorted."""
    return files_below(root, "**/arms.*.fleet.json")


def read(path: Path) -> dict[str, Any]:
    """The facts of a comparison in a file of any schema version. Raises MiaSegError for any other file.

    Old files did not choose the strongest attack on one half of the models. For them the requested attack stands in.
    What a training is worth is read off their points, without an interval, and none is shown to leak less. Below the
    narrowest gap of plain training they had intervals, which are left out.
    """
    try:
        facts: dict[str, Any] = read_json(path)
        every = [*facts["plain"], *facts["others"]]
        for one in every:
            _upgrade(one)
        for one in (*facts["others"], *facts.get("frontier", ())):
            one.setdefault("worth", None if is_plain(one, facts) else _by_points(one, facts["plain"]))
        for one in every:
            one["dominated_by"] = [other["title"] for other in every if dominates(other, one)]
            one.setdefault("leaking_less", [])
            _ = [one[key] for key in ("title", "shadow", "models", "seed", "dataset")], one["digests"]["shadow"]
        narrow, _ = outside(facts)
        for found in (above for one in facts["others"] if one["title"] in narrow for above in one["above"].values()):
            found |= {"low": None, "high": None, "inside": False}
        _add_ranges(facts)
        _ = [one["above"][attack]["inside"] for one in facts["others"] for attack in facts["plain"][0]["auc"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MiaSegError(
            f"{path} is not a comparison of trainings ({error!r}). Delete it and run 'mia-seg fleet' again."
        ) from None
    return facts


def outside(facts: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The titles of trainings whose gap is narrower than that of every plain one, and of those whose gap is wider."""
    plain = [one["miou"]["gap"] for one in facts["plain"]]
    gaps = [(one["title"], one["miou"]["gap"]) for one in facts["others"]]
    return [title for title, gap in gaps if gap < min(plain)], [title for title, gap in gaps if gap > max(plain)]


def _add_ranges(facts: Mapping[str, Any]) -> None:
    """Add to each distance from plain training at a gap the AUCs that plain training can have there."""
    for attack in facts["plain"][0]["auc"]:
        points = [equal_gap.UNTRAINED, *((one["miou"]["gap"], one["auc"][attack]) for one in facts["plain"])]
        gaps, aucs = np.transpose(points)
        for one in facts["others"]:
            one["above"][attack]["plain_range"] = list(equal_gap.concave(one["miou"]["gap"], gaps, aucs))


def _upgrade(one: dict[str, Any]) -> None:
    """Add the keys that old files lack."""
    if "strongest" not in one:
        named = one.pop("attack")
        one["strongest"] = {"value": one["auc"][named], "low": None, "high": None, "chosen": [named]}
        one["digests"]["attackers"] = {named: one["digests"].pop("attacker")}
        one |= {"defense": "none", "minutes": None}


def _by_points(one: Mapping[str, Any], plain: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    mious, aucs = (np.array([each[a][b] for each in plain]) for a, b in (("miou", "others"), ("strongest", "value")))
    miou, auc = one["miou"]["others"], one["strongest"]["value"]
    if not between(miou, mious.tolist()):
        return None
    there = float(equal_gap.on_lines(miou, mious, aucs))
    return asdict(equal_gap.Above(there, auc - there, None, None, inside=True))


def _told(one: Compared) -> dict[str, Any]:
    aucs = {attack: per_scene.area(arm.scores_MN, arm.inside_MN) for attack, arm in one.arms.items()}
    models = len(one.choice.first.inside_MN)
    return {**one.facts, "models": models} | _point(one) | {"auc": aucs} | _worst(one.canaries)


def _point(one: Compared) -> dict[str, Any]:
    """What places a fleet on the frontier."""
    place = equal_gap.place(one.choice.first)
    miou = {"members": place.members, "others": place.others, "gap": place.gap}
    named = {key: one.facts[key] for key in ("title", "defense", "minutes")}
    return named | {"miou": miou, "strongest": asdict(strongest(one.choice))}


def _worst(canaries: Mapping[str, Arm]) -> dict[str, Any]:
    """The pooled rates of each attack on the canaries; {} if there are none."""
    found = {
        attack: asdict(in_turn.pooled(arm.estimate, arm.inside_MN, groups=arm.groups, seed=arm.seed))
        for attack, arm in canaries.items()
    }
    return {"canaries": found} if found else {}


def _beside(one: Compared, curve: Sequence[Compared]) -> dict[str, Any]:
    found = {attack: equal_gap.above(arm, [plain.arms[attack] for plain in curve]) for attack, arm in one.arms.items()}
    return {"above": {attack: asdict(each) for attack, each in found.items()}, "worth": _worth(one, curve)}


def _worth(one: Compared, curve: Sequence[Compared]) -> dict[str, Any] | None:
    found = worth(one.choice, [plain.choice for plain in curve])
    return asdict(found) if found else None
