"""The plan of a request: every stage once, in an order in which each comes after what it needs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mia_seg.stages import Stage
from mia_seg.store import Store

# whole: there. missing: to be made. unused: not there, and all that was built on it is.
State = Literal["whole", "missing", "unused"]


@dataclass(frozen=True)
class Step:
    """A stage of a plan, and its cost in an earlier run, seconds and bytes; None if no earlier stage was like it."""

    stage: Stage[Any]
    state: State
    seconds: float | None
    size: int | None
    exact: bool  # the cost is this very stage's, and not that of one like it


@dataclass(frozen=True, eq=False)
class Plan:
    """All stages of a request, and which of them exist in a store."""

    targets: tuple[Stage[Any], ...]
    store: Store

    @cached_property
    def stages(self) -> tuple[Stage[Any], ...]:
        """Every stage once, each after what it needs."""
        return tuple(in_order(self.targets))

    @cached_property
    def states(self) -> dict[str, State]:
        """The state of each stage, by `key`."""
        whole = {key(stage): stage.artefact(self.store).whole for stage in self.stages}
        needed = {key(target) for target in self.targets}
        for stage in reversed(self.stages):
            if key(stage) in needed and not whole[key(stage)]:
                needed |= {key(other) for other in stage.needs}
        return {k: "whole" if there else "missing" if k in needed else "unused" for k, there in whole.items()}

    @property
    def missing(self) -> list[Stage[Any]]:
        """The stages to be made, in order."""
        return [stage for stage in self.stages if self.states[key(stage)] == "missing"]

    def is_whole(self, stage: Stage[Any]) -> bool:
        """Whether a stage existed when the plan was made."""
        return self.states[key(stage)] == "whole"

    def steps(self) -> list[Step]:
        """Every stage with its state and cost."""
        costs = Costs.of(self.store.journal())
        return [Step(stage, self.states[key(stage)], *costs.like(stage)) for stage in self.stages]


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of earlier runs: of the very stage, of the same recipe at another seed, of the kind."""

    rows: dict[tuple[str, ...], tuple[float, int]]

    @classmethod
    def of(cls, journal: Sequence[dict[str, Any]]) -> "Costs":
        """From a journal. The latest row counts for each stage, and for stages of the same name or kind."""
        rows = {}
        for row in journal:
            for place in _places(row["kind"], row["name"], row["digest"]):
                rows[place] = (float(row["seconds"]), int(row["bytes"]))
        return cls(rows)

    def like(self, stage: Stage[Any]) -> tuple[float | None, int | None, bool]:
        """Seconds and bytes, and whether they are of this very stage.

        The cost of a stage that computes on a device depends on its recipe, so other recipes do not count.
        """
        places = _places(stage.kind, stage.name, stage.digest)[: 2 if stage.device else 3]
        found = next((place for place in places if place in self.rows), None)
        return (None, None, False) if found is None else (*self.rows[found], found == places[0])


def key(stage: Stage[Any]) -> str:
    """The identity of a stage: digest and name. Two recipes with equal content each have a folder."""
    return f"{stage.kind}/{stage.name}-{stage.digest}"


def in_order(targets: Sequence[Stage[Any]]) -> Iterator[Stage[Any]]:
    """The targets and all stages that they need, depth first; no recursion, as a graph may be deeper than the stack.

    A stage's digest is computed after those of its inputs.
    """
    entered: set[int] = set()  # by identity: two equal stages are told apart until their digests are known
    done: set[str] = set()
    waiting = [(target, False) for target in reversed(targets)]
    while waiting:
        stage, ready = waiting.pop()
        if ready and key(stage) not in done:
            done.add(key(stage))
            yield stage
        elif not ready and id(stage) not in entered:
            entered.add(id(stage))
            waiting.append((stage, True))
            waiting += [(other, False) for other in reversed(stage.built_on)]


def _places(kind: str, name: str, made: str) -> list[tuple[str, ...]]:
    """From the very stage to any of its kind; of one recipe, seeds and numbers in a fleet cost alike."""
    return [(kind, name, made), (kind, re.sub(r"-\d\d(?=\.)|\.s\d+(?=\.|$)", "", name), ""), (kind,)]
