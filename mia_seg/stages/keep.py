"""Deleting shadows' weights and answers during a run, so that a large fleet fits on a disk."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Literal

from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.plan import Plan, key
from mia_seg.stages.results import Measured
from mia_seg.stages.run import Say
from mia_seg.store.upkeep import drop

Keep = Literal["all", "answers", "statistics"]


class Dropping:
    """Called with each stage that is made, it deletes those of fleets that nothing in the plan needs any more.

    keep: 'answers' deletes shadows' weights; 'statistics' also their answers, once attackers have read them. The first
    shadow's answers stay, because every result gives its mIoU.
    """

    def __init__(self, plan: Plan, keep: Keep, say: Say) -> None:
        self.store, self.say = plan.store, say
        self.undone = {key(stage) for stage in plan.missing}
        self.left = list(_served(plan, keep))
        self.users = defaultdict[str, set[str]](set)
        for stage in plan.stages:
            for other in stage.needs:
                self.users[key(other)].add(key(stage))

    def __call__(self, did: str, stage: Stage[Any]) -> None:
        """Tell of it, and drop what it was the last to need."""
        self.say(did, stage)
        if did in ("made", "reused"):
            self.undone.discard(key(stage))
            for served in [one for one in self.left if not self.undone & {key(one), *self.users[key(one)]}]:
                drop(self.store, served.artefact(self.store))
                self.left.remove(served)


def _served(plan: Plan, keep: Keep) -> Iterator[Stage[Any]]:
    """The stages of fleets that may go."""
    fleets = [result.attacker.shadows for result in plan.targets if isinstance(result, Measured) and _is_fleet(result)]
    models, first = {key(one) for fleet in fleets for one in fleet}, {key(fleet[0]) for fleet in fleets}
    for stage in plan.stages if keep != "all" else ():
        read = isinstance(stage, AskedModel) and key(stage.model) in models - first
        if key(stage) in models or (read and keep == "statistics"):
            yield stage


def _is_fleet(result: Measured) -> bool:
    return result.cell.attack.component.needs_fleet


def anew(plan: Plan) -> str:
    """A sentence on stages that were made, deleted and are needed again; '' for none."""
    again = [step for step in plan.steps() if step.state == "missing" and step.exact]
    if not again:
        return ""
    kinds = Counter(step.stage.kind for step in again)
    told = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
    minutes = sum(step.seconds or 0 for step in again) / 60
    return f"Made before, not kept, and needed again: {told}. They took {minutes:.1f} minutes."
