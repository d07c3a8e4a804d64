"""Stages as jobs of SLURM (`--on slurm`), submitted by submitit: an array for what is ready at the same time."""

import os
import shutil
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from mia_seg.engines._elsewhere import Again, Elsewhere, Parcel, toolkit
from mia_seg.engines._worker import raising
from mia_seg.errors import MiaSegError
from mia_seg.stages.run import Batch, Ending
from mia_seg.store import WORK
from mia_seg.workspace import Workspace

MINUTES = 240  # of a job, unless SBATCH_TIMELIMIT says otherwise; a training that takes longer is queued again
REQUEUES = 1000
POLL = 2.0  # seconds


class OnSlurm(Elsewhere):
    """Jobs of one stage, or one pass, each."""

    def __init__(self, workspace: Workspace, cluster: str = "slurm") -> None:
        super().__init__(workspace)
        self.submitit, self.cluster = toolkit("submitit"), cluster
        self.folder = workspace.store.root.resolve() / WORK / f"slurm-{socket.gethostname()}-{os.getpid()}"
        self.waiting: list[Batch] = []
        self.busy: dict[Any, Batch] = {}
        self.failed = False
        self.closing = ExitStack()

    def connect(self) -> None:
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise MiaSegError("--on slurm: there is no command 'srun' here. Run this where jobs are submitted.")
        self.closing.enter_context(raising())

    def start(self, batch: Batch) -> None:
        self.waiting.append(batch)  # submitted together with all else that is ready

    def ended(self) -> tuple[Batch, Ending]:
        self._submit()
        while not (done := next((job for job in self.busy if job.done()), None)):
            time.sleep(POLL)
        batch = self.busy.pop(done)
        try:
            found = done.result()
        except (self.submitit.core.utils.UncompletedJobError, self.submitit.core.utils.FailedJobError) as error:
            why = " ".join(str(error).split())[:300].rstrip(".")
            found = Ending(said=f"{batch[0].title}: job {done.job_id} of SLURM ended without it ({why}).")
        self.failed = self.failed or not isinstance(found, Ending) or bool(found.said)
        return self.came_to(batch, found)

    def stop(self) -> None:
        for job in self.busy:
            job.cancel(check=False)
        if not self.busy and not self.failed:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.closing.close()

    def _submit(self) -> None:
        cuda = self.workspace.device == "cuda"
        for gpu in (False, True):
            batches = [batch for batch in self.waiting if (cuda and any(s.device for s in batch)) == gpu]
            if batches:
                self.busy |= dict(zip(self._jobs(batches, gpu), batches, strict=True))
        self.waiting = []

    def _jobs(self, batches: Sequence[Batch], gpu: bool) -> list[Any]:
        requeues = {"slurm_max_num_timeout": REQUEUES} if self.cluster == "slurm" else {}
        executor = self.submitit.AutoExecutor(self.folder, cluster=self.cluster, **requeues)
        executor.update_parameters(
            name="mia-seg", timeout_min=MINUTES, cpus_per_task=1 + self.workspace.workers,
            gpus_per_node=1 if gpu else None,
        )  # fmt: skip
        with executor.batch():
            return [executor.submit(Again(), Parcel.of(batch, self.workspace)) for batch in batches]
