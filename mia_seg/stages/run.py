"""Running a plan: which stages can be made next, here or by an engine, and what became of each."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mia_seg.errors import MiaSegError, Stopped, Unwritable
from mia_seg.progress import Bar
from mia_seg.stages import Stage, memory
from mia_seg.stages.plan import Plan, key
from mia_seg.store import Artefact, Draft
from mia_seg.workspace import Workspace, rank

Batch = Sequence[Stage[Any]]  # stages that are made in one pass
Say = Callable[[str, Stage[Any]], None]  # what was done ("reused", "made", "failed", "waiting") and to which stage
POLL = 1.0  # seconds


def silent(did: str, stage: Stage[Any]) -> None:
    """Ignore what became of a stage."""
    del did, stage


@dataclass
class Outcome:
    """The outcome of a run. failed: key -> error of each failed stage. left: keys of stages that need a failed one."""

    plan: Plan
    first: bool = True  # whether this is the first of several processes, which alone has all in hand
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise MiaSegError naming what failed, if anything did."""
        if not self.failed:
            return
        sentences = list(dict.fromkeys(self.failed.values()))
        count = len(self.left)
        stages, one = ("stage needs", "was") if count == 1 else ("stages need", "were")
        undone = f" {count} later {stages} {{}} and {one} left out." if count else ""
        if len(sentences) == 1:
            raise MiaSegError(sentences[0] + ("" if self._nothing else undone.format("it")))
        listed = "".join(f"\n  {place}: {sentence}" for place, sentence in self.failed.items())
        raise MiaSegError(f"{len(self.failed)} stages failed.{undone.format('them')}{listed}")

    @property
    def _nothing(self) -> bool:
        """Whether nothing of what was asked for is there: how many stages that took is then no news."""
        return all(key(target) in self.failed or key(target) in self.left for target in self.plan.targets)


@dataclass(frozen=True)
class Ending:
    """How a batch ended. made: digests of the stages made. said: why it failed. again: whether to try once more."""

    made: frozenset[str] = frozenset()
    said: str = ""
    again: bool = False


class Engine(ABC):
    """Makes batches of stages. width: how many at once. elsewhere: in other processes, which print nothing here."""

    width: float = 1
    elsewhere: ClassVar[bool] = True

    def check(self, stages: Batch, workspace: Workspace) -> None:
        """Raise MiaSegError for the first stage that could not be made."""
        for stage in stages:
            stage.check(workspace)

    def takes(self, batch: Batch) -> bool:
        """Whether a batch can start beside the running ones; always True if there are none."""
        del batch
        return True

    @abstractmethod
    def start(self, batch: Batch) -> None:
        """Start making a batch; all its inputs exist."""

    @abstractmethod
    def ended(self) -> tuple[Batch, Ending]:
        """Wait until one of the batches has ended. Raises Stopped and Unwritable, which end all."""

    def stop(self) -> None:  # noqa: B027 (where nothing is started, nothing is stopped)
        """Leave nothing running. Called once, whatever happened."""


class Here(Engine):
    """This process, one batch after the other."""

    elsewhere = False

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self.workspace, self.say, self.batch = workspace, say, list[Stage[Any]]()

    def start(self, batch: Batch) -> None:
        """Made when it is asked about."""
        self.batch = list(batch)

    def ended(self) -> tuple[Batch, Ending]:
        """Make it."""
        return self.batch, make(self.batch, self.workspace, self.say)


def run(plan: Plan, workspace: Workspace, say: Say = silent, *, engine: Engine | None = None) -> Outcome:
    """Make all missing stages. If a stage fails, go on with those that do not need it.

    engine: makes the stages; None: this process. Raises MiaSegError, before the first, if this machine cannot make one;
    Stopped if a scheduler asks to stop; Unwritable if the store cannot be written. Of several processes that share a
    training, the first makes all stages, and the others join those that several devices share.
    """
    outcome, missing, engine = Outcome(plan, rank() == 0), plan.missing, engine or Here(workspace, say)
    engine.check(missing, workspace)
    for stage in plan.stages:
        if plan.states[key(stage)] == "whole":
            say("reused", stage)
    if not outcome.first:
        _join(missing, workspace)
    elif missing:
        try:
            with _counted(engine, missing, say) as tell:
                _carry(missing, engine, outcome, say=tell)
        finally:
            engine.stop()
    return outcome


