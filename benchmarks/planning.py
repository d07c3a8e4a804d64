"""Planning an audit whose stages all exist: seconds to build the graph, to look at each stage, and to do both again.

Run: python benchmarks/planning.py [--stages 10000] [--folder FOLDER]
Each stage writes a word and needs the two before it, so that the graph is as deep as it is long. A plan reads one
`made.json` a stage; no file beside it is opened.

10,000 stages on 2 cores of x86_64 (shared), Python 3.11: 0.4 s to build the graph and put it in order, 0.6 s for the
states; the second graph and plan 0.8 s and 1.1 s; 0.3 s for the costs.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg import store as store_
from mia_seg.stages import Stage
from mia_seg.stages.plan import Plan
from mia_seg.store import Draft, Store
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Line(Stage[str]):
    kind = "lines"

    word: str
    before: tuple["Line", ...] = ()

    @property
    def name(self) -> str:
        return f"{self.word}.s0"

    def inputs(self) -> dict[str, Any]:
        return {"word": self.word, "before": list(self.before)}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        (draft.folder / "line").write_text(self.word)

    def load(self, folder: Path) -> str:
        return (folder / "line").read_text()


def graph(count: int) -> list[Line]:
    lines: list[Line] = []
    for k in range(count):
        lines.append(Line(f"w{k}", tuple(lines[-2:])))
    return lines


def fill(store: Store, lines: Sequence[Line]) -> None:
    """Many in one pass, and nothing is waited for on the disk: what is measured is planning."""
    store_.settle = lambda path: None

    def build(drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            (draft.folder / "line").write_text("word")

    for start in range(0, len(lines), 200):
        store.make([line.artefact(store) for line in lines[start : start + 200]], build)


def seconds(started: float) -> str:
    return f"{time.perf_counter() - started:6.2f} s"


def measure(root: Path, count: int) -> None:
    store, made = Store(root), graph(count)
    started = time.perf_counter()
    fill(store, made)
    print(f"{seconds(started)}  to make {count} stages")
    for which in ("first", "second"):
        started = time.perf_counter()
        plan = Plan(tuple(graph(count)[-1:]), store)
        assert len(plan.stages) == count
        print(f"{seconds(started)}  to build the {which} graph and put it in order")
        started = time.perf_counter()
        assert set(plan.states.values()) == {"whole"}
        print(f"{seconds(started)}  for the states of the {which} plan")
    started = time.perf_counter()
    plan.steps()
    print(f"{seconds(started)}  for the costs of each step")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stages", type=int, default=10_000)
    options.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    given = options.parse_args()
    print(f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(Path(folder) / "runs", given.stages)


if __name__ == "__main__":
    main()
