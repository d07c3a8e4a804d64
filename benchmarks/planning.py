"""The time to plan 10,000 stages that all exist, and to start the command line.

Run: python benchmarks/planning.py [--stages 10000]

On two cores shared with other work, --help takes 1.4 times as long as `import typer`, and 10,000 stages are planned in
0.8 to 1.1 s.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 7


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--stages", type=int, default=10_000)
    given = options.parse_args()
    plain, help_ = (statistics.median(started(code) for _ in range(ROUNDS)) for code in (TYPER, HELP))
    print(f"import typer {plain * 1000:.0f} ms, mia-seg --help {help_ * 1000:.0f} ms: {help_ / plain:.2f} times")
    with tempfile.TemporaryDirectory() as place:
        plan(Path(place), given.stages)


TYPER = "import typer"
HELP = "import sys; sys.argv = ['mia-seg', '--help']; from mia_seg.cli import main; main()"


def started(code: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True))[0]


def plan(root: Path, count: int) -> None:
    from mia_seg import store as store_
    from mia_seg.stages import Stage
    from mia_seg.stages.plan import Plan
    from mia_seg.store import Draft, Store
    from mia_seg.workspace import Workspace

    @dataclass(frozen=True, eq=False)
    class Line(Stage[str]):
        """As large as an attacker's stage: the answers of a few models, and settings."""

        kind = "lines"
        number: int
        before: tuple["Line", ...]

        @property
        def name(self) -> str:
            return f"line-{self.number}.s0"

        def inputs(self) -> dict[str, Any]:
            seen = [{"audited": line, "membership": f"{self.number:012x}"} for line in self.before]
            return {"number": self.number, "seen": seen, "settings": {f"setting {k}": k for k in range(8)}}

        def make(self, draft: Draft, workspace: Workspace) -> None:
            (draft.folder / "line").write_text("")

        def load(self, folder: Path) -> str:
            return (folder / "line").read_text()

    def built() -> list[Line]:
        lines: list[Line] = []
        for number in range(count):
            lines.append(Line(number, tuple(lines[max(0, number - 4) :: 2])))
        return lines

    store = Store(root)
    workspace = Workspace(store)
    store_.settle = lambda path: None  # a benchmark need not outlive a power cut
    for line in built():
        store.make([line.artefact(store)], lambda drafts, line=line: line.make(drafts[0], workspace))
    for round_ in ("first", "second"):
        seconds, lines = timed(built)
        planned, states = timed(lambda lines=lines: Plan(tuple(lines), store).states)
        assert set(states.values()) == {"whole"}
        print(f"{round_} plan of {count} stages that exist: built in {seconds:.2f} s, planned in {planned:.2f} s")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


if __name__ == "__main__":
    main()