@contextmanager
def _counted(engine: Engine, missing: Batch, say: Say) -> Iterator[Say]:
    """What tells of stages; those that are made elsewhere, where nobody sees how far each is, are counted."""
    if not engine.elsewhere:
        yield say
        return
    with Bar("stages", len(missing)) as bar:

        def tell(did: str, stage: Stage[Any]) -> None:
            say(did, stage)
            bar.step()

        yield tell


def _carry(remaining: Batch, engine: Engine, outcome: Outcome, *, say: Say) -> None:
    """Give the engine what is ready, until nothing is left."""
    undone, running = {key(stage) for stage in remaining}, 0
    while remaining or running:
        remaining = _still_needed(remaining, outcome)
        batch = _ready(remaining, undone, engine) if running < engine.width else []
        if batch:
            engine.start(batch)
            remaining, running = [stage for stage in remaining if stage not in batch], running + 1
        elif running:
            batch, ending = engine.ended()
            remaining, running = [*(batch if ending.again else ()), *remaining], running - 1
            if not ending.again:
                undone -= {key(stage) for stage in batch}
                _note(batch, ending, outcome, say=say)
        else:
            assert not remaining, "a stage waits for one that nobody makes"


def _still_needed(remaining: Batch, outcome: Outcome) -> Batch:
    """All but what needs a stage that failed or was left out, which is left out, too."""
    kept = []
    for stage in remaining:
        if any(key(other) in outcome.failed or key(other) in outcome.left for other in stage.needs):
            outcome.left.append(key(stage))
        else:
            kept.append(stage)
    return kept


def _ready(remaining: Batch, undone: set[str], engine: Engine) -> Batch:
    """The first stage that can be made now and that the engine takes, with all that share its pass; [] for none."""
    passes: dict[Hashable, list[Stage[Any]]] = {}
    for stage in remaining:
        if not any(key(other) in undone for other in stage.needs):
            passes.setdefault((type(stage), stage.together), []).append(stage)
    return next(filter(engine.takes, passes.values()), [])


def _note(batch: Batch, ending: Ending, outcome: Outcome, *, say: Say) -> None:
    if ending.said:
        outcome.failed |= {key(stage): ending.said for stage in batch}
    for stage in batch:
        say("failed" if ending.said else "made" if stage.digest in ending.made else "reused", stage)


def make(batch: Batch, workspace: Workspace, say: Say = silent) -> Ending:
    """Make stages that share a pass, in this process. Raises Stopped, Unwritable, and errors in mia-seg itself."""
    store = workspace.store
    by_place = {stage.artefact(store).path: stage for stage in batch}

    def build(drafts: Sequence[Draft]) -> None:
        stages = [by_place[draft.artefact.path] for draft in drafts]
        type(stages[0]).make_together(stages, drafts, workspace)

    def waiting(artefact: Artefact) -> None:
        say("waiting", by_place[artefact.path])

    try:
        found = store.make([stage.artefact(store) for stage in batch], build, waiting)
    except (Stopped, Unwritable):
        raise
    except (MiaSegError, MemoryError, RuntimeError) as error:
        said = str(error) if isinstance(error, MiaSegError) else memory.lacking(error, batch[0].title)
        if not said:
            raise
        return Ending(said=said)
    return Ending(frozenset(artefact.digest for artefact in found))


def _join(missing: Sequence[Stage[Any]], workspace: Workspace) -> None:
    """Take part in the first stage that devices share; the first process makes what comes before it."""
    for stage in missing:
        artefact = stage.artefact(workspace.store)
        if stage.joint:
            stage.make(Draft(artefact, artefact.path), workspace)
            return
        while not artefact.whole:
            time.sleep(POLL)
