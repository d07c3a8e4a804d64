"""The time to dispatch 1,000 stages that do nothing, by one process and by --jobs 2, and to plan stages that exist.

Run: OMP_NUM_THREADS=1 python benchmarks/dispatch.py [--stages 1000] [--rounds 3] [--jobs 2]
Each stage writes an empty file into an empty store. "The store alone" makes the same folders without a plan; a run's
time beyond that is dispatch. The three variants take turns. Then the plan is made and run again with all stages there.

Two cores with little other work, 3 rounds: the store alone 4.5 ms a stage (3.2 to 6.6), one process 6.3 ms (5.2 to
7.1), --jobs 2 7.4 ms (4.7 to 8.8). So dispatch takes 2 to 3 ms a stage. 1,000 stages that exist were planned in 0.12 s
and run in less than 0.01 s, and no process was started.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg import engines
from mia_seg.engines.jobs import Jobs
from mia_seg.stages import Stage
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run
from mia_seg.store import Draft, Store
from mia_seg.workspace import Workspace

WARM = 4  # stages of a first run, for which processes load the libraries


@dataclass(frozen=True, eq=False)
class Nothing(Stage[None]):
    """A stage that needs none and does nothing."""

    kind = "nothings"
    number: int

    @property
    def name(self) -> str:
        return f"nothing-{self.number}.s0"

    def inputs(self) -> dict[str, Any]:
        return {"number": self.number}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        (draft.folder / "nothing").write_text("")

    def load(self, folder: Path) -> None:
        return None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--stages", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    ways = {
        "the store alone": alone,
        "one process": lambda stages, workspace: carried(stages, workspace, 1),
        f"--jobs {given.jobs}": lambda stages, workspace: carried(stages, workspace, given.jobs),
    }
    fresh(ways[f"--jobs {given.jobs}"], WARM)
    rounds = [{way: fresh(work, given.stages) for way, work in ways.items()} for _ in range(given.rounds)]
    for way in ways:
        tell(way, [found[way] / given.stages for found in rounds])
    with tempfile.TemporaryDirectory() as place:
        again(Workspace(Store(Path(place)), device="cpu"), given.stages, given.jobs)


def fresh(work: Callable[[list[Nothing], Workspace], None], count: int) -> float:
    """Seconds for so many stages in an empty store."""
    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace(Store(Path(place)), device="cpu")
        started = time.perf_counter()
        work([Nothing(k) for k in range(count)], workspace)
        return time.perf_counter() - started


def alone(stages: list[Nothing], workspace: Workspace) -> None:
    for stage in stages:
        workspace.store.make(
            [stage.artefact(workspace.store)], lambda drafts, stage=stage: stage.make(drafts[0], workspace)
        )


def carried(stages: list[Nothing], workspace: Workspace, jobs: int) -> None:
    run(Plan(tuple(stages), workspace.store), workspace, engine=engines.chosen(workspace, jobs=jobs)).check()


def again(workspace: Workspace, count: int, jobs: int) -> None:
    """The plan of stages that exist: nothing is made, and no process is started."""
    alone([Nothing(k) for k in range(count)], workspace)
    engine = Jobs(workspace, jobs)
    started = time.perf_counter()
    plan = Plan(tuple(Nothing(k) for k in range(count)), workspace.store)
    assert not plan.missing
    planned = time.perf_counter()
    run(plan, workspace, engine=engine).check()
    ended = time.perf_counter()
    assert not engine.workers
    print(f"{count} stages that exist: planned in {planned - started:.2f} s, run in {ended - planned:.2f} s")


def tell(way: str, seconds: list[float]) -> None:
    low, middle, high = (1000 * f(seconds) for f in (min, statistics.median, max))
    print(f"{way:16} {middle:6.2f} ms a stage ({low:.2f} to {high:.2f} over {len(seconds)} rounds)")


if __name__ == "__main__":
    main()
