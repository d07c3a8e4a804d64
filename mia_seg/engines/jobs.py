"""Stages side by side in processes of this machine (`--jobs`), each with a share of its threads and devices."""

from contextlib import ExitStack, suppress
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from mia_seg.engines._share import Share
from mia_seg.engines._worker import begun, died, raising
from mia_seg.stages.plan import key
from mia_seg.stages.run import Batch, Ending, Engine
from mia_seg.workspace import Workspace

GRACE = 30.0  # seconds to finish a step of a training and save its state


class Jobs(Engine):
    """Worker processes on this machine. If one is killed, its stage is tried once more, alone."""

    def __init__(self, workspace: Workspace, count: int) -> None:
        self.workspace, self.width, self.share = workspace, count, Share(workspace, count)
        self.workers: dict[int, tuple[BaseProcess, Connection]] = {}
        self.busy: dict[int, Batch] = {}
        self.killed: set[str] = set()
        self.signals = ExitStack()

    def takes(self, batch: Batch) -> bool:
        """Whether memory fits the batch beside the running ones; a batch whose process was killed runs alone."""
        tried = any(key(stage) in self.killed for stage in (*batch, *chain(*self.busy.values())))
        return not self.busy or (not tried and self.share.place(batch, self.busy) is not None)

    def start(self, batch: Batch) -> None:
        if not self.workers:
            self.signals.enter_context(raising())
        place = self.share.place(batch, self.busy)
        assert place is not None, "taken before"
        if place not in self.workers:
            self.workers[place] = begun(self.workspace, self.share.environment(place))
        self.busy[place] = batch
        with suppress(OSError):  # one that is no more is noticed when its answer is read
            self.workers[place][1].send(batch)

    def ended(self) -> tuple[Batch, Ending]:
        """Wait for the first process that answers or dies."""
        pipes = {self.workers[place][1]: place for place in self.busy}
        place = pipes[cast(Connection, wait(list(pipes))[0])]
        batch = self.busy.pop(place)
        try:
            answer = self.workers[place][1].recv()
        except (EOFError, OSError):
            return batch, self._after_death(batch, place)
        if isinstance(answer, Exception):
            raise answer
        return batch, answer

    def stop(self) -> None:
        """Ask all to stop, and wait until they are gone; a training saves its state first."""
        try:
            for process, _ in self.workers.values():
                process.terminate()
            for process, _ in self.workers.values():
                process.join(GRACE)
        finally:
            for process, _ in self.workers.values():
                process.kill()
            self.signals.close()

    def _after_death(self, batch: Batch, place: int) -> Ending:
        process, pipe = self.workers.pop(place)
        pipe.close()
        process.join(GRACE)
        again = not self.killed.issuperset(map(key, batch))
        self.killed |= set(map(key, batch))
        return Ending(said="" if again else died(batch, process.exitcode or 0, self.workspace), again=again)
