"""Running a plan: the one place that makes stages, tells of it, and knows of other processes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mia_seg.errors import MiaSegError, Stopped, Unwritable
from mia_seg.stages import Stage, memory
from mia_seg.stages.plan import Plan, key
from mia_seg.store import Artefact, Draft
from mia_seg.workspace import Workspace, rank

Say = Callable[[str, Stage[Any]], None]  # what was done ("reused", "made", "failed", "waiting") and to which stage
POLL = 1.0  # seconds


def silent(did: str, stage: Stage[Any]) -> None:
    """Tell nobody."""
    del did, stage


@dataclass
class Outcome:
    """What became of a plan. failed: what each stage that failed said, by key; left: keys of those that need one."""

    plan: Plan
    first: bool = True  # whether this is the first of several processes, which alone has all in hand
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise MiaSegError saying what failed, if anything did."""
        if not self.failed:
            return
        sentences = list(dict.fromkeys(self.failed.values()))
        count = len(self.left)
        stages, one = ("stage needs", "was") if count == 1 else ("stages need", "were")
        undone = f" {count} later {stages} {{}} and {one} left out." if count else ""
        if len(sentences) == 1:
            raise MiaSegError(sentences[0] + undone.format("it"))
        listed = "".join(f"\n  {place}: {sentence}" for place, sentence in self.failed.items())
        raise MiaSegError(f"{len(self.failed)} stages failed.{undone.format('them')}{listed}")


def run(plan: Plan, workspace: Workspace, say: Say = silent) -> Outcome:
    """Make what is missing; where a stage fails, go on with those that do not need it.

    Raises MiaSegError before the first where the machine cannot do one of them, Stopped where a scheduler asks to, and
    Unwritable where the store takes no more. Of several processes the
    first makes all; the others join what several devices share.
    """
    outcome, remaining = Outcome(plan, rank() == 0), plan.missing
    for stage in remaining:
        stage.check(workspace)
    for stage in plan.stages:
        if plan.states[key(stage)] == "whole":
            say("reused", stage)
    if not outcome.first:
        _join(remaining, workspace)
        return outcome
    undone = {key(stage) for stage in remaining}
    while remaining:
        first = remaining[0]
        if any(key(other) in outcome.failed or key(other) in outcome.left for other in first.needs):
            outcome.left.append(key(remaining.pop(0)))
            continue
        batch = [stage for stage in remaining if _beside(stage, first, undone)]
        _make(batch, workspace, outcome, say=say)
        undone -= {key(stage) for stage in batch}
        remaining = [stage for stage in remaining if stage not in batch]
    return outcome


def _beside(stage: Stage[Any], first: Stage[Any], undone: set[str]) -> bool:
    """Whether a stage is the first, or can be made in one pass with it now."""
    if stage is first:
        return True
    alike = type(stage) is type(first) and stage.together == first.together
    return alike and not any(key(other) in undone for other in stage.needs)


def _make(batch: Sequence[Stage[Any]], workspace: Workspace, outcome: Outcome, *, say: Say) -> None:
    store = workspace.store
    by_digest = {stage.digest: stage for stage in batch}

    def build(drafts: Sequence[Draft]) -> None:
        stages = [by_digest[draft.artefact.digest] for draft in drafts]
        type(stages[0]).make_together(stages, drafts, workspace)

    def waiting(artefact: Artefact) -> None:
        say("waiting", by_digest[artefact.digest])

    try:
        made = store.make([stage.artefact(store) for stage in batch], build, waiting)
    except (Stopped, Unwritable):
        raise
    except (MiaSegError, MemoryError, RuntimeError) as error:
        said = str(error) if isinstance(error, MiaSegError) else memory.lacking(error, batch[0].title)
        if not said:
            raise
        outcome.failed |= {key(stage): said for stage in batch}
        for stage in batch:
            say("failed", stage)
        return
    here = {artefact.digest for artefact in made}
    for stage in batch:
        say("made" if stage.digest in here else "reused", stage)


def _join(missing: Sequence[Stage[Any]], workspace: Workspace) -> None:
    """Take part in the first stage that devices share; the first process makes what comes before it."""
    for stage in missing:
        artefact = stage.artefact(workspace.store)
        if stage.joint:
            stage.make(Draft(artefact, artefact.path), workspace)
            return
        while not artefact.whole:
            time.sleep(POLL)
