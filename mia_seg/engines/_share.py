"""Each process's share of one machine: threads, devices, memory."""

import os
from collections.abc import Mapping

import torch

from mia_seg.data._open import memory
from mia_seg.errors import MiaSegError
from mia_seg.stages import limits
from mia_seg.stages.plan import key
from mia_seg.stages.run import Batch
from mia_seg.workspace import Workspace

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEVICES = "CUDA_VISIBLE_DEVICES"


class Share:
    """threads: of each process. devices: names of accelerators, dealt in turn. room: bytes of memory of each of these.

    Without accelerators all share the machine's memory. Raises MiaSegError for more processes than cores, because their
    threads would slow each other down.
    """

    def __init__(self, workspace: Workspace, count: int) -> None:
        cores = _cores()
        if not 1 <= count <= cores:
            raise MiaSegError(f"--jobs {count}: this machine has {cores} cores. Choose a number from 1 to {cores}.")
        self.workspace, self.count, self.threads = (
            workspace,
            count,
            max(1, min(torch.get_num_threads(), cores // count)),
        )
        self.devices, self.room = _accelerators() if workspace.device in ("auto", "cuda") else ([], 0)
        self.room = self.room or memory()
        self._held: dict[str, int] = {}

    def place(self, batch: Batch, busy: Mapping[int, Batch]) -> int | None:
        """The first free place whose memory fits the batch beside the running ones; None if there is none."""
        for place in range(self.count):
            beside = [other for near, other in busy.items() if (near - place) % (len(self.devices) or 1) == 0]
            fits = not beside or sum(map(self.held, (batch, *beside))) <= self.room
            if place not in busy and fits:
                return place
        return None

    def held(self, batch: Batch) -> int:
        """A lower bound on the bytes of memory that a batch takes; its stages are made one after the other."""
        first = key(batch[0])
        if first not in self._held:
            self._held[first] = max(limits.held(stage, self.workspace) for stage in batch)
        return self._held[first]

    def environment(self, place: int) -> dict[str, str]:
        """The environment variables of a process; libraries read them when they are loaded."""
        devices = {DEVICES: self.devices[place % len(self.devices)]} if self.devices else {}
        return dict.fromkeys(THREADS, str(self.threads)) | devices


def _accelerators() -> tuple[list[str], int]:
    """Names of CUDA devices as the variable has them, and the memory of the smallest; [] and 0 where there is none."""
    seen = range(torch.cuda.device_count())
    given = os.environ.get(DEVICES, "")
    names = [name.strip() for name in given.split(",")] if given else [str(k) for k in seen]
    return names[: len(seen)], min((torch.cuda.get_device_properties(k).total_memory for k in seen), default=0)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
