"""Stages as tasks of Ray (`--on ray`, `--on ray://HOST:PORT`): a task a stage, its CPUs and GPU asked for."""

import logging
import os
import socket
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from mia_seg.engines._elsewhere import Elsewhere, Parcel, toolkit, work
from mia_seg.engines._worker import raising
from mia_seg.errors import MiaSegError
from mia_seg.stages.run import Batch, Ending
from mia_seg.workspace import Workspace

# Unless they are set: Ray would write a token to the home folder, send what it is used for, and try a task that runs
# out of memory for ever.
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": "2"}
RETRIES = 2  # of a task whose process or machine dies; a user's mistake is none of Ray's
OBJECTS = 80 << 20  # bytes of Ray's own store: stages travel, not what they hold
PATIENCE = 5.0  # seconds


class OnRay(Elsewhere):
    """A cluster that runs already, or one of this machine's processes."""

    def __init__(self, workspace: Workspace, address: str | None) -> None:
        super().__init__(workspace)
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self.ray, self.address, self.busy = toolkit("ray"), address, dict[Any, Batch]()
        self.closing = ExitStack()

    def connect(self) -> None:
        if not self.ray.is_initialized():
            self.closing.callback(self.ray.shutdown)
            if self.address:
                self._join(self.address)
            else:
                self.ray.init(
                    "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                    object_store_memory=OBJECTS,
                )  # fmt: skip
        self.closing.enter_context(raising())
        self.gpus = self.ray.cluster_resources().get("GPU", 0)
        if self.workspace.device == "cuda" and not self.gpus:
            raise MiaSegError("--device cuda: no machine of the Ray cluster has a GPU. Choose --device cpu or auto.")

    def start(self, batch: Batch) -> None:
        on_gpu = self.gpus and self.workspace.device in ("auto", "cuda") and any(stage.device for stage in batch)
        task = self.ray.remote(work).options(num_cpus=1, num_gpus=int(bool(on_gpu)), max_retries=RETRIES)
        self.busy[task.remote(Parcel.of(batch, self.workspace))] = batch

    def ended(self) -> tuple[Batch, Ending]:
        (done, *_), _ = self.ray.wait(list(self.busy))
        batch = self.busy.pop(done)
        try:
            found = self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            why = " ".join(str(getattr(error, "cause", None) or error).split())[:300].rstrip(".")
            found = Ending(said=f"{batch[0].title}: Ray could not make it ({why}).")
        return self.came_to(batch, found)

    def stop(self) -> None:
        self.closing.close()  # who leaves the cluster ends the tasks; trainings keep the state that they saved last

    def _join(self, address: str) -> None:
        """Where nobody listens, Ray would try for minutes."""
        try:
            parts = urlsplit(address)
            socket.create_connection((parts.hostname, parts.port or 10001), PATIENCE).close()
            self.ray.init(address, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise MiaSegError(
                f"--on {address}: no Ray cluster answers there ({error}). Start one with 'ray start --head', or "
                f"correct the address."
            ) from None
