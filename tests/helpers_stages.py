"""Stages that write a line, and do something on the way: what processes elsewhere are given to make."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError, Unwritable
from mia_seg.stages import Stage
from mia_seg.store import Draft
from mia_seg.workspace import Workspace

LONG = 60.0  # seconds that nothing here waits for unless it hangs


@dataclass(frozen=True, eq=False)
class Line(Stage[str]):
    """Its own word and those of the stages that it needs. deed: what it does on the way."""

    kind = "lines"

    word: str
    before: tuple["Line", ...] = ()
    deed: str = ""

    @property
    def name(self) -> str:
        return f"{self.word}.s0"

    def inputs(self) -> dict[str, Any]:
        return {"word": self.word, "before": list(self.before)}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        print(f"{self.word} begins")
        if self.deed:
            DEEDS[self.deed](workspace.store.root / "met", self.word)
        words = [other.value(workspace.store) for other in self.before]
        (draft.folder / "line").write_text(" ".join([*words, self.word]))
        (draft.folder / "threads").write_text(os.environ["OMP_NUM_THREADS"])

    def load(self, folder: Path) -> str:
        return (folder / "line").read_text()


def die(met: Path, word: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(met: Path, word: str) -> None:
    if not (met / word).exists():
        arrive(met, word)
        die(met, word)


def meet(met: Path, word: str) -> None:
    """Go on once another stage is at work, too."""
    arrive(met, word)
    until(lambda: len(list(met.glob("meet*"))) == 2)


def alone(met: Path, word: str) -> None:
    """Whoever is met here is made beside this."""
    (met / "inside").mkdir(parents=True)
    time.sleep(0.2)
    (met / "inside").rmdir()


def wrong(met: Path, word: str) -> None:
    raise MiaSegError(f"{word} cannot be made. Change it.")


def full(met: Path, word: str) -> None:
    until((met / "hangs").exists)
    raise Unwritable("The disk is full.")


def bug(met: Path, word: str) -> None:
    raise KeyError(word)


def hang(met: Path, word: str) -> None:
    arrive(met, word)
    time.sleep(LONG)


DEEDS = {f.__name__: f for f in (die, die_once, meet, alone, wrong, full, bug, hang)}


def arrive(met: Path, word: str) -> None:
    met.mkdir(parents=True, exist_ok=True)
    (met / word).touch()


def until(true: Any) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
