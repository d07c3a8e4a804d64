"""Stages as jobs of SLURM (`--on slurm`), submitted by submitit: an array for what is ready at the same time."""

import time
from contextlib import ExitStack
from typing import Any

from mia_seg.engines._elsewhere import Elsewhere, Parcel, toolkit, work
from mia_seg.engines._worker import raising
from mia_seg.errors import MiaSegError
from mia_seg.stages.run import Batch, Ending
from mia_seg.store import WORK
from mia_seg.workspace import Workspace

MINUTES = 240  # of a job, unless SBATCH_TIMELIMIT says otherwise; a training that takes longer is queued again
REQUEUES = 1000
POLL = 2.0  # seconds


class Again:
    """The work of a job, which is queued again where its time is up or its machine is taken."""

    def __call__(self, parcel: Parcel) -> Ending | Exception:
        return work(parcel)

    def checkpoint(self, parcel: Parcel) -> Any:
        """The same once more: what was saved lies in the store."""
        return toolkit("submitit").helpers.DelayedSubmission(self, parcel)


class OnSlurm(Elsewhere):
    """Jobs of one stage, or one pass, each."""

    def __init__(self, workspace: Workspace, cluster: str = "slurm") -> None:
        super().__init__(workspace)
        self.submitit, self.cluster = toolkit("submitit"), cluster
        self.folder = workspace.store.root.resolve() / WORK / "slurm"
        self.waiting: list[Batch] = []
        self.busy: dict[Any, Batch] = {}
        self.closing = ExitStack()

    def connect(self) -> None:
        limits = {"slurm_max_num_timeout": REQUEUES} if self.cluster == "slurm" else {}
        try:
            self.executor = self.submitit.AutoExecutor(self.folder, cluster=self.cluster, **limits)
        except RuntimeError:
            raise MiaSegError(
                "--on slurm: there is no command 'srun' here. Give the command on a machine that submits jobs."
            ) from None
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
            return batch, Ending(said=f"{batch[0].title}: job {done.job_id} of SLURM ended without it ({why}).")
        for path in self.folder.glob(f"{done.job_id}_*"):
            path.unlink()
        return self.came_to(batch, found)

    def stop(self) -> None:
        for job in self.busy:
            job.cancel(check=False)
        self.closing.close()

    def _submit(self) -> None:
        cuda = self.workspace.device == "cuda"
        for gpus in (0, 1):
            batches = [batch for batch in self.waiting if (cuda and any(s.device for s in batch)) == bool(gpus)]
            self.executor.update_parameters(
                name="mia-seg", timeout_min=MINUTES, gpus_per_node=gpus, cpus_per_task=1 + self.workspace.workers
            )
            if batches:
                with self.executor.batch():
                    jobs = [self.executor.submit(Again(), Parcel.of(batch, self.workspace)) for batch in batches]
                self.busy |= dict(zip(jobs, batches, strict=True))
        self.waiting = []
